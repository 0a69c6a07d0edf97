/** One product. */

import type { FC } from "hono/jsx";
import { isDown, type Reply } from "../http/reply.ts";
import type { Category, Product } from "../services/catalog.ts";
import type { Stock } from "../services/inventory.ts";
import { price } from "../view/format.ts";
import { ReturnIcon, TruckIcon } from "../view/icons.tsx";
import { Page } from "../view/layout.tsx";
import { categoryName, Notice, ProductCard } from "../view/parts.tsx";
import type { Visit } from "../visit.ts";
import { away, notFound } from "./errors.tsx";
import { type Ctx, frameOf } from "./env.ts";

const FEW = 5;
const MOST_AT_ONCE = 10;
const SUGGESTIONS = 4;

export async function product(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const found = await visit.catalog.get(c.req.param("slug") ?? "");
  if (!found.ok) {
    return isDown(found.problem) ? away(c, "Our catalogue does not answer, so we can't show this product.") : notFound(c);
  }
  const item = found.value;
  if (item.status !== "active") return notFound(c);
  const [frame, stock, suggestions] = await Promise.all([
    frameOf(c, { category: item.category }),
    visit.inventory.stock(item.sku),
    suggest(visit, item),
  ]);
  const kind = categoryName(item.category, frame.categories);
  return c.html(
    <Page frame={frame} title={item.name} description={item.description} kind="product">
      <div class="wrap">
        <nav class="crumbs" aria-label="Where you are">
          <a href="/">Shop</a><span aria-hidden="true">/</span>
          <a href={`/?category=${encodeURIComponent(item.category)}`}>{kind}</a>
        </nav>
        <div class="product">
          <div class="product-picture"><img src={item.image} alt={`Drawing of ${item.name}`} width={800} height={800} /></div>
          <div class="product-text">
            <p class="card-kind">{kind}</p>
            <h1>{item.name}</h1>
            <p class="price price-large">{price(item.price)}</p>
            <p class="lead">{item.description}</p>
            <BuyForm item={item} stock={stock} />
            <ul class="assurances">
              <li><TruckIcon /> Free delivery in two to four days</li>
              <li><ReturnIcon /> Cancel for nothing until it ships</li>
            </ul>
            <p class="article-number">Article {item.sku}</p>
          </div>
        </div>
        <Suggestions suggestions={suggestions} kind={kind} categories={frame.categories} />
      </div>
    </Page>,
  );
}

const BuyForm: FC<{ item: Product; stock: Reply<Stock> }> = ({ item, stock }) => {
  // A product without a shelf has none of it.
  const unknown = !stock.ok && stock.problem.status !== 404;
  const available = stock.ok ? stock.value.available : 0;
  if (!unknown && available <= 0) {
    return <p class="stock stock-none"><span class="dot" />Sold out for now. We are making more.</p>;
  }
  const most = unknown ? MOST_AT_ONCE : Math.min(available, MOST_AT_ONCE);
  return (
    <>
      {unknown ? (
        <Notice tone="warn" title="We can't see the stock right now">You can put it in your cart; we look again when you check out.</Notice>
      ) : available <= FEW ? (
        <p class="stock stock-few"><span class="dot" />Only {available} left</p>
      ) : (
        <p class="stock stock-good"><span class="dot" />In stock, ready to ship</p>
      )}
      <form class="buy" action="/cart/add" method="post">
        <input type="hidden" name="sku" value={item.sku} />
        <div class="field field-small">
          <label for="quantity">Quantity</label>
          <select id="quantity" name="quantity">
            {Array.from({ length: most }, (_, index) => <option value={String(index + 1)}>{index + 1}</option>)}
          </select>
        </div>
        <button type="submit" class="button button-large">Add to cart</button>
      </form>
    </>
  );
};

interface Suggested {
  /** Why these: bought together, or only of the same kind; `down` when nobody can say. */
  reason: "together" | "kind" | "down";
  items: Product[];
}

async function suggest(visit: Visit, item: Product): Promise<Suggested> {
  const together = await visit.recommendations.boughtWith([item.sku], SUGGESTIONS);
  if (!together.ok) return { reason: "down", items: [] };
  if (together.value.length > 0) {
    const products = await visit.catalog.bySku(together.value);
    if (products.ok && products.value.length > 0) {
      const rank = (product: Product) => together.value.indexOf(product.sku);
      return { reason: "together", items: products.value.toSorted((a, b) => rank(a) - rank(b)) };
    }
  }
  const alike = await visit.catalog.list({ category: item.category, status: "active", limit: SUGGESTIONS + 1 });
  const items = alike.ok ? alike.value.items.filter((other) => other.id !== item.id).slice(0, SUGGESTIONS) : [];
  return { reason: "kind", items };
}

const Suggestions: FC<{ suggestions: Suggested; kind: string; categories: Category[] }> = ({ suggestions, kind, categories }) => {
  if (suggestions.reason === "down") {
    return <section class="suggestions"><p class="quiet">We can't say right now what others bought with it. Everything else works.</p></section>;
  }
  if (suggestions.items.length === 0) return null;
  return (
    <section class="suggestions" aria-labelledby="together-title">
      <h2 id="together-title">{suggestions.reason === "together" ? "Bought together" : `More from ${kind}`}</h2>
      <ul class="cards">{suggestions.items.map((other) => <li><ProductCard product={other} categories={categories} /></li>)}</ul>
    </section>
  );
};
