/** The application: which page answers which address, and what surrounds every answer. */

import { type Context, Hono, type MiddlewareHandler, type Next } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Config } from "./config.ts";
import type { Files } from "./http/files.ts";
import { isForeign, securityHeaders } from "./http/guard.ts";
import { log } from "./log.ts";
import { account } from "./pages/account.tsx";
import { addAddress, changePassword, changeProfile, register, removeAddress, sessionExpired, signIn, signOut } from "./pages/account-actions.tsx";
import { editProduct, newProduct, orders, products, turnAway } from "./pages/admin.tsx";
import { adjustStock, archiveProduct, moveOrder, saveProduct } from "./pages/admin-actions.tsx";
import { addToCart, cart, setInCart } from "./pages/cart.tsx";
import { checkoutForm, placeOrder } from "./pages/checkout.tsx";
import type { Env } from "./pages/env.ts";
import { bareMessagePage, notFound } from "./pages/errors.tsx";
import { home } from "./pages/home.tsx";
import { cancelOrder, order } from "./pages/order.tsx";
import { product } from "./pages/product.tsx";
import { Visit } from "./visit.ts";

const LARGEST_FORM_BYTES = 64 * 1024;

export function buildApp(config: Config, files: Files): Hono<Env> {
  const assets = { css: files.versioned("/assets/shop.css"), js: files.versioned("/assets/enhance.js") };
  const app = new Hono<Env>();

  app.use(accessLog);
  app.use(securityHeaders);
  app.get("/health/live", (c) => c.json({ status: "ok" }));
  // It keeps nothing of its own, so once it answers it is ready. Pages say themselves which service is away.
  app.get("/health/ready", (c) => c.json({ status: "ok" }));
  app.on(["GET", "HEAD"], ["/images/*", "/assets/*", "/favicon.svg", "/robots.txt"], (c) => files.serve(c) ?? c.text("Not found", 404));
  app.get("/favicon.ico", (c) => c.redirect("/favicon.svg", 301));

  app.post("*", async (c, next) => {
    if (!isForeign(c)) return next();
    return bareMessagePage(c, assets, { status: 403, title: "We did not do that", text: "The request came from a page that is not ours. Please open the shop and try again." });
  });
  app.post("*", bodyLimit({
    maxSize: LARGEST_FORM_BYTES,
    onError: (c) => bareMessagePage(c, assets, { status: 413, title: "That was too long", text: "The form holds more than we can read." }) as Response,
  }));
  app.use(async (c, next) => {
    c.set("assets", assets);
    c.set("visit", await Visit.begin(c, config));
    await next();
  });

  app.get("/", home);
  app.get("/products/:slug", product);
  app.get("/cart", cart);
  app.post("/cart/add", addToCart);
  app.post("/cart/set", setInCart);
  app.get("/checkout", checkoutForm);
  app.post("/checkout", placeOrder);
  app.get("/orders/:id", order);
  app.post("/orders/:id/cancel", cancelOrder);
  accountRoutes(app);
  adminRoutes(app);

  app.notFound((c) => notFound(c as Context<Env>));
  app.onError((error, c) => {
    log("error", "a page failed", { path: c.req.path, error: error.stack ?? String(error), ...requestId(c) });
    return bareMessagePage(c, assets, { status: 500, title: "Something broke on our side", text: "It is not your fault, and we have written it down. Your cart and your orders are safe." });
  });
  return app;
}

function accountRoutes(app: Hono<Env>): void {
  app.get("/account", account);
  app.get("/account/expired", sessionExpired);
  app.post("/account/sign-in", signIn);
  app.post("/account/register", register);
  app.post("/account/sign-out", signOut);
  app.post("/account/profile", changeProfile);
  app.post("/account/password", changePassword);
  app.post("/account/addresses", addAddress);
  app.post("/account/addresses/remove", removeAddress);
}

function adminRoutes(app: Hono<Env>): void {
  const staffOnly: MiddlewareHandler<Env> = async (c, next) => (await turnAway(c)) ?? (await next());
  app.use("/admin", staffOnly);
  app.use("/admin/*", staffOnly);
  app.get("/admin", (c) => products(c));
  app.get("/admin/orders", (c) => orders(c));
  app.get("/admin/products/new", newProduct);
  app.get("/admin/products/:id", editProduct);
  app.post("/admin/stock", adjustStock);
  app.post("/admin/products", saveProduct);
  app.post("/admin/products/:id", saveProduct);
  app.post("/admin/products/:id/archive", archiveProduct);
  app.post("/admin/orders/:id/:step{ship|deliver}", moveOrder);
}

async function accessLog(c: Context, next: Next): Promise<void> {
  const started = performance.now();
  await next();
  if (c.req.path.startsWith("/health/")) return;
  const ms = Math.round((performance.now() - started) * 100) / 100;
  log("info", "request", { method: c.req.method, path: c.req.path, status: c.res.status, ms, ...requestId(c) });
}

function requestId(c: Context): Record<string, string> {
  const id = c.req.header("x-request-id");
  const trace = c.req.header("traceparent")?.split("-")[1];
  return { ...(id === undefined ? {} : { request_id: id }), ...(trace === undefined ? {} : { trace_id: trace }) };
}
