/** One order: what is in it, what was paid, and how far it has come. */

import { randomUUID } from "node:crypto";
import type { FC } from "hono/jsx";
import { isDown, type Reply } from "../http/reply.ts";
import type { Order } from "../services/orders.ts";
import type { Payment } from "../services/payments.ts";
import { day, price, shortId } from "../view/format.ts";
import { Page } from "../view/layout.tsx";
import { Act, COUNTRIES, Notice } from "../view/parts.tsx";
import { away, messagePage, notFound } from "./errors.tsx";
import { type Ctx, frameOf, readForm } from "./env.ts";

const STEPS: ReadonlyArray<readonly [string, string]> = [
  ["Placed", "We have your order."],
  ["Confirmed", "It is paid, and packed for you."],
  ["Shipped", "It is on its way."],
  ["Delivered", "It is with you. Enjoy it."],
];
const REACHED: Record<string, number> = { pending: 0, stock_reserved: 0, payment_authorized: 0, confirmed: 1, shipped: 2, delivered: 3 };
const CANCELLABLE = ["pending", "stock_reserved", "payment_authorized", "confirmed"];
const STATUS_WORDS: Record<string, string> = {
  pending: "In progress", stock_reserved: "In progress", payment_authorized: "In progress", confirmed: "Confirmed",
  shipped: "Shipped", delivered: "Delivered", cancelled: "Cancelled", refunded: "Refunded",
};

export function statusWord(status: string): string {
  return STATUS_WORDS[status] ?? status;
}

export async function order(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  if (visit.stalled) return away(c, "We can't confirm your sign-in right now, and only you may see your order.");
  if (visit.person === null) return c.redirect(`/account?next=${encodeURIComponent(c.req.path)}`, 303);
  const found = await visit.orders.get(c.req.param("id") ?? "");
  if (!found.ok) {
    if (found.problem.status === 401) return c.redirect(`/account?next=${encodeURIComponent(c.req.path)}`, 303);
    return isDown(found.problem) ? away(c, "We can't open your order right now.") : notFound(c);
  }
  const placed = found.value;
  const [frame, payment] = await Promise.all([
    frameOf(c),
    placed.paymentId === null ? null : visit.payments.get(placed.paymentId),
  ]);
  const isNew = c.req.query("placed") === "yes" && placed.status === "confirmed";
  return c.html(
    <Page frame={frame} title={`Order ${shortId(placed.id)}`} kind="order">
      <div class="wrap">
        {isNew ? <Notice tone="good" title="Thank you! Your order is confirmed.">We start packing now. You can follow it on this page.</Notice> : null}
        <div class="title-row">
          <div>
            <h1>Order {shortId(placed.id)}</h1>
            <p class="quiet">Placed on {day(placed.createdAt)} · <span class={`status status-${tone(placed.status)}`} data-order-status={placed.status}>{statusWord(placed.status)}</span></p>
          </div>
          {CANCELLABLE.includes(placed.status) && placed.settled ? (
            <Act action={`/orders/${encodeURIComponent(placed.id)}/cancel`} label="Cancel this order" hidden={{ key: randomUUID() }} />
          ) : null}
        </div>
        <Progress placed={placed} />
        <div class="two-columns">
          <section class="panel" aria-labelledby="lines-title">
            <h2 id="lines-title">What you bought</h2>
            <ul class="lines">
              {placed.lines.map((line) => (
                <li class="line">
                  <img src={line.image} alt="" width={84} height={84} />
                  <div class="line-text"><p class="line-name">{line.name}</p><p class="quiet">{line.quantity} × {price(line.unitPrice)}</p></div>
                  <p class="line-total price">{price(line.lineTotal)}</p>
                </li>
              ))}
            </ul>
          </section>
          <OrderAside placed={placed} payment={payment} />
        </div>
        <p><a href="/account#orders">All your orders</a></p>
      </div>
    </Page>,
  );
}

const Progress: FC<{ placed: Order }> = ({ placed }) => {
  const reached = REACHED[placed.status];
  if (reached === undefined) {
    const refunded = placed.status === "refunded";
    return (
      <Notice tone="info" title={refunded ? "This order was cancelled and refunded" : "This order was cancelled"}>
        {refunded ? "The whole amount goes back to your card." : placed.settled ? "Nothing was charged." : "We are giving your money back; this takes a moment."}
      </Notice>
    );
  }
  return (
    <ol class="timeline" aria-label="How far your order has come">
      {STEPS.map(([name, text], index) => (
        <li class={index < reached ? "step done" : index === reached ? "step now" : "step"} aria-current={index === reached ? "step" : undefined}>
          <span class="step-mark" aria-hidden="true" />
          <span class="step-name">{name}<span class="visually-hidden">{index <= reached ? ": done" : ": not yet"}</span></span>
          <span class="step-text">{index <= reached ? text : ""}</span>
        </li>
      ))}
    </ol>
  );
};

const OrderAside: FC<{ placed: Order; payment: Reply<Payment> | null }> = ({ placed, payment }) => (
  <aside class="summary" aria-labelledby="summary-title">
    <h2 id="summary-title">Payment and delivery</h2>
    <dl>
      <div><dt>Delivery</dt><dd>Free</dd></div>
      <div class="summary-total"><dt>Total, with VAT</dt><dd>{price(placed.total)}</dd></div>
      {payment?.ok && payment.value.captured.amount > 0 ? <div><dt>Paid</dt><dd>{price(payment.value.captured)}</dd></div> : null}
      {payment?.ok && payment.value.refunded.amount > 0 ? <div><dt>Given back</dt><dd>{price(payment.value.refunded)}</dd></div> : null}
    </dl>
    {payment !== null && !payment.ok ? <p class="quiet">We can't show the payment right now; it is safe.</p> : null}
    {placed.address === null ? null : (
      <address>
        {[placed.address.name, placed.address.line1, placed.address.line2, `${placed.address.postalCode} ${placed.address.city}`, countryName(placed.address.country)]
          .filter((line) => line !== null && line !== "")
          .map((line) => <span>{line}</span>)}
      </address>
    )}
  </aside>
);

export function countryName(code: string): string {
  return COUNTRIES.find(([known]) => known === code)?.[1] ?? code;
}

export function tone(status: string): string {
  if (status === "cancelled" || status === "refunded") return "off";
  return status === "confirmed" || status === "shipped" || status === "delivered" ? "good" : "wait";
}

export async function cancelOrder(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  const id = c.req.param("id") ?? "";
  const page = `/orders/${encodeURIComponent(id)}`;
  const form = await readForm(c);
  const reply = await visit.orders.step(id, "cancel", form("key") || randomUUID());
  if (reply.ok) return c.redirect(page, 303);
  const { problem } = reply;
  if (problem.status === 401) return c.redirect(`/account?next=${encodeURIComponent(page)}`, 303);
  if (problem.status === 404) return notFound(c);
  if (isDown(problem)) return away(c, "We can't cancel your order right now.");
  return messagePage(c, {
    status: 400,
    title: "This order can't be cancelled any more",
    text: "It has moved on in the meantime.",
    link: { href: page, label: "Look at the order" },
  });
}
