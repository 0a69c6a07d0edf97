/** Pages for when there is no page: never a stack trace, always a way on. */

import type { Context } from "hono";
import { type Frame, Page } from "../view/layout.tsx";
import { type Ctx, frameOf } from "./env.ts";

interface Message {
  status: 400 | 401 | 403 | 404 | 413 | 500 | 503;
  title: string;
  text: string;
  link?: { href: string; label: string };
}

export async function messagePage(c: Ctx, message: Message): Promise<Response> {
  return show(c, await frameOf(c), message);
}

/** For when even the frame cannot be trusted to load. */
export function bareMessagePage(c: Context, assets: Frame["assets"], message: Message): Response | Promise<Response> {
  const frame: Frame = { person: null, stalled: false, cartCount: null, categories: [], assets };
  return show(c, frame, message);
}

function show(c: Context, frame: Frame, message: Message): Response | Promise<Response> {
  const link = message.link ?? { href: "/", label: "Go to the shop" };
  if (message.status === 503) c.header("retry-after", "5");
  return c.html(
    <Page frame={frame} title={message.title} kind="message">
      <div class="wrap message">
        <img src="/images/lost.svg" alt="" width={260} height={200} />
        <h1>{message.title}</h1>
        <p>{message.text}</p>
        <p><a class="button" href={link.href}>{link.label}</a></p>
      </div>
    </Page>,
    message.status,
  );
}

export function notFound(c: Ctx): Promise<Response> {
  return messagePage(c, {
    status: 404,
    title: "There is nothing here",
    text: "The page may have moved, or the product is no longer sold. The search finds everything that is.",
  });
}

/** When the one service that a page cannot do without is away. */
export function away(c: Ctx, what: string): Promise<Response> {
  return messagePage(c, {
    status: 503,
    title: "This page has to wait a moment",
    text: `${what} Nothing is lost: your cart and your orders are safe. Please try again in a moment.`,
    link: { href: c.req.method === "GET" ? c.req.path : "/", label: c.req.method === "GET" ? "Try again" : "Go to the shop" },
  });
}
