/** The catalog: products and categories. */

import type { Client } from "../http/client.ts";
import { fields, ignored, listOf, money, type Money, optionalText, type Page, pageOf, text, whole } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";

export interface Product {
  id: string;
  sku: string;
  slug: string;
  name: string;
  description: string;
  category: string;
  price: Money;
  image: string;
  status: string;
  version: number;
}

export interface Category {
  slug: string;
  name: string;
  count: number;
}

export interface ProductQuery {
  q?: string | undefined;
  category?: string | undefined;
  sort?: string | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
  status?: string | undefined;
}

/** What an admin may write; the price in minor units. */
export interface ProductDraft {
  sku?: string;
  slug?: string;
  name: string;
  description: string;
  category: string;
  /** The name of a category that is new. */
  category_name?: string;
  price: Money;
  status?: string;
}

export function decodeProduct(value: unknown): Product {
  const f = fields(value);
  const slug = text(f["slug"]);
  return {
    id: text(f["id"]),
    sku: text(f["sku"]),
    slug,
    name: text(f["name"]),
    description: optionalText(f["description"]) ?? "",
    category: categorySlug(f["category"]),
    price: money(f["price"]),
    image: picture(f["image"], slug),
    status: optionalText(f["status"]) ?? "active",
    version: typeof f["version"] === "number" ? whole(f["version"]) : 0,
  };
}

/** Pictures are ours: a path below /images, whatever the catalog says. */
export function picture(image: unknown, slug: string): string {
  return typeof image === "string" && /^\/images\/[\w./-]+$/.test(image) && !image.includes("..")
    ? image
    : `/images/products/${encodeURIComponent(slug)}.svg`;
}

function categorySlug(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "object" && value !== null ? text(fields(value)["slug"]) : "";
}

function decodeCategory(value: unknown): Category {
  const f = fields(value);
  return { slug: text(f["slug"]), name: text(f["name"]), count: typeof f["count"] === "number" ? f["count"] : 0 };
}

export class Catalog {
  constructor(private readonly client: Client) {}

  list(query: ProductQuery): Promise<Reply<Page<Product>>> {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") params.set(name, String(value));
    }
    return this.client.call("catalog", { path: `/api/catalog/products?${params}`, decode: pageOf(decodeProduct) });
  }

  get(idOrSlug: string): Promise<Reply<Product>> {
    return this.client.call("catalog", {
      path: `/api/catalog/products/${encodeURIComponent(idOrSlug)}`,
      decode: decodeProduct,
    });
  }

  categories(): Promise<Reply<Category[]>> {
    return this.client.call("catalog", {
      path: "/api/catalog/categories",
      decode: (value) => listOf(decodeCategory)(fields(value)["items"]),
    });
  }

  bySku(skus: string[]): Promise<Reply<Product[]>> {
    const params = new URLSearchParams(skus.map((sku) => ["sku", sku]));
    return this.client.call("catalog", {
      path: `/products/by-sku?${params}`,
      decode: (value) => listOf(decodeProduct)(fields(value)["items"]),
    });
  }

  create(draft: ProductDraft, key: string): Promise<Reply<Product>> {
    return this.client.call("catalog", {
      method: "POST",
      path: "/api/catalog/products",
      body: draft,
      headers: { "idempotency-key": key },
      decode: decodeProduct,
    });
  }

  /** `etag` is the version that the admin saw: a change made meanwhile is not overwritten. */
  update(id: string, change: Partial<ProductDraft>, etag: string): Promise<Reply<Product>> {
    return this.client.call("catalog", {
      method: "PATCH",
      path: `/api/catalog/products/${encodeURIComponent(id)}`,
      body: change,
      headers: { "if-match": etag },
      decode: decodeProduct,
    });
  }

  archive(id: string, etag: string): Promise<Reply<null>> {
    return this.client.call("catalog", {
      method: "DELETE",
      path: `/api/catalog/products/${encodeURIComponent(id)}`,
      headers: { "if-match": etag },
      decode: ignored,
    });
  }
}
