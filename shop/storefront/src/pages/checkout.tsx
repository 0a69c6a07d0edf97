/** Checkout: where to, how to pay, and the one button that buys. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { FC } from "hono/jsx";
import type { Money } from "../http/decode.ts";
import type { FieldFault, Reply } from "../http/reply.ts";
import type { Address, SavedAddress } from "../services/accounts.ts";
import type { Cart, CheckoutRequest, Order } from "../services/orders.ts";
import { price } from "../view/format.ts";
import { type Frame, Page } from "../view/layout.tsx";
import { AddressFields, Notice } from "../view/parts.tsx";
import type { Visit } from "../visit.ts";
import { ADDRESS_FIELDS, NO_ADDRESS, readAddress } from "./address.ts";
import { away, messagePage } from "./errors.tsx";
import { type Ctx, frameOf, readForm, renamed } from "./env.ts";
import { explain, notBegun, type Refusal } from "./refusals.tsx";

const NEEDED = [
  ["payments", "the payment service"], ["inventory", "our stock room"], ["catalog", "our catalogue"], ["orders", "our order desk"],
] as const;

/** How long a shopper waits for a result before the page says that there is none yet. */
const PATIENCE_MS = 8000;
const ASK_AGAIN_MS = 400;

/** What the built-in test provider knows; no real card is ever typed into this shop. */
const TEST_CARDS: ReadonlyArray<readonly [string, string, string]> = [
  ["pm_card_visa", "Visa ····\u00a04242", "Works"],
  ["pm_card_slow", "Visa ····\u00a00259", "Works, after a long wait"],
  ["pm_card_declined", "Visa ····\u00a00002", "Refused by the bank"],
  ["pm_card_insufficient_funds", "Mastercard ····\u00a09995", "Refused: not enough money"],
  ["pm_card_expired", "Mastercard ····\u00a00069", "Refused: expired"],
  ["pm_card_capture_fails", "Visa ····\u00a00341", "Accepted, then fails when it is charged"],
  ["pm_card_lost_reply", "Visa ····\u00a05126", "Works, but the answer gets lost once"],
];

interface Entered {
  address: Address;
  method: string;
  saveAddress: boolean;
  key: string;
  /** This key was sent before, and what came of it is not known yet. */
  isOpen: boolean;
  total: Money;
}

export async function checkoutForm(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  if (visit.stalled) return away(c, "We can't confirm your sign-in right now, and only you may check out your cart.");
  if (visit.person === null) return c.redirect("/account?next=/checkout&why=checkout", 303);
  const [frame, reply, saved, troubles] = await Promise.all([
    frameOf(c), visit.cart(), visit.accounts.addresses(), servicesAway(visit),
  ]);
  if (reply !== null && !reply.ok) return away(c, "We can't open your cart right now.");
  if (reply === null || reply.value.lines.length === 0) return c.redirect("/cart", 303);
  const addresses = saved.ok ? saved.value : [];
  const chosen = addresses.find((entry) => entry.id === c.req.query("address")) ?? addresses[0];
  const entered: Entered = {
    address: chosen ?? { ...NO_ADDRESS, name: visit.person.name },
    method: "pm_card_visa",
    saveAddress: false,
    key: randomUUID(),
    isOpen: false,
    total: reply.value.total,
  };
  return show(c, { frame, cart: reply.value, addresses, entered, faults: [], refusal: null, troubles });
}

export async function placeOrder(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  if (visit.stalled) return away(c, "We can't confirm your sign-in right now. Nothing was bought.");
  if (visit.person === null) return c.redirect("/account?next=/checkout&why=checkout", 303);
  const form = await readForm(c);
  const { address, faults } = readAddress(form);
  const entered: Entered = {
    address,
    method: form("payment_method"),
    saveAddress: form("save_address") === "yes",
    isOpen: form("is_open") === "yes",
    key: /^[A-Za-z0-9-]{16,64}$/.test(form("key")) ? form("key") : randomUUID(),
    total: { amount: Number(form("total_amount")), currency: form("total_currency") },
  };
  if (!TEST_CARDS.some(([method]) => method === entered.method)) {
    faults.push({ field: "payment_method", message: "Please choose how to pay." });
  }
  if (faults.length > 0) return showAgain(c, entered, faults, null);

  // Without these an order only keeps the shopper waiting. One that was begun has to be asked after all the same.
  const missing = entered.isOpen ? [] : await servicesAway(visit);
  if (missing.length > 0) return showAgain(c, entered, [], notBegun(missing));

  const cartId = form("cart_id");
  const { method: paymentMethod, total: expectedTotal } = entered;
  const reply = await buy(visit, { cartId, paymentMethod, expectedTotal, address }, entered.key);
  if (reply.ok) {
    visit.forgetCart();
    if (entered.saveAddress) await visit.accounts.addAddress(address);
    return c.redirect(`/orders/${encodeURIComponent(reply.value.id)}?placed=yes`, 303);
  }
  const { problem } = reply;
  const bought = problem.members["order_id"];
  if (problem.status === 409 && typeof bought === "string" && problem.code !== "request_in_flight") {
    visit.forgetCart();
    return c.redirect(`/orders/${encodeURIComponent(bought)}`, 303);
  }
  if (problem.status === 401) return c.redirect("/account?next=/checkout&why=checkout", 303);
  const entries = renamed(problem.errors, ADDRESS_FIELDS);
  const cart = await visit.cart();
  if (cart === null || (cart.ok && cart.value.lines.length === 0)) return nothingToBuy(c);
  if (!cart.ok) return away(c, "We can't tell what became of your order right now. Look at your account before you try again.");
  const refusal = explain(problem, cart.value, await servicesAway(visit));
  return showAgain(c, entered, problem.status === 422 ? entries : [], refusal);
}

/** Buys, and waits for an attempt that is under way already: of a double click, both get to the one order. */
async function buy(visit: Visit, request: CheckoutRequest, key: string): Promise<Reply<Order>> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const reply = await visit.orders.checkout(request, key);
    const isOpen = !reply.ok && ["request_in_flight", "checkout_unfinished"].includes(reply.problem.code);
    if (!isOpen || performance.now() > deadline) return reply;
    await delay(ASK_AGAIN_MS);
  }
}

function nothingToBuy(c: Ctx): Promise<Response> {
  return messagePage(c, {
    status: 400,
    title: "This cart has been bought already",
    text: "You find the order in your account.",
    link: { href: "/account", label: "See your orders" },
  });
}

async function showAgain(c: Ctx, entered: Entered, faults: FieldFault[], refusal: Refusal | null): Promise<Response> {
  const visit = c.get("visit");
  const [frame, cart] = await Promise.all([frameOf(c), visit.cart()]);
  if (cart === null || (cart.ok && cart.value.lines.length === 0)) return nothingToBuy(c);
  if (!cart.ok) return away(c, "We can't open your cart right now.");
  const again: Entered = {
    ...entered,
    key: refusal === null || refusal.sameAttempt ? entered.key : randomUUID(),
    isOpen: refusal === null ? entered.isOpen : refusal.sameAttempt && refusal.begun !== false,
    total: refusal === null || refusal.sameAttempt ? entered.total : (refusal.total ?? cart.value.total),
  };
  return show(c, { frame, cart: cart.value, addresses: [], entered: again, faults, refusal, troubles: [] });
}

interface Shown {
  frame: Frame;
  cart: Cart;
  addresses: SavedAddress[];
  entered: Entered;
  faults: FieldFault[];
  refusal: Refusal | null;
  troubles: string[];
}

function show(c: Ctx, p: Shown): Response | Promise<Response> {
  const status = p.refusal?.status ?? (p.faults.length > 0 ? 422 : 200);
  return c.html(
    <Page frame={p.frame} title="Check out" kind="checkout">
      <div class="wrap">
        <h1>Check out</h1>
        {p.refusal === null ? null : <Notice tone="bad" title={p.refusal.title}>{p.refusal.text}</Notice>}
        {p.refusal === null && p.faults.length > 0 ? <Notice tone="bad" title="Please check the marked fields">Nothing was bought.</Notice> : null}
        {p.troubles.length === 0 ? null : (
          <Notice tone="warn" title={`Right now we can't reach ${p.troubles.join(" and ")}`}>
            You can fill in this page, but an order can only be placed when they are back. Your cart is kept.
          </Notice>
        )}
        <form class="two-columns" action="/checkout" method="post" data-once>
          <div class="stack">
            <section class="panel" aria-labelledby="address-title">
              <h2 id="address-title">Where shall it go?</h2>
              <SavedAddresses addresses={p.addresses} />
              <AddressFields address={p.entered.address} faults={p.faults} />
              <label class="check"><input type="checkbox" name="save_address" value="yes" checked={p.entered.saveAddress} /> Keep this address in my account</label>
            </section>
            <PaymentChoice entered={p.entered} faults={p.faults} />
          </div>
          <OrderSummary cart={p.cart} entered={p.entered} />
        </form>
      </div>
    </Page>,
    status,
  );
}

const SavedAddresses: FC<{ addresses: SavedAddress[] }> = ({ addresses }) =>
  addresses.length < 2 ? null : (
    <p class="chips">
      <span>Use a kept address:</span>
      {addresses.map((a) => <a class="chip" href={`/checkout?address=${encodeURIComponent(a.id)}`}>{a.name}, {a.line1}, {a.city}</a>)}
    </p>
  );

const PaymentChoice: FC<{ entered: Entered; faults: FieldFault[] }> = ({ entered, faults }) => {
  const fault = faults.find((entry) => entry.field === "payment_method");
  return (
    <section class="panel" aria-labelledby="payment-title">
      <h2 id="payment-title">How do you want to pay?</h2>
      <Notice tone="info" title="These are test cards">No real money moves. Each behaves as it says.</Notice>
      {fault === undefined ? null : <p class="fault">{fault.message}</p>}
      <fieldset class="choices">
        <legend class="visually-hidden">Test card</legend>
        {TEST_CARDS.map(([method, label, effect]) => (
          <label class="choice">
            <input type="radio" name="payment_method" value={method} checked={method === entered.method} required />
            <span><strong>{label}</strong><small>Test card: {effect}</small></span>
          </label>
        ))}
      </fieldset>
    </section>
  );
};

const OrderSummary: FC<{ cart: Cart; entered: Entered }> = ({ cart, entered }) => (
  <aside class="summary" aria-labelledby="summary-title">
    <h2 id="summary-title">Your order</h2>
    <ul class="mini-lines">
      {cart.lines.map((line) => (
        <li><img src={line.image} alt="" width={52} height={52} /><span>{line.quantity} × {line.name}</span><span>{price(line.lineTotal)}</span></li>
      ))}
    </ul>
    <dl>
      <div><dt>Delivery</dt><dd>Free</dd></div>
      <div class="summary-total"><dt>Total, with VAT</dt><dd>{price(entered.total)}</dd></div>
    </dl>
    <input type="hidden" name="cart_id" value={cart.id} />
    <input type="hidden" name="key" value={entered.key} />
    {entered.isOpen ? <input type="hidden" name="is_open" value="yes" /> : null}
    <input type="hidden" name="total_amount" value={String(entered.total.amount)} />
    <input type="hidden" name="total_currency" value={entered.total.currency} />
    <button type="submit" class="button button-large button-wide">Place order and pay</button>
    <p class="quiet">You pay {price(entered.total)} once, however often you press.</p>
    <p><a href="/cart">Back to the cart</a></p>
  </aside>
);

/** Which of the services that an order needs do not answer, in the shopper's words. */
async function servicesAway(visit: Visit): Promise<string[]> {
  const names = await Promise.all(NEEDED.map(async ([callee, name]) => ((await visit.isUp(callee)) ? [] : [name])));
  return names.flat();
}
