// Services that are away or slow: pages stay up and say what cannot be done.
import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import test from "node:test";
import { token } from "./support/callees.mjs";
import { ADDRESS, Shop, Visitor } from "./support/shop.mjs";

const CALLEES = ["accounts", "catalog", "inventory", "orders", "payments", "recommendations"];
const PAGES = ["/", "/?q=mug", "/products/enamel-mug", "/cart", "/checkout", "/account", "/orders/o1", "/admin", "/admin/orders", "/admin/products/new", "/admin/products/product-1"];

async function fullVisitor(shop) {
  const visitor = await shop.customer("admin@example.com");
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "2" });
  return visitor;
}

for (const callee of CALLEES) {
  for (const mode of ["down", "slow"]) {
    test(`with ${callee} ${mode} every page answers in time, styled, and without a trace`, async (t) => {
      const shop = await Shop.start(t);
      const visitor = await fullVisitor(shop);
      shop.callees.mode[callee] = mode;
      await Promise.all(PAGES.map(async (path) => {
        const started = performance.now();
        const { status, text } = await visitor.get(path);
        assert.ok(performance.now() - started < 8000, `${path} took too long`);
        assert.notEqual(status, 500, path);
        if (status >= 300 && status < 400) return;
        assert.match(text, /<link rel="stylesheet"/, path);
        assert.doesNotMatch(text, /\bat \w+.*\.js:\d|TypeError|undefined|\[object/, path);
      }));
    });
  }
}

const SAID = [
  ["catalog", "/", 200, /We can't show our products right now/],
  ["catalog", "/products/enamel-mug", 503, /Our catalogue does not answer/],
  ["inventory", "/products/enamel-mug", 200, /We can't see the stock right now/],
  ["recommendations", "/products/enamel-mug", 200, /can't say right now what others bought/],
  ["orders", "/cart", 503, /We can't open your cart right now/],
  ["orders", "/account", 200, /We can't show your orders right now/],
  ["orders", "/", 200, /Enamel Mug/],
  ["accounts", "/account", 200, /We can't change your account right now/],
  ["accounts", "/", 200, /Enamel Mug/],
  ["payments", "/checkout", 200, /we can't reach the payment service/],
  ["inventory", "/checkout", 200, /we can't reach our stock room/],
  ["catalog", "/checkout", 200, /we can't reach our catalogue/],
  ["inventory", "/admin", 200, /The stock room does not answer/],
];

for (const [callee, path, status, words] of SAID) {
  test(`with ${callee} down ${path} says so plainly`, async (t) => {
    const shop = await Shop.start(t);
    const visitor = await fullVisitor(shop);
    shop.callees.mode[callee] = "down";
    const page = await visitor.get(path);
    assert.equal(page.status, status);
    assert.match(page.text, words);
  });
}

test("with accounts down a customer with a good token buys as always", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await fullVisitor(shop);
  shop.callees.mode.accounts = "down";
  const form = Visitor.form((await visitor.get("/checkout")).text, "/checkout");
  const placed = await visitor.post("/checkout", { ...form, ...ADDRESS });
  assert.equal(placed.status, 303);
  assert.match(placed.location, /^\/orders\//);
});

test("with accounts down and the token run out nobody is signed out", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await fullVisitor(shop);
  visitor.cookies.set("shop_access", token({}, -5));
  shop.callees.mode.accounts = "down";
  const page = await visitor.get("/");
  assert.equal(page.status, 200);
  assert.match(page.text, /We can't confirm your sign-in right now/);
  assert.deepEqual(page.setCookies, []);
  shop.callees.mode.accounts = "up";
  assert.match((await visitor.get("/cart")).text, /Enamel Mug/);
});

test("with accounts down signing in says so, and keeps what was typed", async (t) => {
  const shop = await Shop.start(t);
  shop.callees.mode.accounts = "down";
  const page = await shop.visitor().post("/account/sign-in", { email: "ada@example.com", password: "correct horse battery" });
  assert.equal(page.status, 503);
  assert.match(page.text, /Accounts can't be reached right now/);
  assert.match(page.text, /value="ada@example.com"/);
  assert.doesNotMatch(page.text, /correct horse/);
});

test("an answer in an unexpected shape is treated as no answer", async (t) => {
  const shop = await Shop.start(t);
  for (const body of ['{"items": [{"id": 7}], "next_cursor": null}', "<html>", "null", '{"items": "many"}']) {
    shop.callees.on("catalog", "GET /api/catalog/products", () => ({ body }));
    const page = await shop.visitor().get("/");
    assert.equal(page.status, 200);
    assert.match(page.text, /We can't show our products right now/);
  }
});

test("traces, request ids and deadlines are passed on; a shopper's other headers are not", async (t) => {
  const shop = await Shop.start(t);
  const sent = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "r-1", "x-isles-deadline": "900", "x-forwarded-for": "192.0.2.7", "x-isles-caller": "gateway" };
  await shop.visitor().get("/products/enamel-mug", sent);
  const [request] = shop.callees.seen("inventory", "GET /api/inventory/stock/KIT-MUG-01");
  assert.equal(request.headers.traceparent, sent.traceparent);
  assert.equal(request.headers["x-request-id"], "r-1");
  assert.equal(request.headers["x-isles-deadline"], "900");
  assert.equal(request.headers["x-forwarded-for"], "192.0.2.7");
  assert.equal(request.headers["x-isles-caller"], undefined);
  assert.ok(shop.logs.some((line) => line.request_id === "r-1" && line.trace_id === "0af7651916cd43dd8448eb211c80319c"));
});

test("SIGTERM finishes what is in flight and ends with 0", async (t) => {
  const shop = await Shop.start(t);
  let release;
  const arrived = new Promise((resolve) => {
    shop.callees.on("catalog", "GET /api/catalog/products", async (request) => {
      resolve();
      await new Promise((go) => { release = go; });
      return shop.callees.catalog(request);
    });
  });
  const page = shop.visitor().get("/");
  await arrived;
  const ended = once(shop.process, "exit");
  shop.process.kill("SIGTERM");
  while (!shop.logs.some((line) => line.message === "draining")) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  assert.match((await page).text, /Enamel Mug/);
  assert.deepEqual(await ended, [0, null]);
});

test("it goes on when nobody reads its log any more, and still drains", async (t) => {
  const shop = await Shop.start(t);
  shop.process.stdout.destroy();
  for (let i = 0; i < 5; i++) assert.equal((await shop.visitor().get("/")).status, 200);
  const ended = once(shop.process, "exit");
  shop.process.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
});

test("missing configuration names every variable and starts nothing", async () => {
  const server = fileURLToPath(new URL("../dist/server.mjs", import.meta.url));
  const child = spawn(process.execPath, [server], { env: { PATH: process.env.PATH, PORT: "0", CATALOG_URL: "nonsense" } });
  let output = "";
  child.stdout.on("data", (chunk) => { output += chunk; });
  const [code] = await once(child, "exit");
  assert.equal(code, 2);
  const { message } = JSON.parse(output);
  for (const name of ["ACCOUNTS_URL", "CATALOG_URL", "INVENTORY_URL", "ORDERS_URL", "PAYMENTS_URL", "RECOMMENDATIONS_URL"]) assert.match(message, new RegExp(name));
});
