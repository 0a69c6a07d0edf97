/** What was paid for an order. */

import type { Client } from "../http/client.ts";
import { fields, money, type Money, text } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";

export interface Payment {
  id: string;
  status: string;
  captured: Money;
  refunded: Money;
}

/** Captured and refunded come as money or as minor units of the intent's currency. */
function decodePayment(value: unknown): Payment {
  const f = fields(value);
  const amount = money(f["amount"]);
  const part = (name: string): Money => {
    const raw = f[name];
    if (typeof raw === "number") return { amount: raw, currency: amount.currency };
    return raw === undefined || raw === null ? { amount: 0, currency: amount.currency } : money(raw);
  };
  return { id: text(f["id"]), status: text(f["status"]), captured: part("captured"), refunded: part("refunded") };
}

export class Payments {
  constructor(private readonly client: Client) {}

  get(id: string): Promise<Reply<Payment>> {
    return this.client.call("payments", { path: `/api/payments/${encodeURIComponent(id)}`, decode: decodePayment });
  }
}
