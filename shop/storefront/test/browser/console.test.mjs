// The dashboard of the running shop, with a real browser: CONSOLE_URL is what `isles console` prints.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import test, { after, before } from "node:test";
import { chromium } from "playwright-core";
import { whole } from "./whole.mjs";

const CONSOLE = process.env.CONSOLE_URL ?? "";
// Where pictures of the pages are put, for docs/images; none are made without it.
const SHOTS = process.env.CONSOLE_SHOTS ?? "";
const options = { skip: CONSOLE === "" ? "CONSOLE_URL is not set" : false, timeout: 120_000 };
const BASE = CONSOLE === "" ? "" : new URL(CONSOLE).origin;
let browser;

before(async () => {
  if (CONSOLE === "") return;
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
  if (SHOTS !== "") mkdirSync(SHOTS, { recursive: true });
});
after(() => browser?.close());

/** A window that has been let in; the test fails if anything goes wrong in it. */
async function open(t, settings = {}) {
  // The page's own policy lets no other script in, axe included.
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: true, ...settings });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !message.text().includes("favicon")) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(CONSOLE);
  assert.equal(page.url(), `${BASE}/`, "the token is not in the address");
  return page;
}

/**
 * Buys one thing through the gateway, and gives the time at which its checkout began. While nobody else buys, so few requests
 * are among the first of their second, whose traces are kept whole.
 */
async function buy(page) {
  const { gateway } = await (await page.request.get(`${BASE}/v1/status`)).json();
  const ask = async (method, path, data, headers = {}) => {
    const answer = await page.request.fetch(`${gateway}/api${path}`, { method, data, headers });
    assert.ok(answer.ok(), `${method} ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  };
  const account = { email: `${randomUUID()}@customers.example`, password: `long enough ${randomUUID()}` };
  await ask("POST", "/accounts/register", { ...account, name: "Ada Lindqvist" });
  const { access_token } = await ask("POST", "/accounts/sessions", account);
  const token = { authorization: `Bearer ${access_token}` };
  const { items } = await ask("GET", "/catalog/products?limit=1");
  const { id } = await ask("POST", "/orders/carts", {}, token);
  const cart = await ask("PUT", `/orders/carts/${id}/lines/${items[0].sku}`, { quantity: 1 }, token);
  const began = Date.now();
  const body = { cart_id: id, payment_method: "pm_card_visa", expected_total: cart.total };
  await ask("POST", "/orders/checkout", body, { ...token, "idempotency-key": randomUUID() });
  return began;
}

/** The trace of the reservation that was made since a time, as soon as it is known. */
async function reservation(page, since) {
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    const { spans } = await (await page.request.get(`${BASE}/v1/spans?service=inventory&n=200`)).json();
    const made = spans.find((span) => span.start >= since && span.attributes["url.path"] === "/reservations");
    if (made) return made.trace;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error("the checkout's trace is not kept");
}

const PAGES = [
  ["overview", "/"],
  ["service", "/services/orders"],
  ["timeline", "/timeline"],
  ["traces", "/traces"],
  ["logs", "/logs"],
  ["sagas", "/sagas"],
  ["manifest", "/manifest"],
];

for (const [name, settings] of [
  ["light", {}],
  ["dark", { colorScheme: "dark" }],
  ["on a phone", { viewport: { width: 375, height: 800 } }],
]) {
  test(`every page is accessible and whole, ${name}`, options, async (t) => {
    const page = await open(t, settings);
    const paths = [...PAGES];
    for (const [what, list] of [["saga", "/sagas"], ["trace", "/traces?service=orders"]]) {
      await page.goto(BASE + list);
      paths.push([what, await page.locator("#live tbody a").first().getAttribute("href")]);
    }
    for (const [what, path] of paths) {
      const answer = await page.goto(BASE + path);
      assert.equal(answer.status(), 200, what);
      await whole(page, `${what}, ${name}`);
      const loaded = await page.evaluate(() => performance.getEntriesByType("resource").filter((r) => !r.name.startsWith(location.origin)).length);
      assert.equal(loaded, 0, `${what} loads from elsewhere`);
      if (SHOTS !== "" && name !== "on a phone") await page.screenshot({ path: `${SHOTS}/console-${what}-${name}.png` });
    }
  });
}

test("the map has every service, and a click leads to it", options, async (t) => {
  const page = await open(t);
  for (const service of ["accounts", "catalog", "inventory", "orders", "payments", "recommendations", "storefront"]) {
    await page.locator("svg.map text.name", { hasText: service }).waitFor();
  }
  await page.locator("svg.map a[href='/services/orders']").click();
  await page.waitForURL("**/services/orders");
  await page.getByRole("heading", { name: "orders", exact: true }).waitFor();
});

test("a service is scaled on its page, which shows it while it happens", options, async (t) => {
  const page = await open(t);
  const scale = async (replicas) => {
    await page.goto(`${BASE}/services/inventory`);
    await page.getByLabel("Replicas").fill(String(replicas));
    await page.getByRole("button", { name: "Scale" }).click();
    await page.getByText(`${replicas} of ${replicas} replicas ready`).waitFor({ timeout: 30_000 });
  };
  const asked = [];
  page.on("dialog", (dialog) => {
    asked.push(dialog.message());
    return dialog.accept();
  });
  await scale(2);
  await page.getByRole("rowheader", { name: "inventory-2" }).waitFor();
  await scale(1);
  assert.equal(asked.length, 2, "it asks before it does");
});

test("a service shows who calls which operation, and that what was looked at is as its contract says", options, async (t) => {
  const page = await open(t);
  await page.goto(`${BASE}/services/inventory`);
  const row = page.getByRole("row").filter({ hasText: "POST /reservations/{key}/commit" }).first();
  await row.filter({ hasText: "isles-sagas" }).waitFor();
  await page.getByText(/[1-9]\d* requests were looked at/).waitFor();
  await page.getByText(", about one of each operation in a second; 0 were not as the contract says").waitFor();
});

test("one checkout is a saga with every step, and a trace across services", options, async (t) => {
  const page = await open(t);
  await page.goto(`${BASE}/sagas?saga=checkout&status=done`);
  await page.locator("#live tbody a").first().click();
  await page.waitForURL("**/sagas/*");
  for (const step of ["order", "stock", "intent", "authorization", "commit", "capture", "confirm"]) {
    await page.getByRole("rowheader", { name: step, exact: true }).first().waitFor();
  }
  await page.getByText("ended: done").waitFor();
  const trace = await reservation(page, await buy(page));
  await page.goto(`${BASE}/traces?service=inventory`);
  await page.locator(`#live tbody a[href="/traces/${trace}"]`, { hasText: "POST /reservations" }).click();
  for (const call of ["gateway → orders", "orders → isles-sagas", "isles-sagas → inventory"]) {
    await page.locator(".who", { hasText: call }).first().waitFor();
  }
  const depth = await page.locator(".who", { hasText: "isles-sagas → inventory" }).first().locator(".step").count();
  assert.equal(depth, 2, "the steps of the saga are below the request that began it");
});

test("logs are searched", options, async (t) => {
  const page = await open(t);
  await page.goto(`${BASE}/logs`);
  await page.getByLabel("Text").fill("listening");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL("**/logs?*q=listening");
  const lines = await page.locator(".log div").allTextContents();
  assert.ok(lines.length > 0 && lines.every((line) => line.toLowerCase().includes("listening")), lines.join("\n"));
});

test("without script every page can be read and used", options, async (t) => {
  const page = await open(t, { javaScriptEnabled: false });
  await page.getByRole("link", { name: "Traces" }).click();
  await page.getByLabel("only failed").check();
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL("**/traces?*errors=on*");
});
