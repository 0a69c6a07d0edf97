/** What the forms of the admin pages do. */

import { randomUUID } from "node:crypto";
import type { FieldFault, Problem } from "../http/reply.ts";
import { isDown } from "../http/reply.ts";
import type { ProductDraft } from "../services/catalog.ts";
import { minorUnits } from "../view/format.ts";
import { orders, productForm, products, type ProductForm } from "./admin.tsx";
import { type Ctx, readForm, renamed } from "./env.ts";

const CURRENCY = "EUR";

export async function adjustStock(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  const delta = Number(form("delta") || Number.NaN);
  if (!Number.isSafeInteger(delta) || delta === 0) return products(c, "Say by how many pieces the stock changes, such as 10 or -3.");
  const reply = await c.get("visit").inventory.adjust(form("sku"), delta, form("reason"), form("key") || randomUUID());
  return reply.ok ? c.redirect("/admin?news=stock", 303) : products(c, reason(reply.problem));
}

export async function saveProduct(c: Ctx): Promise<Response> {
  const form = await readProduct(c);
  const id = c.req.param("id") ?? null;
  const amount = minorUnits(form.price);
  if (amount === null) {
    return productForm(c, id, form, [{ field: "price", message: "Please write a price such as 12.50." }], "Please check the marked fields.");
  }
  const { catalog } = c.get("visit");
  const draft: ProductDraft = {
    name: form.name,
    description: form.description,
    ...(form.newCategory === "" ? { category: form.category } : { category: slugOf(form.newCategory), category_name: form.newCategory }),
    status: form.status,
    price: { amount, currency: CURRENCY },
    ...(id === null ? { sku: form.sku, ...(form.slug === "" ? {} : { slug: form.slug }) } : {}),
  };
  const reply = id === null ? await catalog.create(draft, form.key) : await catalog.update(id, draft, form.etag);
  if (reply.ok) return c.redirect(`/admin?q=${encodeURIComponent(form.name)}&news=${id === null ? "created" : "saved"}`, 303);
  const faults: FieldFault[] = renamed(reply.problem.errors, { "price.amount": "price", amount: "price" });
  return productForm(c, id, { ...form, key: randomUUID() }, faults, reason(reply.problem));
}

export async function archiveProduct(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  const reply = await c.get("visit").catalog.archive(c.req.param("id") ?? "", form("etag"));
  return reply.ok ? c.redirect("/admin?news=archived", 303) : products(c, reason(reply.problem));
}

export async function moveOrder(c: Ctx): Promise<Response> {
  const form = await readForm(c);
  const step = c.req.param("step") === "ship" ? "ship" : "deliver";
  const reply = await c.get("visit").orders.step(c.req.param("id") ?? "", step, form("key") || randomUUID());
  if (reply.ok) return c.redirect(`/admin/orders?news=${step === "ship" ? "shipped" : "delivered"}`, 303);
  return orders(c, reason(reply.problem));
}

async function readProduct(c: Ctx): Promise<ProductForm> {
  const form = await readForm(c);
  return {
    sku: form("sku"),
    slug: form("slug"),
    name: form("name"),
    description: form("description"),
    category: form("category"),
    newCategory: form("new_category"),
    status: form("status") || "active",
    price: form("price"),
    etag: form("etag"),
    key: form("key") || randomUUID(),
  };
}

function slugOf(name: string): string {
  return name.normalize("NFD").toLowerCase().replaceAll(/[^a-z0-9\s-]/g, "").trim().replaceAll(/[\s-]+/g, "-");
}

function reason(problem: Problem): string {
  if (isDown(problem)) return "The service does not answer right now. Nothing is known to have changed; please look again.";
  if (problem.status === 412) return "Somebody else changed it meanwhile. Open it again and make your change once more.";
  if (problem.status === 403 || problem.status === 401) return "Your account has no right to do this.";
  return problem.errors.map((fault) => fault.message).join(" ") || problem.detail || "The service refused it.";
}
