// What shoppers see: over the real server, with scriptable callees.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { problem } from "./support/callees.mjs";
import { Shop } from "./support/shop.mjs";

test("the first page shows categories, pictures and prices, and leads to more", async (t) => {
  const shop = await Shop.start(t);
  const { status, text, headers } = await shop.visitor().get("/");
  assert.equal(status, 200);
  assert.match(text, /<h1>Good things/);
  assert.match(text, /\/\?category=lighting/);
  assert.match(text, /Enamel Mug/);
  assert.match(text, /€14\.50/);
  assert.equal(text.match(/<article class="card">/g).length, 12);
  assert.match(text, /cursor=12#products" rel="next"/);
  assert.match(headers.get("content-type"), /^text\/html; charset=utf-8/i);
});

test("every product has a picture of its own, and every picture a page shows is there", async (t) => {
  const shop = await Shop.start(t);
  const bodies = new Set();
  for (const product of shop.callees.products) {
    const picture = await shop.visitor().get(product.image);
    assert.equal(picture.status, 200, product.image);
    assert.equal(picture.headers.get("content-type"), "image/svg+xml");
    bodies.add(picture.text);
  }
  assert.equal(bodies.size, shop.callees.products.length);
  const { text } = await shop.visitor().get("/");
  for (const [, path] of text.matchAll(/(?:src|href)="(\/(?:images|assets|favicon)[^"]*)"/g)) {
    assert.equal((await shop.visitor().get(path)).status, 200, path);
  }
});

test("search, category and sort reach the catalog, and nothing found is said", async (t) => {
  const shop = await Shop.start(t);
  const found = await shop.visitor().get("/?q=kettle&sort=price");
  assert.match(found.text, /Stovetop Kettle/);
  assert.doesNotMatch(found.text, /Enamel Mug/);
  assert.match(found.text, /value="kettle"/);
  const [request] = shop.callees.seen("catalog", "GET /api/catalog/products");
  assert.equal(request.query.get("sort"), "price");
  assert.match((await shop.visitor().get("/?q=zzz")).text, /We have nothing called “zzz”/);
});

test("a page of a list that no longer fits its search begins again", async (t) => {
  const shop = await Shop.start(t);
  shop.callees.on("catalog", "GET /api/catalog/products", () => problem(400, "invalid_cursor"));
  const answer = await shop.visitor().get("/?q=mug&cursor=old");
  assert.equal(answer.status, 303);
  assert.equal(answer.location, "/?q=mug#products");
});

test("a product page shows what is bought with it, best first", async (t) => {
  const shop = await Shop.start(t);
  shop.callees.together = ["OUT-FLK-01", "KIT-KTL-01"];
  const { text } = await shop.visitor().get("/products/enamel-mug");
  const part = text.slice(text.indexOf("Bought together"));
  assert.ok(part.indexOf("Vacuum Flask") > 0 && part.indexOf("Vacuum Flask") < part.indexOf("Stovetop Kettle"));
});

test("stock is said in words: plenty, few, none", async (t) => {
  const shop = await Shop.start(t);
  const visitor = shop.visitor();
  assert.match((await visitor.get("/products/enamel-mug")).text, /In stock/);
  assert.match((await visitor.get("/products/arched-mirror")).text, /Only 3 left/);
  const none = (await visitor.get("/products/folding-camp-stove")).text;
  assert.match(none, /Sold out/);
  assert.doesNotMatch(none, /Add to cart/);
});

test("hostile names, searches and problems are only ever text", async (t) => {
  const shop = await Shop.start(t);
  const nasty = `"><script>alert(1)</script><img src=x onerror=alert(2)>'`;
  Object.assign(shop.callees.products[0], { name: nasty, description: nasty, category: nasty, image: 'javascript:alert(3)"' });
  const visitor = await shop.customer();
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" });
  shop.callees.on("orders", "POST /api/orders/checkout", () => problem(422, "validation_failed", { errors: [{ field: "shipping_address.city", code: "x", message: nasty }] }));
  const form = { key: "0123456789abcdef", cart_id: "x", total_amount: "1", total_currency: "EUR", payment_method: "pm_card_visa", address_name: nasty, line1: nasty, postal_code: "1", city: nasty, country: "DE" };
  const pages = [
    await visitor.get("/"), await visitor.get("/products/enamel-mug"), await visitor.get("/cart"), await visitor.get("/checkout"),
    await visitor.get(`/?q=${encodeURIComponent(nasty)}&category=${encodeURIComponent(nasty)}`),
    await visitor.get(`/account?next=${encodeURIComponent(nasty)}`), await visitor.post("/checkout", form),
    await visitor.post("/account/addresses", { ...form, country: nasty }),
  ];
  for (const page of pages) {
    assert.doesNotMatch(page.text, /<script>alert|<img src=x|javascript:alert/);
    assert.doesNotMatch(page.text, /="[^"]*"><script/);
  }
  assert.match(pages[1].text, /&lt;script&gt;alert\(1\)/);
  assert.match(pages[6].text, /&lt;script&gt;alert\(1\)/);
});

test("every page carries a strict policy, and no script or style of its own", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await shop.customer("admin@example.com");
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" });
  for (const path of ["/", "/products/enamel-mug", "/cart", "/checkout", "/account", "/admin", "/admin/orders", "/admin/products/new", "/nothing"]) {
    const { headers, text } = await visitor.get(path);
    const policy = headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("cache-control"), "private, no-store");
    assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|<style|\sstyle="|\son\w+="/, path);
    assert.equal(text.match(/<h1/g)?.length, 1, `${path} has one first heading`);
  }
});

test("an unknown page or product is a styled 404", async (t) => {
  const shop = await Shop.start(t);
  for (const path of ["/nothing", "/products/nothing", "/products/%00", "/products/..%2f..%2fetc"]) {
    const { status, text } = await shop.visitor().get(path);
    assert.equal(status, 404, path);
    assert.match(text, /There is nothing here/);
    assert.match(text, /shop\.css/);
  }
  assert.equal((await shop.visitor().get("/images/products/none.svg")).status, 404);
  assert.equal((await shop.visitor().get("/images/..%2fserver.mjs")).status, 404);
});

test("every page that is served is in the contract", () => {
  const contract = readFileSync(new URL("../openapi.yaml", import.meta.url), "utf8");
  const app = readFileSync(new URL("../src/app.ts", import.meta.url), "utf8");
  const declared = new Set();
  let path = "";
  for (const row of contract.split("\n")) {
    const at = /^ {2}(\/\S*):$/.exec(row);
    if (at) path = at[1].replaceAll(/\{(\w+)\}/g, ":$1");
    const method = /^ {4}(get|post):$/.exec(row);
    if (method) declared.add(`${method[1]} ${path}`);
  }
  const served = new Set([...app.matchAll(/app\.(get|post)\("(\/[^"*]*)"/g)].map(([, method, route]) => `${method} ${route.replace(/\{.*\}/, "")}`));
  served.delete("get /favicon.ico");
  assert.ok(served.size > 25);
  assert.deepEqual([...served].sort(), [...declared].filter((entry) => !/images|favicon/.test(entry)).sort());
});
