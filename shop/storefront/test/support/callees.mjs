// Stand-ins for the services that the storefront calls: small, and scriptable by a test.
//
// `callees.on("orders", "POST /api/orders/checkout", answer)` replaces one operation; `answer(request)` returns
// `{ status, body, headers }`. `callees.mode.payments = "down"` closes every connection, "slow" never answers.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";

const NAMES = ["accounts", "catalog", "inventory", "orders", "payments", "recommendations"];
const seed = JSON.parse(readFileSync(new URL("../../../seed/products.json", import.meta.url), "utf8"));
const eur = (amount) => ({ amount, currency: "EUR" });

export function problem(status, code, members = {}) {
  return { status, headers: { "content-type": "application/problem+json" }, body: { type: "about:blank", title: code, status, code, detail: "", ...members } };
}

export function token(claims = {}, seconds = 900) {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: "accounts", aud: "shop", sub: "customer-1", email: "ada@example.com", name: "Ada Lindqvist", role: "customer", iat: now, exp: now + seconds, ...claims };
  return ["e30", Buffer.from(JSON.stringify(payload)).toString("base64url"), "c2ln"].join(".");
}

export class Callees {
  mode = Object.fromEntries(NAMES.map((name) => [name, "up"]));
  /** Every request that arrived: `{ callee, method, path, query, headers, body }`. */
  requests = [];
  env = {};
  products = seed.map((p, i) => ({
    id: `product-${i + 1}`, sku: p.sku, slug: p.slug, name: p.name, description: p.description, category: p.category,
    price: eur(p.price_amount), image: `/images/products/${p.slug}.svg`, status: "active", version: 1,
  }));
  stock = new Map(seed.map((p) => [p.sku, p.stock]));
  carts = new Map();
  placed = new Map();
  addresses = [];
  together = [];
  #scripts = new Map();
  #servers = [];

  static async start() {
    const callees = new Callees();
    for (const name of NAMES) {
      const server = createServer((request, response) => void callees.#answer(name, request, response));
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      callees.#servers.push(server);
      callees.env[`${name.toUpperCase()}_URL`] = `http://127.0.0.1:${server.address().port}`;
    }
    return callees;
  }

  on(callee, operation, answer) {
    this.#scripts.set(`${callee} ${operation}`, answer);
  }

  /** The requests to one operation, such as ("orders", "POST /api/orders/checkout"). */
  seen(callee, operation) {
    return this.requests.filter((r) => r.callee === callee && `${r.method} ${r.path}` === operation);
  }

  async stop() {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #answer(callee, request, response) {
    let raw = "";
    for await (const chunk of request) raw += chunk;
    if (this.mode[callee] === "down") return void request.socket.destroy();
    if (this.mode[callee] === "slow") return;
    const url = new URL(request.url, "http://callee");
    if (url.pathname === "/health/live") return void response.end("{}");
    const seen = { callee, method: request.method, path: url.pathname, query: url.searchParams, headers: request.headers, body: raw === "" ? undefined : JSON.parse(raw) };
    this.requests.push(seen);
    const script = this.#scripts.get(`${callee} ${seen.method} ${seen.path}`);
    const { status = 200, headers = {}, body } = (await (script ?? ((r) => this[callee](r)))(seen)) ?? problem(404, "not_found");
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  }

  accounts({ method, path, body }) {
    switch (`${method} ${path}`) {
      case "POST /api/accounts/register": return { status: 201, body: { id: "customer-1", email: body.email, name: body.name } };
      case "POST /api/accounts/sessions":
        return body.password === "wrong password" ? problem(401, "unauthenticated") : this.tokens({ email: body.email, role: body.email.startsWith("admin") ? "admin" : "customer" });
      case "POST /api/accounts/sessions/refresh": return this.tokens({});
      case "DELETE /api/accounts/sessions/current": return { status: 204, body: "" };
      case "GET /api/accounts/me": return { headers: { etag: '"1"' }, body: { id: "customer-1", email: "ada@example.com", name: "Ada Lindqvist" } };
      case "GET /api/accounts/me/addresses": return { body: { items: this.addresses, next_cursor: null } };
      case "POST /api/accounts/me/addresses": this.addresses.push({ id: randomUUID(), ...body }); return { status: 201, body: {} };
      default: return path === "/api/accounts/me" || path.startsWith("/api/accounts/me/") ? { status: 204, body: "" } : null;
    }
  }

  tokens(claims) {
    return { status: 201, body: { access_token: token(claims), refresh_token: randomUUID(), token_type: "Bearer", expires_in: 900 } };
  }

  catalog({ method, path, query, body }) {
    if (path === "/api/catalog/categories") {
      const names = new Map(seed.map((p) => [p.category, p.category_name]));
      return { body: { items: [...names].map(([slug, name]) => ({ slug, name, count: this.products.filter((p) => p.category === slug).length })) } };
    }
    if (path === "/products/by-sku") return { body: { items: this.products.filter((p) => query.getAll("sku").includes(p.sku)) } };
    if (path === "/api/catalog/products" && method === "POST") return { status: 201, body: { ...body, id: "product-new", image: "", status: "active", version: 1 } };
    if (path === "/api/catalog/products") return { body: this.#search(query) };
    const key = decodeURIComponent(path.split("/").pop());
    const found = this.products.find((p) => p.id === key || p.slug === key);
    return found === undefined ? null : { headers: { etag: `"${found.version}"` }, body: { ...found, ...body } };
  }

  #search(query) {
    const q = (query.get("q") ?? "").toLowerCase();
    const found = this.products.filter((p) => p.name.toLowerCase().includes(q) && (!query.get("category") || p.category === query.get("category")));
    const sort = query.get("sort");
    if (sort === "price") found.sort((a, b) => a.price.amount - b.price.amount);
    if (sort === "name") found.sort((a, b) => a.name.localeCompare(b.name));
    const start = Number(query.get("cursor") ?? 0);
    const end = start + Number(query.get("limit") ?? 20);
    return { items: found.slice(start, end), next_cursor: end < found.length ? String(end) : null };
  }

  inventory({ method, path }) {
    if (method === "POST") return { status: 201, body: {} };
    const sku = decodeURIComponent(path.split("/").pop());
    const on = this.stock.get(sku);
    return on === undefined ? null : { body: { sku, on_hand: on, reserved: 0, available: on } };
  }

  orders({ method, path, body }) {
    const parts = path.split("/").slice(3).map(decodeURIComponent);
    if (method === "POST" && parts[0] === "carts") {
      const id = randomUUID();
      this.carts.set(id, new Map(this.carts.get(body?.merge_from) ?? []));
      return { status: 201, body: this.cart(id) };
    }
    if (parts[0] === "carts") {
      const lines = this.carts.get(parts[1]);
      if (lines === undefined) return null;
      if (method === "PUT") body.quantity === 0 ? lines.delete(parts[3]) : lines.set(parts[3], body.quantity);
      return { body: this.cart(parts[1]) };
    }
    if (parts[0] === "checkout") {
      const order = this.order(body.cart_id, body.shipping_address);
      this.carts.delete(body.cart_id);
      return { status: 201, body: order };
    }
    if (parts.length === 0) return { body: { items: [...this.placed.values()], next_cursor: null } };
    const order = this.placed.get(parts[0]);
    if (order === undefined) return null;
    if (method === "POST") order.status = { cancel: "refunded", ship: "shipped", deliver: "delivered" }[parts[1]];
    return { body: order };
  }

  order(cartId, address) {
    const cart = this.cart(cartId);
    const order = {
      id: randomUUID(), status: "confirmed", lines: cart.lines, total: cart.total, payment_id: "payment-1", cart_id: cartId, customer_id: "customer-1",
      shipping_address: address, cancel_reason: null, settled: true, version: 1, created_at: "2026-03-03T10:00:00Z", updated_at: "2026-03-03T10:00:00Z",
    };
    this.placed.set(order.id, order);
    return order;
  }

  cart(id) {
    const lines = [...(this.carts.get(id) ?? [])].map(([sku, quantity]) => {
      const p = this.products.find((product) => product.sku === sku);
      return { sku, quantity, name: p.name, slug: p.slug, image: p.image, available: true, unit_price: p.price, line_total: eur(p.price.amount * quantity) };
    });
    return { id, lines, total: eur(lines.reduce((sum, line) => sum + line.line_total.amount, 0)), status: "open", version: 1, prices_stale: false, order_id: null };
  }

  payments() {
    const [order] = [...this.placed.values()].slice(-1);
    return { body: { id: "payment-1", status: "succeeded", amount: order?.total ?? eur(0), captured: order?.total ?? eur(0), refunded: eur(0) } };
  }

  recommendations() {
    return { body: { items: this.together.map((sku, i) => ({ sku, score: 9 - i })) } };
  }
}
