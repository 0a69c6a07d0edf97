// A shopper with a real browser, at a shop that runs: SHOP_URL is its gateway.
//
// Run it with SHOP_URL=http://127.0.0.1:8080 npm run test:browser. The browser is $CHROMIUM or /usr/bin/chromium.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test, { after, before } from "node:test";
import { chromium } from "playwright-core";
import { whole } from "./whole.mjs";

const SHOP = (process.env.SHOP_URL ?? "").replace(/\/+$/, "");
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const options = { skip: SHOP === "" ? "SHOP_URL is not set" : false, timeout: 120_000 };
let browser;

before(async () => {
  if (SHOP !== "") browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGS });
});
after(() => browser?.close());

/** A new browser window; the test fails if anything in it goes wrong, besides the statuses in `expected`. */
async function open(t, settings = {}, expected = []) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...settings });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    const isExpected = expected.some((status) => message.text().includes(`status of ${status}`));
    if (["error", "warning"].includes(message.type()) && !isExpected) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`page: ${error.message}`));
  page.on("requestfailed", (request) => {
    // The browser drops pictures of a page that it leaves.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && !expected.includes(response.status())) faults.push(`${response.status()}: ${response.url()}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  return page;
}

async function register(page) {
  const email = `shopper-${randomUUID()}@example.com`;
  await page.goto(`${SHOP}/account`);
  await fillRegistration(page, email);
  await page.waitForURL("**/account?news=welcome");
  return email;
}

async function fillRegistration(page, email) {
  await page.getByLabel("Your name").fill("Ada Lindqvist");
  await page.getByRole("region", { name: "New here?" }).getByLabel("E-mail").fill(email);
  await page.getByRole("region", { name: "New here?" }).getByLabel("Password").fill("correct horse battery staple");
  await page.getByRole("button", { name: "Make an account" }).click();
}

async function fillAddress(page) {
  await page.getByLabel("Full name").fill("Ada Lindqvist");
  await page.getByLabel("Street and number").fill("Strandvägen 7");
  await page.getByLabel("Postcode").fill("114 56");
  await page.getByLabel("Town or city").fill("Stockholm");
  await page.getByLabel("Country").selectOption("SE");
}

async function stockOf(sku) {
  const response = await fetch(`${SHOP}/api/inventory/stock/${sku}`);
  assert.equal(response.status, 200);
  return (await response.json()).on_hand;
}

/** Polls until `read` gives `wanted`, so that a test never waits longer than it has to. */
async function until(read, wanted) {
  const deadline = Date.now() + 15_000;
  let seen = await read();
  while (seen !== wanted && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    seen = await read();
  }
  assert.equal(seen, wanted);
}

async function checkPage(page, what) {
  await whole(page, what);
  const broken = await page.evaluate(async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
    return [...document.images].filter((image) => image.naturalWidth === 0).map((image) => image.src);
  });
  assert.deepEqual(broken, [], `pictures of ${what}`);
}

test("a new customer finds something, buys it, and the stock goes down by what was bought", options, async (t) => {
  const page = await open(t);
  const sku = "OUT-FLK-01";
  const before = await stockOf(sku);
  await register(page);

  await page.goto(SHOP);
  await page.getByRole("searchbox", { name: "Search the shop" }).fill("flask");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Vacuum Flask" }).click();
  await page.getByRole("heading", { level: 1, name: "Vacuum Flask" }).waitFor();
  await page.getByLabel("Quantity").selectOption("2");
  await page.getByRole("button", { name: "Add to cart" }).click();
  await page.waitForURL("**/cart**");
  assert.equal(await page.locator("[data-cart-count]").innerText().then((text) => Number.parseInt(text, 10)), 2);

  await page.getByRole("link", { name: "Check out" }).click();
  await fillAddress(page);
  await page.locator('input[value="pm_card_visa"]').check();
  await page.getByRole("button", { name: "Place order and pay" }).click();
  await page.waitForURL("**/orders/**", { timeout: 40_000 });
  await page.getByText("Your order is confirmed").waitFor();
  assert.equal(await page.locator("[data-order-status]").getAttribute("data-order-status"), "confirmed");
  await page.getByText("Strandvägen 7").waitFor();
  await until(() => stockOf(sku), before - 2);
  assert.equal(await page.locator("[data-cart-count]").count(), 0);

  await page.goto(`${SHOP}/account`);
  await page.getByRole("link", { name: /^Order / }).first().click();
  await page.getByRole("button", { name: "Cancel this order" }).click();
  await page.getByText("This order was cancelled").waitFor();
  await until(() => stockOf(sku), before);
});

test("a refused card is said, and another one then works", options, async (t) => {
  const page = await open(t, {}, [402]);
  await register(page);
  await page.goto(`${SHOP}/products/olive-soap`);
  await page.getByRole("button", { name: "Add to cart" }).click();
  await page.getByRole("link", { name: "Check out" }).click();
  await fillAddress(page);
  await page.locator('input[value="pm_card_insufficient_funds"]').check();
  await page.getByRole("button", { name: "Place order and pay" }).click();
  await page.getByRole("alert").getByText("There is not enough money on this card").waitFor();
  assert.equal(await page.getByLabel("Town or city").inputValue(), "Stockholm");
  await page.locator('input[value="pm_card_visa"]').check();
  await page.getByRole("button", { name: "Place order and pay" }).click();
  await page.getByText("Your order is confirmed").waitFor({ timeout: 40_000 });
});

test("everything can be done with the keyboard alone", options, async (t) => {
  const page = await open(t);
  await page.goto(`${SHOP}/products/paper-scissors`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  await tabTo(page, "Add to cart");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/cart**");
  await tabTo(page, "Check out");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/account?next=**");
  await tabTo(page, "Your name");
  for (const text of ["Ada Lindqvist", `keys-${randomUUID()}@example.com`, "correct horse battery staple"]) {
    await page.keyboard.type(text);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.waitForURL("**/checkout");
  await tabTo(page, "Street and number");
  for (const text of ["Strandvägen 7", "", "114 56", "Stockholm"]) {
    await page.keyboard.type(text);
    await page.keyboard.press("Tab");
  }
  await tabTo(page, "Place order and pay");
  await page.keyboard.press("Enter");
  await page.getByText("Your order is confirmed").waitFor({ timeout: 40_000 });
});

/** Presses Tab until what is focused has this name, and checks that the focus can be seen on the way. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const label = element.labels?.[0]?.textContent ?? "";
      const shown = [element, element.parentElement, element.closest("article, li")].some((e) => e !== null && getComputedStyle(e).outlineStyle !== "none");
      return { name: (label || element.textContent || "").trim(), shown };
    });
    assert.ok(focused.shown, `the focus on “${focused.name}” can be seen`);
    if (focused.name === name) return;
  }
  assert.fail(`Tab never came to “${name}”`);
}

for (const [look, settings] of Object.entries({
  "on a desk in the light": { colorScheme: "light" },
  "on a desk in the dark": { colorScheme: "dark" },
  "on a phone of 375 px": { viewport: { width: 375, height: 740 } },
})) {
  test(`every page is accessible and whole ${look}`, options, async (t) => {
    const page = await open(t, settings, [404]);
    const visit = async (path) => {
      await page.goto(SHOP + path);
      await checkPage(page, path);
    };
    for (const path of ["/", "/?category=lighting", "/?q=zzzz", "/products/enamel-mug", "/products/folding-camp-stove", "/cart", "/account", "/nothing"]) await visit(path);
    await register(page);
    await page.goto(`${SHOP}/products/pepper-mill`);
    await page.getByRole("button", { name: "Add to cart" }).click();
    await checkPage(page, "a full cart");
    await visit("/checkout");
    await fillAddress(page);
    await page.getByLabel("Keep this address in my account").check();
    await page.getByRole("button", { name: "Place order and pay" }).click();
    await page.getByText("Your order is confirmed").waitFor({ timeout: 40_000 });
    await checkPage(page, "an order");
    await visit("/account");
    if (process.env.SHOP_ADMIN_EMAIL && process.env.SHOP_ADMIN_PASSWORD) await checkAdminPages(page, visit);
  });
}

async function checkAdminPages(page, visit) {
  await page.getByRole("button", { name: "Sign out" }).click();
  const door = page.getByRole("region", { name: "Sign in" });
  await door.getByLabel("E-mail").fill(process.env.SHOP_ADMIN_EMAIL);
  await door.getByLabel("Password").fill(process.env.SHOP_ADMIN_PASSWORD);
  await door.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Your orders" }).waitFor();
  for (const path of ["/admin", "/admin/orders", "/admin/products/new"]) await visit(path);
  await page.goto(`${SHOP}/admin`);
  await page.getByRole("link", { name: /^Edit / }).first().click();
  await checkPage(page, "the editor");
}

test("without script a guest still searches, sorts and fills a cart", options, async (t) => {
  const page = await open(t, { javaScriptEnabled: false });
  await page.goto(`${SHOP}/?category=desk`);
  await page.getByLabel("Sort by").selectOption("price");
  await page.getByRole("button", { name: "Sort" }).click();
  await page.getByRole("link", { name: "Clothbound Notebook" }).click();
  await page.getByRole("button", { name: "Add to cart" }).click();
  await page.getByText("It is in your cart").waitFor();
  await page.getByLabel("Quantity of Clothbound Notebook").fill("3");
  await page.getByRole("button", { name: "Update" }).click();
  await page.getByText("€54.00").first().waitFor();
  await page.getByRole("button", { name: "Remove Clothbound Notebook" }).click();
  await page.getByText("There is nothing in it yet").waitFor();
});
