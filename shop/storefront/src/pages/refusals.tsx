/** Why a checkout was refused, in plain words, and what may be tried next. */

import type { Child } from "hono/jsx";
import type { Money } from "../http/decode.ts";
import { fields, money, text, whole } from "../http/decode.ts";
import { isDown, type Problem } from "../http/reply.ts";
import type { Cart } from "../services/orders.ts";
import { price } from "../view/format.ts";

export interface Refusal {
  title: string;
  text: Child;
  /**
   * Whether the next press has to be the same attempt. True while the result is not known, so that a second press asks
   * for the first one's result and can never buy again; false once it is certain that nothing was bought.
   */
  sameAttempt: boolean;
  status: 402 | 409 | 422 | 503;
  /** False when nothing was sent to orders at all. */
  begun?: false;
  /** The total to agree to from now on, when it has changed. */
  total?: Money;
}

const DECLINED: ReadonlyArray<readonly [RegExp, string]> = [
  [/insufficient/, "There is not enough money on this card. Try another one."],
  [/expired/, "This card has expired. Try another one."],
  [/lost|stolen/, "This card is blocked. Try another one, or ask your bank."],
  [/cvc|number|incorrect/, "The card's details are not right. Check them, or try another card."],
];

/** For every end that does not say what became of the order: only orders itself may say that nothing was bought. */
const STILL_WORKING: Refusal = {
  title: "We are still working on your order",
  text: "We can't tell the result yet. Press the button again in a moment to see it: you will not be charged twice.",
  sameAttempt: true,
  status: 503,
};

/** `away` names the services that do not answer right now. */
export function explain(problem: Problem, cart: Cart, away: string[]): Refusal {
  switch (problem.code) {
    case "payment_declined":
      return { ...declined(problem), sameAttempt: false, status: 402 };
    case "insufficient_stock":
      return { title: "There is not enough left", text: shortages(problem, cart), sameAttempt: false, status: 409 };
    case "total_changed":
      return totalChanged(problem, cart);
    case "product_unavailable":
      return {
        title: "Something is no longer sold",
        text: <>Please <a href="/cart">look at your cart</a> and take it out. Nothing was bought.</>,
        sameAttempt: false,
        status: 409,
      };
    case "unavailable":
    case "rate_limited":
      return unavailable(away);
    case "request_in_flight":
      return STILL_WORKING;
    case "idempotency_key_reused":
      return {
        title: "Please look at your order once more",
        text: "You changed it while an earlier attempt was still open. A cart is only ever bought once.",
        sameAttempt: false,
        status: 409,
      };
    default:
      return isDown(problem) ? STILL_WORKING : unusable(problem);
  }
}

function declined(problem: Problem): { title: string; text: string } {
  const code = String(problem.members["decline_code"] ?? "");
  const reason = DECLINED.find(([pattern]) => pattern.test(code))?.[1] ?? "Your bank refused this card. Try another one, or ask your bank.";
  return { title: "Your card was not accepted", text: `${reason} Nothing was charged, and your cart is as it was.` };
}

function shortages(problem: Problem, cart: Cart): Child {
  const rows = Array.isArray(problem.members["shortages"]) ? problem.members["shortages"] : [];
  const sentences = rows.flatMap((row: unknown) => {
    try {
      const { sku, wanted, available } = fields(row);
      const name = cart.lines.find((line) => line.sku === sku)?.name ?? text(sku);
      return whole(available) <= 0
        ? [`${name} is sold out.`]
        : [`Of ${name} you want ${whole(wanted)}, and ${whole(available)} ${available === 1 ? "is" : "are"} left.`];
    } catch {
      return [];
    }
  });
  return (
    <>
      {sentences.length === 0 ? null : <ul>{sentences.map((sentence: string) => <li>{sentence}</li>)}</ul>}
      <p>Nothing was bought. <a href="/cart">Change your cart</a> and try again.</p>
    </>
  );
}

function totalChanged(problem: Problem, cart: Cart): Refusal {
  let total = cart.total;
  try {
    total = money(problem.members["total"]);
  } catch {
    // The cart was read after the refusal: its total is today's.
  }
  return {
    title: "The total has changed",
    text: `A price changed while you were shopping. The new total is ${price(total)}. If that is all right with you, place the order again.`,
    sameAttempt: false,
    status: 409,
    total,
  };
}

/** For an order that was not even sent, because it could not have been finished. */
export function notBegun(away: string[]): Refusal {
  return {
    title: "We can't take your order right now",
    text: `${list(away)} can't be reached, so we did not begin. Your cart is kept. Please try again in a few minutes.`,
    sameAttempt: true,
    status: 503,
    begun: false,
  };
}

function unavailable(away: string[]): Refusal {
  const what = away.length === 0 ? "A part of the shop does not answer" : `${list(away)} can't be reached`;
  return {
    title: "We can't take your order right now",
    text: `${what}. Nothing was bought and nothing was charged; your cart is kept. Please try again in a few minutes.`,
    // Only asking for this attempt again can never make a second one, whatever became of it.
    sameAttempt: true,
    status: 503,
  };
}

function unusable(problem: Problem): Refusal {
  return {
    title: "We can't use what you entered",
    text: problem.errors[0]?.message ?? "Please check the form. Nothing was bought.",
    sameAttempt: false,
    status: 422,
  };
}

function list(names: string[]): string {
  const sentence = names.join(" and ");
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
