/** What pages get from the application. */

import type { Context } from "hono";
import type { FieldFault } from "../http/reply.ts";
import type { Frame } from "../view/layout.tsx";
import type { Visit } from "../visit.ts";

export interface Env {
  Variables: { visit: Visit; assets: { css: string; js: string } };
}

export type Ctx = Context<Env>;

/** Loads what the frame of a page shows. Nothing in it may keep a page from being made. */
export async function frameOf(c: Ctx, shown: { category?: string | undefined; query?: string | undefined } = {}): Promise<Frame> {
  const visit = c.get("visit");
  const [cart, categories] = await Promise.all([visit.cart(), visit.categories()]);
  const pieces = cart?.ok ? cart.value.lines.reduce((sum, line) => sum + line.quantity, 0) : null;
  return {
    person: visit.person,
    stalled: visit.stalled,
    cartCount: cart === null ? 0 : pieces,
    categories,
    assets: c.get("assets"),
    ...shown,
  };
}

/** The fields of a form as texts, trimmed; files and repeats are left out. */
export async function readForm(c: Ctx): Promise<(name: string) => string> {
  const body = await c.req.parseBody();
  return (name) => {
    const value = body[name];
    return typeof value === "string" ? value.trim() : "";
  };
}

/** A password as it was typed: spaces at its ends belong to it. */
export async function readSecret(c: Ctx, name: string): Promise<string> {
  const value = (await c.req.parseBody())[name];
  return typeof value === "string" ? value : "";
}

/** A faults list with the names that our forms use. */
export function renamed(faults: FieldFault[], names: Record<string, string>): FieldFault[] {
  return faults.map(({ field, message }) => {
    const last = field.split(".").pop() ?? field;
    return { field: names[field] ?? names[last] ?? last, message };
  });
}
