// Carts, sessions and checkout.
import assert from "node:assert/strict";
import test from "node:test";
import { problem, token } from "./support/callees.mjs";
import { ADDRESS, Shop, Visitor } from "./support/shop.mjs";

const CHECKOUT = "POST /api/orders/checkout";

async function atCheckout(t) {
  const shop = await Shop.start(t);
  const visitor = await shop.customer();
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "2" });
  const page = await visitor.get("/checkout");
  return { shop, visitor, page, form: { ...Visitor.form(page.text, "/checkout"), ...ADDRESS } };
}

test("a form from another site changes nothing", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await shop.customer();
  const foreign = [
    { "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }, { origin: "null" }, { origin: "not a url" },
    { origin: shop.url, "sec-fetch-site": "cross-site" },
  ];
  const before = shop.callees.requests.length;
  for (const headers of foreign) {
    for (const path of ["/cart/add", "/cart/set", "/checkout", "/account/sign-in", "/account/sign-out", "/account/password", "/orders/o1/cancel", "/admin/stock"]) {
      const answer = await visitor.post(path, { sku: "KIT-MUG-01", quantity: "1" }, headers);
      assert.equal(answer.status, 403, `${path} ${JSON.stringify(headers)}`);
      assert.match(answer.text, /a page that is not ours/);
    }
  }
  assert.equal(shop.callees.requests.length, before, "no callee was asked");
  for (const headers of [{ origin: shop.url }, { "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }]) {
    assert.equal((await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" }, headers)).status, 303);
  }
});

test("cookies are HttpOnly and SameSite=Lax, and Secure behind TLS", async (t) => {
  const shop = await Shop.start(t);
  const visitor = shop.visitor();
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" });
  const plain = await visitor.post("/account/sign-in", { email: "ada@example.com", password: "correct horse battery" });
  assert.deepEqual(plain.setCookies.map((line) => line.split("=")[0]).sort(), ["shop_access", "shop_cart", "shop_refresh"]);
  for (const line of plain.setCookies) assert.match(line, /Path=\/.*HttpOnly.*SameSite=Lax/);
  for (const line of plain.setCookies) assert.doesNotMatch(line, /Secure/);
  const secure = await shop.visitor().post("/account/sign-in", { email: "ada@example.com", password: "correct horse battery" }, { "sec-fetch-site": "same-origin", "x-forwarded-proto": "https" });
  assert.equal(secure.setCookies.length, 3);
  for (const line of secure.setCookies) assert.match(line, /Secure/);
});

test("a guest's cart comes along at sign-in", async (t) => {
  const shop = await Shop.start(t);
  const visitor = shop.visitor();
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "2" });
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" });
  const guest = visitor.cookies.get("shop_cart");
  const door = await visitor.get("/checkout");
  assert.equal(door.location, "/account?next=/checkout&why=checkout");
  const entered = await visitor.post("/account/sign-in", { email: "ada@example.com", password: "correct horse battery", next: "/checkout" });
  assert.equal(entered.location, "/checkout");
  const merge = shop.callees.seen("orders", "POST /api/orders/carts").at(-1);
  assert.deepEqual(merge.body, { merge_from: guest });
  assert.match(merge.headers.authorization, /^Bearer /);
  assert.notEqual(visitor.cookies.get("shop_cart"), guest);
  assert.match((await visitor.get("/checkout")).text, /3 × Enamel Mug/);
});

test("the way on after signing in never leads to another site", async (t) => {
  const shop = await Shop.start(t);
  for (const next of ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/ok\r\nset-cookie: x=1"]) {
    const answer = await shop.visitor().post("/account/sign-in", { email: "ada@example.com", password: "correct horse battery", next });
    assert.equal(answer.location, "/account", next);
  }
});

test("pages opened at once with an old token refresh it once", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await shop.customer();
  visitor.cookies.set("shop_access", token({}, -1));
  const copies = Array.from({ length: 6 }, () => Object.assign(shop.visitor(), { cookies: new Map(visitor.cookies) }));
  const pages = await Promise.all(copies.map((copy) => copy.get("/account")));
  for (const page of pages) assert.match(page.text, /Hello, Ada/);
  assert.equal(shop.callees.seen("accounts", "POST /api/accounts/sessions/refresh").length, 1);
});

test("a refresh that is refused signs out quietly", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await shop.customer();
  visitor.cookies.set("shop_access", token({}, -1));
  shop.callees.on("accounts", "POST /api/accounts/sessions/refresh", () => problem(401, "unauthenticated"));
  assert.equal((await visitor.get("/")).status, 200);
  assert.equal(visitor.cookies.has("shop_refresh"), false);
});

test("wrong passwords are refused the same way, and throttling is said", async (t) => {
  const shop = await Shop.start(t);
  const wrong = await shop.visitor().post("/account/sign-in", { email: "ada@example.com", password: "wrong password" });
  assert.equal(wrong.status, 401);
  assert.match(wrong.text, /E-mail and password do not match/);
  shop.callees.on("accounts", "POST /api/accounts/sessions", () => problem(429, "rate_limited"));
  const many = await shop.visitor().post("/account/sign-in", { email: "ada@example.com", password: "x" });
  assert.equal(many.status, 429);
  assert.match(many.text, /Too many attempts/);
});

test("a checkout sends the address, the total that was shown, and the form's own key", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  const placed = await visitor.post("/checkout", form);
  assert.equal(placed.status, 303);
  const [sent] = shop.callees.seen("orders", CHECKOUT);
  assert.equal(sent.headers["idempotency-key"], form.key);
  assert.deepEqual(sent.body.expected_total, { amount: 2900, currency: "EUR" });
  assert.deepEqual(sent.body.shipping_address, { name: "Ada Lindqvist", line1: "Strandvägen 7", city: "Stockholm", postal_code: "114 56", country: "SE" });
  const order = await visitor.get(placed.location);
  assert.match(order.text, /Your order is confirmed/);
  assert.match(order.text, /data-order-status="confirmed"/);
  assert.equal(visitor.cookies.has("shop_cart"), false);
});

test("a double click sends the same key twice, so it buys once", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  const results = new Map();
  shop.callees.on("orders", CHECKOUT, (request) => {
    const key = request.headers["idempotency-key"];
    if (!results.has(key)) results.set(key, { status: 201, body: shop.callees.order(request.body.cart_id, request.body.shipping_address) });
    return results.get(key);
  });
  const [first, second] = await Promise.all([visitor.post("/checkout", form), visitor.post("/checkout", form)]);
  assert.equal(shop.callees.seen("orders", CHECKOUT).length, 2);
  assert.equal(results.size, 1);
  assert.equal(first.location, second.location);
});

test("of a double click both get to the one order, also while the first is under way", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  let order = null;
  let isRunning = false;
  let asked = 0;
  shop.callees.on("orders", CHECKOUT, async (request) => {
    if (order !== null) return { status: 201, body: order };
    if (isRunning) {
      asked += 1;
      return problem(409, "request_in_flight");
    }
    isRunning = true;
    while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    order = shop.callees.order(request.body.cart_id, request.body.shipping_address);
    return { status: 201, body: order };
  });
  const [first, second] = await Promise.all([visitor.post("/checkout", form), visitor.post("/checkout", form)]);
  assert.equal(first.location, `/orders/${order.id}?placed=yes`);
  assert.equal(second.location, first.location);
});

test("each form has a key of its own", async (t) => {
  const { visitor, form } = await atCheckout(t);
  const again = Visitor.form((await visitor.get("/checkout")).text, "/checkout");
  assert.notEqual(again.key, form.key);
  assert.match(form.key, /^[0-9a-f-]{36}$/);
});

const DECLINED = [["insufficient_funds", /not enough money/], ["expired_card", /has expired/], ["generic_decline", /Your bank refused/], ["lost_card", /is blocked/]];
for (const [code, words] of DECLINED) {
  test(`a card refused with ${code} is explained, and the next attempt is a new one`, async (t) => {
    const { shop, visitor, form } = await atCheckout(t);
    shop.callees.on("orders", CHECKOUT, () => problem(402, "payment_declined", { decline_code: code }));
    const page = await visitor.post("/checkout", form);
    assert.equal(page.status, 402);
    assert.match(page.text, words);
    assert.match(page.text, /Nothing was charged/);
    assert.match(page.text, /value="Strandvägen 7"/);
    assert.notEqual(Visitor.form(page.text, "/checkout").key, form.key);
  });
}

test("a changed total is shown and has to be agreed to", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.on("orders", CHECKOUT, () => problem(409, "total_changed", { total: { amount: 3300, currency: "EUR" } }));
  const page = await visitor.post("/checkout", form);
  assert.match(page.text, /The new total is €33\.00/);
  const next = Visitor.form(page.text, "/checkout");
  assert.equal(next.total_amount, "3300");
  assert.notEqual(next.key, form.key);
});

test("what is missing from the stock is named", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.on("orders", CHECKOUT, () => problem(409, "insufficient_stock", { shortages: [{ sku: "KIT-MUG-01", wanted: 2, available: 1 }] }));
  const page = await visitor.post("/checkout", form);
  assert.equal(page.status, 409);
  assert.match(page.text, /Of Enamel Mug you want 2, and 1 is left/);
});

for (const code of ["checkout_unfinished", "request_in_flight", "http_504"]) {
  test(`while the result is not known (${code}) the same attempt is asked again`, async (t) => {
    const { shop, visitor, form } = await atCheckout(t);
    shop.callees.on("orders", CHECKOUT, () => problem(code === "request_in_flight" ? 409 : 503, code));
    const page = await visitor.post("/checkout", form);
    assert.match(page.text, /We are still working on your order/);
    const next = Visitor.form(page.text, "/checkout");
    assert.equal(next.key, form.key);
    assert.equal(next.total_amount, form.total_amount);
  });
}

test("when payments is away it is named, and no order is begun", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.mode.payments = "down";
  const page = await visitor.post("/checkout", form);
  assert.equal(page.status, 503);
  assert.match(page.text, /The payment service can't be reached, so we did not begin/);
  assert.equal(shop.callees.seen("orders", CHECKOUT).length, 0);
  shop.callees.mode.payments = "up";
  const placed = await visitor.post("/checkout", { ...Visitor.form(page.text, "/checkout"), ...ADDRESS });
  assert.match(placed.location, /^\/orders\//);
});

test("an order that was begun is asked after, even while payments is away", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.on("orders", CHECKOUT, () => problem(504, "http_504"));
  const open = await visitor.post("/checkout", form);
  shop.callees.mode.payments = "down";
  await visitor.post("/checkout", { ...Visitor.form(open.text, "/checkout"), ...ADDRESS });
  const keys = shop.callees.seen("orders", CHECKOUT).map((request) => request.headers["idempotency-key"]);
  assert.deepEqual(keys, [form.key, form.key]);
});

test("when orders can't take an order it says that nothing was bought", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.on("orders", CHECKOUT, () => problem(503, "unavailable"));
  const page = await visitor.post("/checkout", form);
  assert.equal(page.status, 503);
  assert.match(page.text, /Nothing was bought and nothing was charged/);
});

test("a cart that was bought already leads to its order", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  shop.callees.on("orders", CHECKOUT, () => problem(409, "cart_closed", { order_id: "order-9", state: "confirmed" }));
  assert.equal((await visitor.post("/checkout", form)).location, "/orders/order-9");
});

test("an address that is not complete is refused before anything is sent", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  const page = await visitor.post("/checkout", { ...form, city: "", country: "XX", payment_method: "pm_made_up" });
  assert.equal(page.status, 422);
  assert.match(page.text, /Please tell us the town/);
  assert.match(page.text, /aria-invalid="true"/);
  assert.equal(shop.callees.seen("orders", CHECKOUT).length, 0);
  assert.equal(Visitor.form(page.text, "/checkout").key, form.key);
});

test("odd quantities are refused", async (t) => {
  const shop = await Shop.start(t);
  const visitor = shop.visitor();
  for (const quantity of ["0", "-1", "1.5", "1e9", "ten", "100"]) {
    assert.equal((await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity })).status, 400, quantity);
  }
  assert.equal(shop.callees.requests.length > 0, true);
  assert.equal([...shop.callees.carts.values()].length, 0, "no cart was made");
});

test("no GET changes anything", async (t) => {
  const shop = await Shop.start(t);
  const visitor = await shop.customer("admin@example.com");
  await visitor.post("/cart/add", { sku: "KIT-MUG-01", quantity: "1" });
  shop.callees.requests.length = 0;
  for (const path of ["/", "/products/enamel-mug", "/cart", "/cart/add", "/cart/set", "/checkout", "/account", "/account/sign-out", "/admin", "/admin/orders"]) await visitor.get(path);
  assert.deepEqual(shop.callees.requests.filter((request) => request.method !== "GET"), []);
});

test("admin pages are for admins", async (t) => {
  const shop = await Shop.start(t);
  assert.equal((await shop.visitor().get("/admin")).location, "/account?next=%2Fadmin");
  const customer = await shop.customer();
  for (const path of ["/admin", "/admin/orders", "/admin/products/new"]) assert.equal((await customer.get(path)).status, 403);
  assert.equal((await customer.post("/admin/stock", { sku: "KIT-MUG-01", delta: "5", reason: "count" })).status, 403);
  assert.equal(shop.callees.seen("inventory", "POST /api/inventory/adjustments").length, 0);
  const admin = await shop.customer("admin@example.com");
  const changed = await admin.post("/admin/stock", { sku: "KIT-MUG-01", delta: "-3", reason: "broken", key: "stock-key-0001" });
  assert.equal(changed.location, "/admin?news=stock");
  const [sent] = shop.callees.seen("inventory", "POST /api/inventory/adjustments");
  assert.deepEqual(sent.body, { sku: "KIT-MUG-01", delta: -3, reason: "broken" });
  assert.equal(sent.headers["idempotency-key"], "stock-key-0001");
});

test("an admin's edit carries the version that was seen, and typed prices become minor units", async (t) => {
  const shop = await Shop.start(t);
  const admin = await shop.customer("admin@example.com");
  const form = Visitor.form((await admin.get("/admin/products/product-1")).text, "/admin/products/product-1");
  const saved = await admin.post("/admin/products/product-1", { ...form, description: "New", category: "kitchen", price: "12,5" });
  assert.equal(saved.status, 303);
  const [sent] = shop.callees.seen("catalog", "PATCH /api/catalog/products/product-1");
  assert.equal(sent.headers["if-match"], '"1"');
  assert.deepEqual(sent.body.price, { amount: 1250, currency: "EUR" });
  const bad = await admin.post("/admin/products/product-1", { ...form, description: "New", category: "kitchen", price: "12.345" });
  assert.equal(bad.status, 422);
});

test("nothing secret is logged", async (t) => {
  const { shop, visitor, form } = await atCheckout(t);
  await visitor.post("/checkout", form);
  await visitor.post("/account/sign-in", { email: "ada@example.com", password: "wrong password" });
  const logs = JSON.stringify(shop.logs);
  for (const secret of ["ada@example.com", "correct horse", "wrong password", "Strandv", visitor.cookies.get("shop_access"), visitor.cookies.get("shop_refresh"), form.cart_id]) {
    assert.equal(logs.includes(secret), false, secret);
  }
});
