/** The first page: the shop window, and all products with search, categories and sorting. */

import type { FC } from "hono/jsx";
import type { Page as ProductPage } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";
import type { Category, Product } from "../services/catalog.ts";
import { LeafIcon, ReturnIcon, TruckIcon } from "../view/icons.tsx";
import { Page } from "../view/layout.tsx";
import { categoryName, Notice, ProductCard } from "../view/parts.tsx";
import { type Ctx, frameOf } from "./env.ts";

const PAGE_SIZE = 12;
/** Admins would see drafts and what is archived too; the shop shows what it sells. */
const SOLD = "active";
const SORTS: ReadonlyArray<readonly [string, string]> = [
  ["name", "Name, A to Z"], ["price", "Price, low to high"], ["-price", "Price, high to low"], ["newest", "Newest"],
];

interface Filter {
  q: string;
  category: string;
  sort: string;
  cursor: string;
}

export async function home(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const sort = c.req.query("sort") ?? "";
  const filter: Filter = {
    q: (c.req.query("q") ?? "").trim().slice(0, 100),
    category: (c.req.query("category") ?? "").slice(0, 60),
    sort: SORTS.some(([value]) => value === sort) ? sort : "",
    cursor: (c.req.query("cursor") ?? "").slice(0, 500),
  };
  const isWindow = filter.q === "" && filter.category === "" && filter.cursor === "";
  const [frame, first] = await Promise.all([
    frameOf(c, { category: filter.category, query: filter.q }),
    visit.catalog.list({ ...filter, status: SOLD, limit: PAGE_SIZE }),
  ]);
  // A cursor of another search or of an older shop: begin at the start instead of refusing.
  const stale = !first.ok && first.problem.status === 400 && filter.cursor !== "";
  if (stale) return c.redirect(address(filter, ""), 303);

  const title = filter.q !== "" ? `“${filter.q}”` : filter.category === "" ? "" : categoryName(filter.category, frame.categories);
  return c.html(
    <Page frame={frame} title={title} kind="home"
      description="Useful things for kitchen, garden, desk and the outdoors, made to be mended and kept.">
      {isWindow ? <Window categories={frame.categories} /> : null}
      <section class="wrap listing" id="products" aria-labelledby="products-title">
        <div class="listing-head">
          {isWindow ? <h2 id="products-title">Everything in the shop</h2> : <h1 id="products-title">{title === "" ? "Everything in the shop" : title}</h1>}
          <SortForm filter={filter} />
        </div>
        <Listing reply={first} filter={filter} categories={frame.categories} isWindow={isWindow} />
      </section>
    </Page>,
  );
}

const Window: FC<{ categories: Category[] }> = ({ categories }) => (
  <>
    <section class="hero">
      <div class="wrap hero-grid">
        <div class="hero-text">
          <p class="kicker">Home &amp; outdoors</p>
          <h1>Good things, kept for a long time.</h1>
          <p class="lead">Kettles, lamps, tools and tents from makers who still sell the spare parts. Chosen one by one, so that you need to choose only once.</p>
          <p class="hero-actions"><a class="button button-large" href="#products">See everything</a></p>
        </div>
        <img class="hero-picture" src="/images/hero.svg" alt="" width={720} height={560} fetchpriority="high" />
      </div>
    </section>
    <section class="wrap promises" aria-label="What you can count on">
      <p><TruckIcon /><span><strong>Free delivery</strong> in Europe, two to four days</span></p>
      <p><ReturnIcon /><span><strong>Change your mind</strong> any time before it ships</span></p>
      <p><LeafIcon /><span><strong>Made to be mended</strong> with spare parts for years</span></p>
    </section>
    {categories.length === 0 ? null : (
      <section class="wrap" aria-labelledby="rooms-title">
        <h2 id="rooms-title">Find your corner</h2>
        <ul class="tiles">
          {categories.map((category) => (
            <li class="tile">
              <img src={`/images/categories/${encodeURIComponent(category.slug)}.svg`} alt="" width={400} height={330} loading="lazy" />
              <a href={`/?category=${encodeURIComponent(category.slug)}`}>{category.name}</a>
              <span>{category.count} {category.count === 1 ? "thing" : "things"}</span>
            </li>
          ))}
        </ul>
      </section>
    )}
  </>
);

const SortForm: FC<{ filter: Filter }> = ({ filter }) => (
  <form class="sort" action="/#products" method="get">
    {filter.q === "" ? null : <input type="hidden" name="q" value={filter.q} />}
    {filter.category === "" ? null : <input type="hidden" name="category" value={filter.category} />}
    <label for="sort">Sort by</label>
    <select id="sort" name="sort" data-submit-on-change>
      {SORTS.map(([value, label]) => <option value={value} selected={value === filter.sort}>{label}</option>)}
    </select>
    <button type="submit" class="button button-quiet">Sort</button>
  </form>
);

const Listing: FC<{ reply: Reply<ProductPage<Product>>; filter: Filter; categories: Category[]; isWindow: boolean }> = (p) => {
  if (!p.reply.ok) {
    return (
      <Notice tone="warn" title="We can't show our products right now">
        Our catalogue does not answer. Your cart and your orders are safe; please <a href={address(p.filter, p.filter.cursor)}>try again</a> in a moment.
      </Notice>
    );
  }
  const { items, nextCursor } = p.reply.value;
  if (items.length === 0) {
    return (
      <Notice tone="info" title="Nothing found">
        {p.filter.q === "" ? "There is nothing here yet." : `We have nothing called “${p.filter.q}”.`} <a href="/#products">See everything in the shop</a>.
      </Notice>
    );
  }
  return (
    <>
      <ul class="cards">
        {items.map((product, index) => (
          <li><ProductCard product={product} categories={p.categories} eager={index < 4 && !p.isWindow} level={p.isWindow ? 3 : 2} /></li>
        ))}
      </ul>
      <nav class="pager" aria-label="More products">
        {p.filter.cursor === "" ? null : <a class="button button-quiet" href={address(p.filter, "")}>Back to the start</a>}
        {nextCursor === null ? null : <a class="button" href={address(p.filter, nextCursor)} rel="next">More products</a>}
      </nav>
    </>
  );
};

function address(filter: Filter, cursor: string): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...filter, cursor })) {
    if (value !== "") params.set(name, value);
  }
  const query = params.toString();
  return query === "" ? "/#products" : `/?${query}#products`;
}
