/** What every answer carries, and which requests are refused before a page sees them. */

import type { Context, MiddlewareHandler, Next } from "hono";

const POLICY = [
  "default-src 'none'",
  "img-src 'self'",
  "style-src 'self'",
  "script-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const securityHeaders: MiddlewareHandler = async (c: Context, next: Next) => {
  await next();
  c.res.headers.set("content-security-policy", POLICY);
  c.res.headers.set("x-content-type-options", "nosniff");
  c.res.headers.set("referrer-policy", "same-origin");
  c.res.headers.set("x-frame-options", "DENY");
  c.res.headers.set("cross-origin-opener-policy", "same-origin");
  c.res.headers.set("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()");
  // Pages show a person's cart and orders. Files name their own time.
  if (!c.res.headers.has("cache-control")) c.res.headers.set("cache-control", "private, no-store");
};

/**
 * Whether a POST comes from a page of ours. Browsers say where a form was with Sec-Fetch-Site (on trustworthy origins)
 * or Origin; a request with neither comes from no browser, and so carries nobody's cookies against their will.
 */
export function isForeign(c: Context): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = c.req.header("origin");
  if (origin === undefined) return false;
  if (!URL.canParse(origin)) return true;
  const hosts = [c.req.header("host"), c.req.header("x-forwarded-host")];
  return !hosts.includes(new URL(origin).host);
}

/** A path of this shop to go on to, or the fallback: never another site. */
export function localPath(value: string | undefined, fallback: string): string {
  return value !== undefined && /^\/(?![/\\])[\x21-\x7e]*$/.test(value) && !value.includes("\\") ? value : fallback;
}
