#!/usr/bin/env node
// How large the pages of the dashboard are, and how soon they are painted, with many services and many spans.
//
// usage: bench/pages.mjs [services, 50] [spans, 100000]
//
// An app of so many services in a ring of calls, spans sent in their names by OTLP, and a headless Chromium that opens each page ten
// times. Needs Chromium, `npm ci` in shop/storefront, and `cargo build --release -p isles -p testkit --bins`.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "../shop/storefront/node_modules/playwright-core/index.mjs";

const [services = 50, spans = 100_000] = process.argv.slice(2).map(Number);
const target = join(process.env.CARGO_TARGET_DIR ?? join(import.meta.dirname, "../target"), "release");
const folder = mkdtempSync(join(tmpdir(), "isles-pages-"));
const isles = (...words) => execFileSync(join(target, "isles"), words, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const port = await freePort();
const name = (n) => `service-${String(n % services).padStart(2, "0")}`;
let manifest = `name = "pages"\nverify_callers = false\n[gateway]\nlisten = "127.0.0.1:${port}"\n[console]\nlisten = "127.0.0.1:${await freePort()}"\n`;
for (let n = 0; n < services; n++) {
  manifest += `[[gateway.routes]]\npath = "/${name(n)}"\nservice = "${name(n)}"\nstrip = true\n`;
  manifest += `[services.${name(n)}]\ncommand = "${target}/scripted-service"\ncalls = ["${name(n + 1)}"]\n`;
}
writeFileSync(join(folder, "isles.toml"), manifest);
try {
  isles("up", "-d");
  const ask = async (n, path) => (await fetch(`http://127.0.0.1:${port}/${name(n)}${path}`)).text();
  const environments = [];
  for (let n = 0; n < services; n++) environments.push(JSON.parse(await ask(n, "/env")));
  for (let n = 0; n < services; n++) {
    const callee = `${name(n + 1).toUpperCase().replaceAll("-", "_")}_URL`;
    await ask(n, `/pass?url=${environments[n][callee]}/x`);
  }
  // What fails is kept, however much it is.
  for (let sent = 0, n = 0; sent < spans; n++) {
    const batch = Array.from({ length: Math.min(1000, spans - sent) }, (_, i) => ({
      traceId: randomBytes(16).toString("hex"), spanId: randomBytes(8).toString("hex"), name: `work ${i % 20}`, kind: 2, status: { code: 2 },
      startTimeUnixNano: String(BigInt(Date.now()) * 1_000_000n), endTimeUnixNano: String(BigInt(Date.now()) * 1_000_000n + 5_000_000n),
      attributes: [{ key: "order.id", value: { stringValue: `A-${sent + i}` } }],
    }));
    const answer = await fetch(`${environments[n % services].OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: batch }] }] }),
    });
    const { partialSuccess } = await answer.json();
    if (partialSuccess?.rejectedSpans) await new Promise((resolve) => setTimeout(resolve, 2000));
    else sent += batch.length;
  }
  const link = isles("console").trim();
  const base = new URL(link).origin;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--headless", "--no-sandbox", "--disable-gpu"] });
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  await page.goto(link);
  console.log(`${services} services, ${spans} spans\n\n| page | HTML kB | with style and script kB | first paint ms, median of 10 | worst |\n|---|---:|---:|---:|---:|`);
  const sizes = async (path) => (await (await page.request.get(base + path)).body()).length / 1000;
  const assets = (await sizes("/assets/style.css")) + (await sizes("/assets/script.js"));
  for (const path of ["/", `/services/${name(0)}`, "/timeline", "/traces", "/traces?text=order.id=A-4", "/logs", "/manifest"]) {
    const paints = [];
    for (let round = 0; round < 10; round++) {
      await page.goto(base + path, { waitUntil: "load" });
      paints.push(await page.evaluate(async () => {
        for (;;) {
          const paint = performance.getEntriesByName("first-contentful-paint")[0];
          if (paint) return paint.startTime;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }));
    }
    paints.sort((a, b) => a - b);
    const size = await sizes(path);
    console.log(`| ${path} | ${size.toFixed(0)} | ${(size + assets).toFixed(0)} | ${paints[5].toFixed(0)} | ${paints[9].toFixed(0)} |`);
  }
  await browser.close();
} finally {
  try {
    isles("down");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
