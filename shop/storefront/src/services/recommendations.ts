/** What is bought together. */

import type { Client } from "../http/client.ts";
import { fields, listOf, text } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";

/** Nobody waits long for a suggestion. */
const TIMEOUT_MS = 1000;

export class Recommendations {
  constructor(private readonly client: Client) {}

  /** SKUs, best first. */
  boughtWith(skus: string[], limit: number): Promise<Reply<string[]>> {
    const params = new URLSearchParams(skus.map((sku) => ["sku", sku]));
    params.set("limit", String(limit));
    return this.client.call("recommendations", {
      path: `/api/recommendations?${params}`,
      decode: (value) => listOf((item) => text(fields(item)["sku"]))(fields(value)["items"]),
      timeoutMs: TIMEOUT_MS,
    });
  }
}
