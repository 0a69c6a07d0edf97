/** Carts, checkout and orders. */

import { CHECKOUT_TIMEOUT_MS, type Client } from "../http/client.ts";
import { fields, listOf, money, type Money, optionalText, type Page, pageOf, text, whole } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";
import type { Address } from "./accounts.ts";
import { picture } from "./catalog.ts";

export interface CartLine {
  sku: string;
  name: string;
  slug: string;
  image: string;
  quantity: number;
  unitPrice: Money;
  lineTotal: Money;
  /** False when the catalog sells it no more. */
  available: boolean;
}

export interface Cart {
  id: string;
  lines: CartLine[];
  total: Money;
  status: string;
  /** The catalog did not answer: these are its last known prices. */
  pricesStale: boolean;
  orderId: string | null;
}

export interface OrderLine {
  sku: string;
  name: string;
  image: string;
  quantity: number;
  unitPrice: Money;
  lineTotal: Money;
}

export interface Order {
  id: string;
  status: string;
  lines: OrderLine[];
  total: Money;
  paymentId: string | null;
  address: Address | null;
  cancelReason: string | null;
  settled: boolean;
  createdAt: string;
  updatedAt: string;
}

export interface CheckoutRequest {
  cartId: string;
  paymentMethod: string;
  expectedTotal: Money;
  address: Address;
}

export type OrderStep = "cancel" | "ship" | "deliver";

function decodeCartLine(value: unknown): CartLine {
  const f = fields(value);
  const sku = text(f["sku"]);
  const slug = optionalText(f["slug"]) ?? "";
  return {
    sku,
    name: optionalText(f["name"]) ?? sku,
    slug,
    image: picture(f["image"], slug),
    quantity: whole(f["quantity"]),
    unitPrice: money(f["unit_price"]),
    lineTotal: money(f["line_total"]),
    available: f["available"] !== false,
  };
}

function decodeCart(value: unknown): Cart {
  const f = fields(value);
  return {
    id: text(f["id"]),
    lines: listOf(decodeCartLine)(f["lines"]),
    total: money(f["total"]),
    status: text(f["status"]),
    pricesStale: f["prices_stale"] === true,
    orderId: optionalText(f["order_id"]),
  };
}

export function decodeAddress(value: unknown): Address | null {
  if (typeof value !== "object" || value === null) return null;
  const f = fields(value);
  return {
    name: text(f["name"]),
    line1: text(f["line1"]),
    line2: optionalText(f["line2"]),
    city: text(f["city"]),
    postalCode: text(f["postal_code"]),
    country: text(f["country"]),
  };
}

export function encodeAddress(address: Address): Record<string, unknown> {
  const { name, line1, line2, city, postalCode, country } = address;
  return { name, line1, ...(line2 === null ? {} : { line2 }), city, postal_code: postalCode, country };
}

function decodeOrder(value: unknown): Order {
  const f = fields(value);
  const createdAt = text(f["created_at"]);
  return {
    id: text(f["id"]),
    status: text(f["status"]),
    lines: listOf(decodeOrderLine)(f["lines"]),
    total: money(f["total"]),
    paymentId: optionalText(f["payment_id"]),
    address: decodeAddress(f["shipping_address"]),
    cancelReason: optionalText(f["cancel_reason"]),
    settled: f["settled"] !== false,
    createdAt,
    updatedAt: optionalText(f["updated_at"]) ?? createdAt,
  };
}

function decodeOrderLine(value: unknown): OrderLine {
  const f = fields(value);
  const sku = text(f["sku"]);
  return {
    sku,
    name: optionalText(f["name"]) ?? sku,
    image: picture(f["image"], sku),
    quantity: whole(f["quantity"]),
    unitPrice: money(f["unit_price"]),
    lineTotal: money(f["line_total"]),
  };
}

export class Orders {
  constructor(private readonly client: Client) {}

  /** A guest's new cart, or the customer's open one; with `mergeFrom`, the guest's lines move into it. */
  openCart(mergeFrom?: string): Promise<Reply<Cart>> {
    return this.client.call("orders", {
      method: "POST",
      path: "/api/orders/carts",
      body: mergeFrom === undefined ? {} : { merge_from: mergeFrom },
      decode: decodeCart,
    });
  }

  cart(id: string, timeoutMs: number): Promise<Reply<Cart>> {
    return this.client.call("orders", { path: `/api/orders/carts/${encodeURIComponent(id)}`, decode: decodeCart, timeoutMs });
  }

  setLine(cartId: string, sku: string, quantity: number): Promise<Reply<Cart>> {
    return this.client.call("orders", {
      method: "PUT",
      path: `/api/orders/carts/${encodeURIComponent(cartId)}/lines/${encodeURIComponent(sku)}`,
      body: { quantity },
      decode: decodeCart,
    });
  }

  checkout(request: CheckoutRequest, key: string): Promise<Reply<Order>> {
    return this.client.call("orders", {
      method: "POST",
      path: "/api/orders/checkout",
      body: {
        cart_id: request.cartId,
        payment_method: request.paymentMethod,
        expected_total: request.expectedTotal,
        shipping_address: encodeAddress(request.address),
      },
      headers: { "idempotency-key": key },
      decode: decodeOrder,
      timeoutMs: CHECKOUT_TIMEOUT_MS,
    });
  }

  list(query: { cursor?: string | undefined; limit?: number; all?: boolean }): Promise<Reply<Page<Order>>> {
    const params = new URLSearchParams({ limit: String(query.limit ?? 10) });
    if (query.cursor !== undefined && query.cursor !== "") params.set("cursor", query.cursor);
    if (query.all === true) params.set("all", "true");
    return this.client.call("orders", { path: `/api/orders?${params}`, decode: pageOf(decodeOrder) });
  }

  get(id: string): Promise<Reply<Order>> {
    return this.client.call("orders", { path: `/api/orders/${encodeURIComponent(id)}`, decode: decodeOrder });
  }

  step(id: string, step: OrderStep, key: string): Promise<Reply<Order>> {
    return this.client.call("orders", {
      method: "POST",
      path: `/api/orders/${encodeURIComponent(id)}/${step}`,
      headers: { "idempotency-key": key },
      decode: decodeOrder,
      timeoutMs: 10_000,
    });
  }
}
