/** The cart, and the forms that change it. */

import type { FC } from "hono/jsx";
import { isDown, type Problem } from "../http/reply.ts";
import type { Cart, CartLine } from "../services/orders.ts";
import { plural, price } from "../view/format.ts";
import { Page } from "../view/layout.tsx";
import { Act, Notice } from "../view/parts.tsx";
import { away, messagePage } from "./errors.tsx";
import { type Ctx, frameOf, readForm } from "./env.ts";

const MOST_OF_ONE = 99;
/** Fixed sentences only: what stands in an address must never be shown as ours. */
const NEWS: Record<string, string> = {
  added: "It is in your cart.",
  changed: "Your cart is up to date.",
  removed: "It is out of your cart.",
  full: `A cart holds at most ${MOST_OF_ONE} of one thing, so we kept it there.`,
};

export async function cart(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const [frame, reply] = await Promise.all([frameOf(c), visit.cart()]);
  if (reply !== null && !reply.ok) return away(c, "We can't open your cart right now.");
  const news = NEWS[c.req.query("news") ?? ""];
  const found = reply?.value;
  return c.html(
    <Page frame={frame} title="Cart" kind="cart">
      <div class="wrap">
        <h1>Your cart</h1>
        {news === undefined ? null : <Notice tone="good" title={news} />}
        {found === undefined || found.lines.length === 0 ? <EmptyCart /> : <FullCart cart={found} isSignedIn={frame.person !== null} />}
      </div>
    </Page>,
  );
}

const EmptyCart: FC = () => (
  <div class="empty">
    <img src="/images/lost.svg" alt="" width={260} height={200} />
    <p>There is nothing in it yet.</p>
    <p><a class="button" href="/#products">Find something good</a></p>
  </div>
);

const FullCart: FC<{ cart: Cart; isSignedIn: boolean }> = ({ cart: shown, isSignedIn }) => {
  const blocked = shown.lines.some((line) => !line.available);
  const pieces = shown.lines.reduce((sum, line) => sum + line.quantity, 0);
  return (
    <div class="two-columns">
      <div>
        {shown.pricesStale ? (
          <Notice tone="warn" title="These are the last prices we know">Our catalogue does not answer right now. We check the prices again when you check out.</Notice>
        ) : null}
        <ul class="lines">{shown.lines.map((line) => <Line line={line} />)}</ul>
      </div>
      <aside class="summary" aria-labelledby="summary-title">
        <h2 id="summary-title">Summary</h2>
        <dl>
          <div><dt>{plural(pieces, "thing", "things")}</dt><dd>{price(shown.total)}</dd></div>
          <div><dt>Delivery</dt><dd>Free</dd></div>
          <div class="summary-total"><dt>Total, with VAT</dt><dd>{price(shown.total)}</dd></div>
        </dl>
        {blocked ? (
          <p class="fault">Take out what is no longer sold, then check out.</p>
        ) : (
          <a class="button button-large button-wide" href="/checkout">Check out</a>
        )}
        {isSignedIn ? null : <p class="quiet">You sign in or make an account in the next step.</p>}
      </aside>
    </div>
  );
};

const Line: FC<{ line: CartLine }> = ({ line }) => {
  const id = `quantity-${line.sku}`;
  return (
    <li class="line">
      <img src={line.image} alt="" width={112} height={112} />
      <div class="line-text">
        <p class="line-name">{line.slug === "" ? line.name : <a href={`/products/${encodeURIComponent(line.slug)}`}>{line.name}</a>}</p>
        <p class="quiet">{price(line.unitPrice)} each</p>
        {line.available ? null : <p class="fault">No longer sold. Please take it out.</p>}
        <div class="line-forms">
          <form action="/cart/set" method="post" class="act">
            <input type="hidden" name="sku" value={line.sku} />
            <label class="visually-hidden" for={id}>Quantity of {line.name}</label>
            <input id={id} name="quantity" type="number" inputmode="numeric" min="0" max={MOST_OF_ONE} value={String(line.quantity)} required data-submit-on-change />
            <button type="submit" class="button button-quiet button-small">Update</button>
          </form>
          <Act action="/cart/set" label="Remove" name={`Remove ${line.name}`} style="button-link" hidden={{ sku: line.sku, quantity: "0" }} />
        </div>
      </div>
      <p class="line-total price">{price(line.lineTotal)}</p>
    </li>
  );
};

/** Adds to what the cart already holds of a product. */
export async function addToCart(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const form = await readForm(c);
  const quantity = Number(form("quantity") || "1");
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > MOST_OF_ONE) return refused(c);
  const open = await visit.openCart();
  if (!open.ok) return failed(c, open.problem);
  const sku = form("sku");
  const present = open.value.lines.find((line) => line.sku === sku)?.quantity ?? 0;
  const wanted = Math.min(present + quantity, MOST_OF_ONE);
  const reply = await visit.orders.setLine(open.value.id, sku, wanted);
  if (!reply.ok) return failed(c, reply.problem);
  return c.redirect(`/cart?news=${wanted < present + quantity ? "full" : "added"}`, 303);
}

/** Sets how many of a product the cart holds; 0 takes it out. */
export async function setInCart(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const form = await readForm(c);
  const quantity = Number(form("quantity") || Number.NaN);
  if (!Number.isInteger(quantity) || quantity < 0 || quantity > MOST_OF_ONE) return refused(c);
  const id = visit.cartId;
  if (id === null) return c.redirect("/cart", 303);
  const reply = await visit.orders.setLine(id, form("sku"), quantity);
  if (!reply.ok) return failed(c, reply.problem);
  return c.redirect(`/cart?news=${quantity === 0 ? "removed" : "changed"}`, 303);
}

function refused(c: Ctx): Promise<Response> {
  return messagePage(c, {
    status: 400,
    title: "That is not a quantity",
    text: `Please choose a whole number from 0 to ${MOST_OF_ONE}.`,
    link: { href: "/cart", label: "Back to the cart" },
  });
}

function failed(c: Ctx, problem: Problem): Response | Promise<Response> {
  if (isDown(problem) || problem.status === 429) return away(c, "We can't change your cart right now.");
  if (problem.status === 401) return c.redirect("/account?next=/cart", 303);
  if (problem.code === "cart_closed") c.get("visit").forgetCart();
  if (problem.code === "cart_closed" || problem.status === 404) {
    return messagePage(c, {
      status: 400,
      title: "We could not put that in your cart",
      text: "The product is no longer sold, or this cart has been bought already.",
      link: { href: "/cart", label: "Look at the cart" },
    });
  }
  return messagePage(c, {
    status: 400,
    title: "We could not change your cart",
    text: problem.errors[0]?.message ?? "The product may no longer be sold.",
    link: { href: "/cart", label: "Back to the cart" },
  });
}
