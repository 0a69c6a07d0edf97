// The real storefront as a process on a port of its own, and a shopper without a browser.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Callees } from "./callees.mjs";

const SERVER = fileURLToPath(new URL("../../dist/server.mjs", import.meta.url));

export class Shop {
  logs = [];

  /** Starts the storefront over scriptable callees; ends both when the test `t` ends. */
  static async start(t, env = {}) {
    const shop = new Shop();
    shop.callees = await Callees.start();
    shop.process = spawn(process.execPath, [SERVER], { env: { PATH: process.env.PATH, PORT: "0", HOST: "127.0.0.1", ...shop.callees.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
    t?.after(() => shop.stop());
    const lines = createInterface({ input: shop.process.stdout });
    shop.url = await new Promise((resolve, reject) => {
      shop.process.once("exit", (code) => reject(new Error(`the storefront ended with ${code}: ${JSON.stringify(shop.logs)}`)));
      lines.on("line", (line) => {
        const entry = JSON.parse(line);
        shop.logs.push(entry);
        if (entry.message === "listening") resolve(`http://127.0.0.1:${entry.port}`);
      });
    });
    return shop;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
      await once(this.process, "exit");
    }
    await this.callees.stop();
  }

  visitor() {
    return new Visitor(this);
  }

  /** A visitor who is signed in. */
  async customer(email = "ada@example.com") {
    const visitor = this.visitor();
    await visitor.post("/account/sign-in", { email, password: "correct horse battery" });
    return visitor;
  }
}

export class Visitor {
  cookies = new Map();
  constructor(shop) {
    this.shop = shop;
  }

  async request(path, init = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(this.shop.url + path, { redirect: "manual", ...init, headers: { ...(cookie === "" ? {} : { cookie }), ...init.headers } });
    // Apostrophes are escaped too, though attributes only ever stand in double quotes; tests read better without.
    const text = (await response.text()).replaceAll("&#39;", "'");
    const setCookies = response.headers.getSetCookie();
    for (const line of setCookies) {
      const [pair] = line.split(";");
      const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
      if (/max-age=0/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { status: response.status, headers: response.headers, text, location: response.headers.get("location"), setCookies };
  }

  get(path, headers = {}) {
    return this.request(path, { headers });
  }

  post(path, form, headers = { "sec-fetch-site": "same-origin" }) {
    return this.request(path, { method: "POST", body: new URLSearchParams(form), headers });
  }

  /** The hidden and visible values of the form that posts to `action`. */
  static form(html, action) {
    const start = html.indexOf(`action="${action}"`);
    const inner = html.slice(start, html.indexOf("</form>", start));
    const values = {};
    for (const [tag] of inner.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(tag)?.[1];
      const value = (/value="([^"]*)"/.exec(tag)?.[1] ?? "").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
      const type = /type="([^"]*)"/.exec(tag)?.[1];
      if (name !== undefined && (type !== "radio" && type !== "checkbox" || /checked/.test(tag))) values[name] = value;
    }
    return values;
  }
}

export const ADDRESS = { address_name: "Ada Lindqvist", line1: "Strandvägen 7", postal_code: "114 56", city: "Stockholm", country: "SE" };
