/** The frame of every page. */

import { raw } from "hono/html";
import type { Child, FC, PropsWithChildren } from "hono/jsx";
import type { Category } from "../services/catalog.ts";
import type { Person } from "../session.ts";
import { BagIcon, Logo, SearchIcon, UserIcon } from "./icons.tsx";
import { Notice } from "./parts.tsx";

/** What the frame shows beside the page's own content. */
export interface Frame {
  person: Person | null;
  stalled: boolean;
  /** Pieces in the cart; null when it is not known. */
  cartCount: number | null;
  categories: Category[];
  /** The category that is open, for the menu. */
  category?: string | undefined;
  query?: string | undefined;
  assets: { css: string; js: string };
}

interface PageProps {
  frame: Frame;
  title: string;
  description?: string;
  /** Part of the page's class, for styles of one page. */
  kind: string;
}

export const Page: FC<PropsWithChildren<PageProps>> = ({ frame, title, description, kind, children }) => (
  <>
    {raw("<!doctype html>")}
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title === "" ? "Holm: things for home and outdoors" : `${title} · Holm`}</title>
        {description === undefined ? null : <meta name="description" content={description} />}
        <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href={frame.assets.css} />
        <script src={frame.assets.js} defer></script>
      </head>
      <body class={`page-${kind}`}>
        <a class="skip" href="#main">Skip to the content</a>
        <Header frame={frame} />
        <main id="main" tabindex={-1}>
          {frame.stalled ? (
            <div class="wrap">
              <Notice tone="warn" title="We can't confirm your sign-in right now">
                You are still signed in; your account and your cart come back by themselves in a moment.
              </Notice>
            </div>
          ) : null}
          {children}
        </main>
        <Footer frame={frame} />
      </body>
    </html>
  </>
);

const Header: FC<{ frame: Frame }> = ({ frame }) => (
  <header class="site-header">
    <div class="wrap header-row">
      <a class="brand" href="/" aria-label="Holm, to the shop's first page"><Logo /><span>Holm</span></a>
      <form class="search" action="/" method="get" role="search">
        <label class="visually-hidden" for="q">Search the shop</label>
        <input id="q" name="q" type="search" placeholder="Search for a lamp, a kettle, a tent…" value={frame.query ?? ""} maxlength={100} />
        <button type="submit" aria-label="Search"><SearchIcon /></button>
      </form>
      <nav class="header-links" aria-label="You">
        {frame.person?.isAdmin ? <a class="header-link" href="/admin">Admin</a> : null}
        <a class="header-link" href="/account"><UserIcon /><span>{accountLabel(frame)}</span></a>
        <a class="header-link cart-link" href="/cart">
          <BagIcon /><span>Cart</span>{cartBadge(frame.cartCount)}
        </a>
      </nav>
    </div>
    {frame.categories.length === 0 ? null : (
      <nav class="categories-nav" aria-label="Categories">
        <ul class="wrap">
          {frame.categories.map((category) => (
            <li>
              <a href={`/?category=${encodeURIComponent(category.slug)}`} aria-current={category.slug === frame.category ? "page" : undefined}>
                {category.name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
    )}
  </header>
);

function accountLabel(frame: Frame): string {
  if (frame.person === null) return frame.stalled ? "Account" : "Sign in";
  return frame.person.name.trim().split(/\s+/)[0]?.slice(0, 20) || "Account";
}

function cartBadge(count: number | null): Child {
  if (count === null || count === 0) return null;
  return <span class="badge" data-cart-count>{count}<span class="visually-hidden"> in it</span></span>;
}

const Footer: FC<{ frame: Frame }> = ({ frame }) => (
  <footer class="site-footer">
    <div class="wrap footer-grid">
      <div>
        <p class="brand"><Logo /><span>Holm</span></p>
        <p>Useful things for home and outdoors, made to be mended and kept.</p>
      </div>
      <nav aria-label="Shop">
        <h2>Shop</h2>
        <ul>
          <li><a href="/#products">All products</a></li>
          {frame.categories.slice(0, 4).map((c) => <li><a href={`/?category=${encodeURIComponent(c.slug)}`}>{c.name}</a></li>)}
        </ul>
      </nav>
      <nav aria-label="Your account">
        <h2>You</h2>
        <ul>
          <li><a href="/account">Account and orders</a></li>
          <li><a href="/cart">Cart</a></li>
        </ul>
      </nav>
      <div>
        <h2>Good to know</h2>
        <p>Prices include VAT, and delivery is free. This shop runs on test payments: no real money moves.</p>
      </div>
    </div>
  </footer>
);
