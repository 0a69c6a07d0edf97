/** Stock. */

import type { Client } from "../http/client.ts";
import { fields, ignored, text, whole } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";

export interface Stock {
  sku: string;
  onHand: number;
  reserved: number;
  available: number;
}

function decodeStock(value: unknown): Stock {
  const f = fields(value);
  return {
    sku: text(f["sku"]),
    onHand: whole(f["on_hand"]),
    reserved: whole(f["reserved"]),
    available: whole(f["available"]),
  };
}

export class Inventory {
  constructor(private readonly client: Client) {}

  stock(sku: string): Promise<Reply<Stock>> {
    return this.client.call("inventory", {
      path: `/api/inventory/stock/${encodeURIComponent(sku)}`,
      decode: decodeStock,
    });
  }

  adjust(sku: string, delta: number, reason: string, key: string): Promise<Reply<null>> {
    return this.client.call("inventory", {
      method: "POST",
      path: "/api/inventory/adjustments",
      body: { sku, delta, reason },
      headers: { "idempotency-key": key },
      decode: ignored,
    });
  }
}
