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
// A service of which another build lies where the manifest looks for it than the one that runs.
const REBUILT = process.env.CONSOLE_REBUILT ?? "";
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

/** A new customer with one thing in the cart; gives what checks it out. */
async function customer(page) {
  const { gateway } = await (await page.request.get(`${BASE}/v1/status`)).json();
  const send = (method, path, data, headers = {}) => page.request.fetch(`${gateway}/api${path}`, { method, data, headers });
  const ask = async (...call) => {
    const answer = await send(...call);
    assert.ok(answer.ok(), `${call[0]} ${call[1]}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  };
  const account = { email: `${randomUUID()}@customers.example`, password: `long enough ${randomUUID()}` };
  await ask("POST", "/accounts/register", { ...account, name: "Ada Lindqvist" });
  const { access_token } = await ask("POST", "/accounts/sessions", account);
  const token = { authorization: `Bearer ${access_token}` };
  const { items } = await ask("GET", "/catalog/products?limit=1");
  const { id } = await ask("POST", "/orders/carts", {}, token);
  const cart = await ask("PUT", `/orders/carts/${id}/lines/${items[0].sku}`, { quantity: 1 }, token);
  return (method) => {
    const body = { cart_id: id, payment_method: method, expected_total: cart.total };
    return send("POST", "/orders/checkout", body, { ...token, "idempotency-key": randomUUID() });
  };
}

/** What `look` finds, as soon as it finds something. */
async function until(what, look) {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`not within 30 s: ${what}`);
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
  // While nobody else buys, so few requests are among the first of their second, whose traces are kept whole.
  const [check_out, began] = [await customer(page), Date.now()];
  assert.equal((await check_out("pm_card_visa")).status(), 201);
  const trace = await until("the checkout's trace", async () => {
    const { spans } = await (await page.request.get(`${BASE}/v1/spans?service=inventory&n=200`)).json();
    return spans.find((span) => span.start >= began && span.attributes["url.path"] === "/reservations")?.trace;
  });
  await page.goto(`${BASE}/traces?service=inventory`);
  await page.locator(`#live tbody a[href="/traces/${trace}"]`, { hasText: "POST /reservations" }).click();
  for (const call of ["gateway → orders", "orders → isles-sagas", "isles-sagas → inventory"]) {
    await page.locator(".who", { hasText: call }).first().waitFor();
  }
  const depth = await page.locator(".who", { hasText: "isles-sagas → inventory" }).first().locator(".step").count();
  assert.equal(depth, 2, "the steps of the saga are below the request that began it");
});

test("a saga is tried again and undone on its page", options, async (t) => {
  const page = await open(t);
  page.on("dialog", (dialog) => dialog.accept());
  const check_out = await customer(page);
  const answered = check_out("pm_card_slow");
  await page.goto(`${BASE}/sagas?status=running`);
  await page.locator("#live tbody a").first().click();
  await page.waitForURL("**/sagas/*");
  // Nothing waits for another attempt yet, so that this changes nothing, and is no error.
  const tried = page.waitForResponse((answer) => answer.url().endsWith("/retry"));
  const again = page.waitForEvent("load");
  await page.getByRole("button", { name: "Try again" }).click();
  assert.equal((await tried).status(), 303, "back to the page");
  await again;
  await page.getByRole("heading", { name: /^checkout/ }).waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("ended: undone").waitFor({ timeout: 60_000 });
  await page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "stock", exact: true }) }).filter({ hasText: "undone" }).first().waitFor();
  assert.notEqual((await answered).status(), 201, "nothing was bought");
});

const rebuilt = { ...options, skip: options.skip || (REBUILT === "" ? "CONSOLE_REBUILT is not set" : false) };
test("a release is deployed as a canary, promoted, taken back and put back, and replicas are replaced, on the service's page", rebuilt, async (t) => {
  const page = await open(t);
  page.on("dialog", (dialog) => dialog.accept());
  await page.goto(`${BASE}/services/${REBUILT}`);
  const release = page.locator("#live > p code").first();
  const rollouts = async () => Number((await page.getByRole("heading", { name: /^Rollout \d+/ }).textContent()).match(/\d+/)[0]);
  const press = async (name) => {
    const before = await rollouts();
    await page.getByRole("button", { name, exact: true }).first().click();
    return () => until("its rollout is done", async () => (await rollouts()) > before && (await page.getByRole("heading", { name: /^Rollout \d+: done/ }).count()) > 0);
  };
  const first = await release.textContent();
  await page.getByLabel("as a canary").check();
  await press("Deploy");
  await page.getByText("waits to be promoted or rolled back").waitFor({ timeout: 60_000 });
  assert.equal(await release.textContent(), first, "a canary is not in charge");
  await page.getByRole("button", { name: "Promote" }).click();
  await page.getByRole("heading", { name: /^Rollout \d+: done/ }).waitFor({ timeout: 60_000 });
  const second = await release.textContent();
  assert.notEqual(second, first);
  await (await press("Roll back"))();
  assert.equal(await release.textContent(), first);
  await (await press("Go back to it"))();
  assert.equal(await release.textContent(), second);

  const pid = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: `${REBUILT}-`, exact: false }) }).first().locator("td.number").first();
  const old = await pid.textContent();
  await page.getByRole("button", { name: "Restart" }).click();
  await until("another process", async () => (await pid.textContent()) !== old);
  await page.getByText("1 of 1 replicas ready").waitFor({ timeout: 30_000 });
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
