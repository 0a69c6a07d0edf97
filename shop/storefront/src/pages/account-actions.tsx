/** What the forms of the account page do. */

import { localPath } from "../http/guard.ts";
import type { FieldFault, Problem } from "../http/reply.ts";
import { forgetSession, refreshCookie, rememberCart, rememberTokens } from "../session.ts";
import type { Visit } from "../visit.ts";
import { commonRefusal, type Refused, showAccount, showDoor } from "./account.tsx";
import { ADDRESS_FIELDS, readAddress } from "./address.ts";
import { type Ctx, readForm, readSecret, renamed } from "./env.ts";

export async function signIn(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  return enter(c, form("email"), await readSecret(c, "password"), localPath(form("next"), "/account"));
}

async function enter(c: Ctx, email: string, password: string, next: string): Promise<Response> {
  const visit = c.get("visit");
  const reply = await visit.accounts.signIn(email, password);
  if (!reply.ok) {
    const common = commonRefusal(reply.problem);
    return showDoor(c, next, {
      form: "sign-in",
      faults: [],
      email,
      ...(common ?? { title: "E-mail and password do not match", text: "Check both, or make an account if you have none.", status: 401 }),
    });
  }
  rememberTokens(c, reply.value);
  visit.actFor(reply.value.accessToken);
  await bringCart(c, visit);
  return c.redirect(next, 303);
}

/** The guest's cart goes into the customer's. If orders is away the guest's cart stays in hand: it can be bought as it is. */
async function bringCart(c: Ctx, visit: Visit): Promise<void> {
  const guest = visit.cartId;
  let reply = await visit.orders.openCart(guest ?? undefined);
  // The guest's cart may be gone, or merged by an earlier click.
  if (!reply.ok && guest !== null && reply.problem.status >= 400 && reply.problem.status < 500) reply = await visit.orders.openCart();
  if (reply.ok) rememberCart(c, reply.value.id);
}

export async function register(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  const [name, email] = [form("new_name"), form("new_email")];
  const password = await readSecret(c, "new_password");
  const next = localPath(form("next"), "/account");
  const reply = await c.get("visit").accounts.register(email, password, name);
  if (reply.ok) return enter(c, email, password, next === "/account" ? "/account?news=welcome" : next);
  const refused: Refused = { form: "register", name, email, ...registerRefusal(reply.problem) };
  return showDoor(c, next, refused);
}

function registerRefusal(problem: Problem): Pick<Refused, "title" | "text" | "status" | "faults"> {
  const common = commonRefusal(problem);
  if (common !== null) return { ...common, faults: [] };
  if (problem.status === 409 || /taken|exists/.test(problem.code)) {
    return { title: "There is an account with this e-mail already", text: "Sign in with it instead.", status: 409, faults: [{ field: "new_email", message: "This e-mail has an account." }] };
  }
  const faults = renamed(problem.errors, { name: "new_name", email: "new_email", password: "new_password" });
  return { title: "Please check the marked fields", text: faults.length > 0 ? "Your account is not made yet." : problem.detail, status: 422, faults };
}

export async function signOut(c: Ctx): Promise<Response> {
  // If accounts is away the session ends here all the same: this browser has no tokens any more.
  await c.get("visit").accounts.signOut(refreshCookie(c));
  forgetSession(c);
  return c.redirect("/account?news=signed-out", 303);
}

/** A token that accounts no longer takes: the session was ended elsewhere. */
export function sessionExpired(c: Ctx): Response {
  forgetSession(c);
  return c.redirect("/account", 303);
}

export async function changeProfile(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  const name = form("name");
  const reply = await c.get("visit").accounts.rename(name, form("etag"));
  if (reply.ok) return c.redirect("/account?news=profile", 303);
  if (reply.problem.status === 412) {
    return refuse(c, "profile", { title: "Your name was changed elsewhere meanwhile", text: "Look at it and try again.", status: 412, name }, reply.problem);
  }
  return refuse(c, "profile", { title: "We could not change your name", status: 422, name }, reply.problem);
}

export async function changePassword(c: Ctx): Promise<Response> {
  const [current, next] = [await readSecret(c, "current_password"), await readSecret(c, "new_password")];
  const reply = await c.get("visit").accounts.changePassword(current, next);
  if (reply.ok) return c.redirect("/account?news=password", 303);
  const wrong: FieldFault[] = reply.problem.code === "wrong_password" ? [{ field: "current_password", message: "This is not your password." }] : [];
  return refuse(c, "password", { title: "The password is not changed", status: 422 }, reply.problem, wrong);
}

export async function addAddress(c: Ctx): Promise<Response> {
  const { address, faults } = readAddress(await readForm(c));
  if (faults.length > 0) return showAccount(c, { form: "address", title: "Please check the marked fields", faults, address, status: 422 });
  const reply = await c.get("visit").accounts.addAddress(address);
  if (reply.ok) return c.redirect("/account?news=address", 303);
  return refuse(c, "address", { title: "The address is not kept", status: 422, address }, reply.problem);
}

export async function removeAddress(c: Ctx): Promise<Response> {
  const reply = await c.get("visit").accounts.removeAddress((await readForm(c))("id"));
  if (reply.ok || reply.problem.status === 404) return c.redirect("/account?news=address-gone", 303);
  return refuse(c, "address", { title: "The address is not removed", status: 422 }, reply.problem);
}

function refuse(c: Ctx, form: Refused["form"], refused: Omit<Refused, "form" | "faults">, problem: Problem, extra: FieldFault[] = []): Response | Promise<Response> {
  if (problem.status === 401) return sessionExpired(c);
  const faults = [...renamed(problem.errors, ADDRESS_FIELDS_OF[form] ?? {}), ...extra];
  return showAccount(c, { ...refused, form, faults, ...(commonRefusal(problem) ?? {}) });
}

const ADDRESS_FIELDS_OF: Partial<Record<Refused["form"], Record<string, string>>> = { address: ADDRESS_FIELDS };
