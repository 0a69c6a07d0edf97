/**
 * The storefront: server-rendered pages over the services of the shop.
 *
 * It keeps nothing: who somebody is and which cart is theirs is in their cookies, everything else belongs to a service.
 * It must never: show one shopper's data to another (pages are never cached), run script from a page (strict policy),
 * change anything on a GET, send an order twice for one form, or fall over because a service is away.
 */

import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { buildApp } from "./app.ts";
import { BadConfig, readConfig } from "./config.ts";
import { Files } from "./http/files.ts";
import { log } from "./log.ts";

/** Below the 10 s that a supervisor waits before it kills. */
const DRAIN_MS = 8000;

function main(): void {
  const config = readConfig(process.env);
  const files = new Files(fileURLToPath(new URL("public", import.meta.url)));
  const app = buildApp(config, files);
  const server = serve({ fetch: app.fetch, hostname: config.host, port: config.port, overrideGlobalObjects: false }, (info) => {
    log("info", "listening", { host: info.address, port: info.port });
  });
  server.on("error", (error) => {
    log("error", "cannot listen", { error: error.message });
    process.exit(1);
  });

  let isDraining = false;
  const drain = (signal: string): void => {
    if (isDraining) return;
    isDraining = true;
    log("info", "draining", { signal });
    server.close(() => process.exit(0));
    if ("closeIdleConnections" in server) server.closeIdleConnections();
    setTimeout(() => process.exit(0), DRAIN_MS).unref();
  };
  process.on("SIGTERM", drain);
  process.on("SIGINT", drain);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BadConfig)) throw error;
  log("error", `bad configuration: ${error.message}`);
  process.exitCode = 2;
}
