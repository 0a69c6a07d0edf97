/**
 * Who is asking: tokens in HttpOnly cookies, refreshed before they run out.
 *
 * What the access token says is only used to greet people and to decide which page to show. Every service checks the
 * token itself, so a forged cookie shows empty pages and opens nothing.
 */

import { createHash } from "node:crypto";
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { isDown, type Reply } from "./http/reply.ts";
import type { Accounts, Tokens } from "./services/accounts.ts";

const ACCESS = "shop_access";
const REFRESH = "shop_refresh";
const CART = "shop_cart";
const MONTH_SECONDS = 30 * 24 * 3600;
/** A token that runs out while the page is being made is of no use. */
const SPARE_MS = 15_000;
/** Pages opened at once with one old token share its one refresh: a token may only be used once. */
const SHARED_MS = 20_000;

export interface Person {
  id: string;
  name: string;
  email: string;
  isAdmin: boolean;
}

export interface Session {
  person: Person | null;
  accessToken: string | null;
  /** Somebody has a session and it could not be renewed, because accounts does not answer. */
  stalled: boolean;
}

const NOBODY: Session = { person: null, accessToken: null, stalled: false };
const refreshes = new Map<string, Promise<Reply<Tokens>>>();

export async function readSession(c: Context, accounts: Accounts): Promise<Session> {
  const access = getCookie(c, ACCESS);
  const current = access === undefined ? null : readToken(access);
  if (access !== undefined && current !== null && current.expiresAt > Date.now() + SPARE_MS) {
    return { person: current.person, accessToken: access, stalled: false };
  }
  const refresh = getCookie(c, REFRESH);
  if (refresh === undefined || refresh === "") return NOBODY;

  const reply = await refreshOnce(accounts, refresh);
  if (reply.ok) {
    rememberTokens(c, reply.value);
    const renewed = readToken(reply.value.accessToken);
    return { person: renewed?.person ?? null, accessToken: reply.value.accessToken, stalled: false };
  }
  if (isDown(reply.problem) || reply.problem.status === 429) return { ...NOBODY, stalled: true };
  forgetSession(c);
  return NOBODY;
}

export function rememberTokens(c: Context, tokens: Tokens): void {
  setCookie(c, ACCESS, tokens.accessToken, cookieOptions(c));
  setCookie(c, REFRESH, tokens.refreshToken, cookieOptions(c));
}

export function forgetSession(c: Context): void {
  for (const name of [ACCESS, REFRESH, CART]) deleteCookie(c, name, { path: "/" });
}

export function refreshCookie(c: Context): string | null {
  return getCookie(c, REFRESH) || null;
}

export function cartCookie(c: Context): string | null {
  const id = getCookie(c, CART);
  return id !== undefined && /^[A-Za-z0-9_-]{8,80}$/.test(id) ? id : null;
}

export function rememberCart(c: Context, id: string): void {
  setCookie(c, CART, id, cookieOptions(c));
}

export function forgetCart(c: Context): void {
  deleteCookie(c, CART, { path: "/" });
}

function cookieOptions(c: Context) {
  const secure = c.req.header("x-forwarded-proto")?.split(",")[0]?.trim() === "https";
  return { path: "/", httpOnly: true, sameSite: "Lax", maxAge: MONTH_SECONDS, secure } as const;
}

function refreshOnce(accounts: Accounts, token: string): Promise<Reply<Tokens>> {
  const key = createHash("sha256").update(token).digest("base64");
  const running = refreshes.get(key);
  if (running !== undefined) return running;
  const started = accounts.refresh(token);
  refreshes.set(key, started);
  void started.then((reply) => {
    // What failed may be tried again at once; what worked is shared with pages that still carry the old token.
    if (!reply.ok) refreshes.delete(key);
    else setTimeout(() => refreshes.delete(key), SHARED_MS).unref();
  });
  return started;
}

function readToken(token: string): { person: Person; expiresAt: number } | null {
  try {
    const payload = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    if (typeof payload?.sub !== "string" || typeof payload.exp !== "number") return null;
    const person = {
      id: payload.sub,
      name: typeof payload.name === "string" ? payload.name : "",
      email: typeof payload.email === "string" ? payload.email : "",
      isAdmin: payload.role === "admin",
    };
    return { person, expiresAt: payload.exp * 1000 };
  } catch {
    return null;
  }
}
