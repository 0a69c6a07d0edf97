/** For the people who run the shop: stock, products, orders. Every service checks the role again by itself. */

import { randomUUID } from "node:crypto";
import type { FC, PropsWithChildren } from "hono/jsx";
import type { FieldFault, Reply } from "../http/reply.ts";
import type { Category, Product } from "../services/catalog.ts";
import type { Stock } from "../services/inventory.ts";
import { day, plural, price, shortId, typedPrice } from "../view/format.ts";
import { type Frame, Page } from "../view/layout.tsx";
import { Act, categoryName, Field, Notice } from "../view/parts.tsx";
import { messagePage, notFound } from "./errors.tsx";
import { type Ctx, frameOf } from "./env.ts";
import { statusWord, tone } from "./order.tsx";

const NEWS: Record<string, string> = {
  stock: "The stock is changed.", created: "The product is in the shop.", saved: "The product is changed.",
  archived: "The product is no longer sold.", shipped: "The order is marked as shipped.", delivered: "The order is marked as delivered.",
};

/** Answers for those who may not see admin pages; null for those who may. */
export async function turnAway(c: Ctx): Promise<Response | null> {
  const visit = c.get("visit");
  if (visit.person === null) return c.redirect(`/account?next=${encodeURIComponent(c.req.method === "GET" ? c.req.path : "/admin")}`, 303);
  if (visit.person.isAdmin) return null;
  return messagePage(c, { status: 403, title: "This part is for the shop's staff", text: "Your account has no right to it." });
}

export const AdminPage: FC<PropsWithChildren<{ frame: Frame; title: string; at: string; news?: string | undefined; trouble?: string | undefined }>> = (p) => (
  <Page frame={p.frame} title={p.title} kind="admin">
    <div class="wrap">
      <h1>{p.title}</h1>
      <nav class="tabs" aria-label="Admin">
        {[["/admin", "Products and stock"], ["/admin/orders", "Orders"], ["/admin/products/new", "New product"]].map(([href, label]) => (
          <a href={href} aria-current={href === p.at ? "page" : undefined}>{label}</a>
        ))}
      </nav>
      {NEWS[p.news ?? ""] === undefined ? null : <Notice tone="good" title={NEWS[p.news ?? ""] ?? ""} />}
      {p.trouble === undefined ? null : <Notice tone="bad" title="That did not work">{p.trouble}</Notice>}
      {p.children}
    </div>
  </Page>
);

export async function products(c: Ctx, trouble?: string): Promise<Response> {
  const visit = c.get("visit");
  const q = (c.req.query("q") ?? "").slice(0, 100);
  const [frame, list] = await Promise.all([
    frameOf(c),
    visit.catalog.list({ q, cursor: c.req.query("cursor"), limit: 20, sort: "name" }),
  ]);
  const items = list.ok ? list.value.items : [];
  const stocks = await Promise.all(items.map((item) => visit.inventory.stock(item.sku)));
  const next = list.ok ? list.value.nextCursor : null;
  return c.html(
    <AdminPage frame={frame} title="Products and stock" at="/admin" news={c.req.query("news")} trouble={trouble}>
      <form class="sort" action="/admin" method="get">
        <label for="admin-q">Find a product</label>
        <input id="admin-q" name="q" type="search" value={q} maxlength={100} />
        <button type="submit" class="button button-quiet">Find</button>
      </form>
      {!list.ok ? <Notice tone="warn" title="The catalogue does not answer right now" /> : null}
      {stocks.some((stock) => !stock.ok && stock.problem.status !== 404) ? <Notice tone="warn" title="The stock room does not answer right now">Stock can't be shown or changed.</Notice> : null}
      <div class="table-scroll" tabindex={0} role="region" aria-label="Products">
        <table>
          <thead><tr><th scope="col">Product</th><th scope="col">Price</th><th scope="col">On hand</th><th scope="col">Reserved</th><th scope="col">Free</th><th scope="col">Change the stock</th><th scope="col"><span class="visually-hidden">Edit</span></th></tr></thead>
          <tbody>{items.map((item, index) => <ProductRow item={item} stock={stocks[index]} categories={frame.categories} />)}</tbody>
        </table>
      </div>
      {next === null ? null : <p class="pager"><a class="button button-quiet" href={`/admin?q=${encodeURIComponent(q)}&cursor=${encodeURIComponent(next)}`}>More products</a></p>}
    </AdminPage>,
    trouble === undefined ? 200 : 400,
  );
}

const ProductRow: FC<{ item: Product; stock: Reply<Stock> | undefined; categories: Category[] }> = ({ item, stock, categories }) => {
  const shelf = stock?.ok ? stock.value : null;
  const isDown = stock !== undefined && !stock.ok && stock.problem.status !== 404;
  return (
    <tr>
      <th scope="row"><span class="admin-product"><img src={item.image} alt="" width={44} height={44} loading="lazy" /><span><a href={`/products/${encodeURIComponent(item.slug)}`}>{item.name}</a><small>{item.sku} · {categoryName(item.category, categories)}{item.status === "active" ? "" : ` · ${STATUS_LABELS[item.status] ?? item.status}`}</small></span></span></th>
      <td>{price(item.price)}</td>
      <td>{shelf?.onHand ?? (isDown ? "?" : 0)}</td><td>{shelf?.reserved ?? (isDown ? "?" : 0)}</td><td>{shelf?.available ?? (isDown ? "?" : 0)}</td>
      <td>
        <form action="/admin/stock" method="post" class="stock-form" data-once>
          <input type="hidden" name="sku" value={item.sku} />
          <input type="hidden" name="key" value={randomUUID()} />
          <label class="visually-hidden" for={`delta-${item.sku}`}>Change by, for {item.name}</label>
          <input id={`delta-${item.sku}`} name="delta" type="number" required placeholder="+10" min="-100000" max="100000" />
          <label class="visually-hidden" for={`reason-${item.sku}`}>Reason, for {item.name}</label>
          <input id={`reason-${item.sku}`} name="reason" required placeholder="Reason" maxlength={200} />
          <button type="submit" class="button button-quiet button-small" aria-label={`Change the stock of ${item.name}`}>Change</button>
        </form>
      </td>
      <td><a href={`/admin/products/${encodeURIComponent(item.id)}`} aria-label={`Edit ${item.name}`}>Edit</a></td>
    </tr>
  );
};

export interface ProductForm {
  sku: string;
  slug: string;
  name: string;
  description: string;
  category: string;
  newCategory: string;
  price: string;
  status: string;
  etag: string;
  key: string;
}

const STATUS_LABELS: Record<string, string> = { active: "On sale", draft: "Draft", archived: "No longer sold" };
const STATUSES = Object.keys(STATUS_LABELS);

export async function newProduct(c: Ctx): Promise<Response> {
  return productForm(c, null, blank(), [], undefined);
}

export async function editProduct(c: Ctx): Promise<Response> {
  const found = await c.get("visit").catalog.get(c.req.param("id") ?? "");
  if (!found.ok) {
    return found.problem.status === 404 ? notFound(c) : productForm(c, null, blank(), [], "The catalogue does not answer right now.");
  }
  const item = found.value;
  const form = { ...item, newCategory: "", price: typedPrice(item.price.amount), etag: found.etag ?? `"${item.version}"`, key: randomUUID() };
  return productForm(c, item.id, form, [], undefined);
}

function blank(): ProductForm {
  return { sku: "", slug: "", name: "", description: "", category: "", newCategory: "", price: "", status: "active", etag: "", key: randomUUID() };
}

export async function productForm(c: Ctx, id: string | null, form: ProductForm, faults: FieldFault[], trouble: string | undefined): Promise<Response> {
  const frame = await frameOf(c);
  const action = id === null ? "/admin/products" : `/admin/products/${encodeURIComponent(id)}`;
  const descriptionFault = faults.find((fault) => fault.field === "description");
  return c.html(
    <AdminPage frame={frame} title={id === null ? "New product" : "Edit product"} at={id === null ? "/admin/products/new" : ""} trouble={trouble}>
      <form class="panel narrow" action={action} method="post" data-once>
        <input type="hidden" name="etag" value={form.etag} />
        <input type="hidden" name="key" value={form.key} />
        <Field name="name" label="Name" value={form.name} faults={faults} rest={{ maxlength: 200 }} />
        {id === null ? (
          <div class="fields-row">
            <Field name="sku" label="SKU" value={form.sku} faults={faults} hint="Such as KIT-MUG-02. It never changes." rest={{ maxlength: 64 }} />
            <Field name="slug" label="Address name" value={form.slug} optional faults={faults} hint="Such as enamel-mug. Made from the name if empty." rest={{ maxlength: 100 }} />
          </div>
        ) : null}
        <div class="fields-row">
          <div class="field">
            <label for="category">Category</label>
            <select id="category" name="category" required>{frame.categories.map((k) => <option value={k.slug} selected={k.slug === form.category}>{k.name}</option>)}</select>
          </div>
          <Field name="price" label="Price in euros" value={form.price} faults={faults} rest={{ inputmode: "decimal", pattern: "[0-9]{1,7}([.,][0-9]{1,2})?" }} />
        </div>
        <div class="fields-row">
          <div class="field">
            <label for="status">Status</label>
            <select id="status" name="status">{STATUSES.map((status) => <option value={status} selected={status === form.status}>{STATUS_LABELS[status]}</option>)}</select>
          </div>
          <Field name="new_category" label="Or a new category" value={form.newCategory} optional faults={faults} rest={{ maxlength: 100 }} />
        </div>
        <div class={descriptionFault === undefined ? "field" : "field field-bad"}>
          <label for="description">Description</label>
          <textarea id="description" name="description" rows={5} maxlength={4000} required>{form.description}</textarea>
          {descriptionFault === undefined ? null : <p class="fault">{descriptionFault.message}</p>}
        </div>
        <button type="submit" class="button">{id === null ? "Add it to the shop" : "Save"}</button>
      </form>
      {id === null ? null : (
        <section class="panel narrow" aria-labelledby="archive-title">
          <h2 id="archive-title">Stop selling it</h2>
          <p class="quiet">It leaves the shop at once. Orders that hold it stay as they are.</p>
          <Act action={`${action}/archive`} label="Archive this product" style="button button-danger" hidden={{ etag: form.etag }} />
        </section>
      )}
    </AdminPage>,
    faults.length > 0 || trouble !== undefined ? 422 : 200,
  );
}

export async function orders(c: Ctx, trouble?: string): Promise<Response> {
  const visit = c.get("visit");
  const [frame, list] = await Promise.all([frameOf(c), visit.orders.list({ all: true, cursor: c.req.query("cursor"), limit: 20 })]);
  const items = list.ok ? list.value.items : [];
  const next = list.ok ? list.value.nextCursor : null;
  return c.html(
    <AdminPage frame={frame} title="Orders" at="/admin/orders" news={c.req.query("news")} trouble={trouble}>
      {!list.ok ? <Notice tone="warn" title="Orders can't be shown right now" /> : items.length === 0 ? <p class="quiet">There are no orders yet.</p> : (
        <div class="table-scroll" tabindex={0} role="region" aria-label="Orders">
          <table>
            <thead><tr><th scope="col">Order</th><th scope="col">Placed</th><th scope="col">Holds</th><th scope="col">Total</th><th scope="col">Status</th><th scope="col">Next</th></tr></thead>
            <tbody>
              {items.map((placed) => (
                <tr>
                  <th scope="row">{shortId(placed.id)}</th>
                  <td>{day(placed.createdAt)}</td>
                  <td>{plural(placed.lines.reduce((n, line) => n + line.quantity, 0), "thing", "things")}</td>
                  <td>{price(placed.total)}</td>
                  <td><span class={`status status-${tone(placed.status)}`}>{statusWord(placed.status)}</span></td>
                  <td>{nextStep(placed.id, placed.status)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next === null ? null : <p class="pager"><a class="button button-quiet" href={`/admin/orders?cursor=${encodeURIComponent(next)}`}>Earlier orders</a></p>}
    </AdminPage>,
    trouble === undefined ? 200 : 400,
  );
}

function nextStep(id: string, status: string) {
  const step = status === "confirmed" ? "ship" : status === "shipped" ? "deliver" : null;
  if (step === null) return null;
  const label = step === "ship" ? "Mark as shipped" : "Mark as delivered";
  const action = `/admin/orders/${encodeURIComponent(id)}/${step}`;
  return <Act action={action} label={label} name={`${label}: order ${shortId(id)}`} style="button button-quiet button-small" hidden={{ key: randomUUID() }} />;
}
