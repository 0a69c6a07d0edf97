/** How values are written for people. */

import type { Money } from "../http/decode.ts";

const LOCALE = "en-IE";
const DAY = new Intl.DateTimeFormat(LOCALE, { dateStyle: "long", timeZone: "UTC" });

export function price(money: Money): string {
  const format = new Intl.NumberFormat(LOCALE, { style: "currency", currency: money.currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(money.amount / 10 ** digits);
}

/** A day such as "3 March 2026"; empty for what is not a time. */
export function day(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : DAY.format(date);
}

/** The end of an id, enough to speak of an order. */
export function shortId(id: string): string {
  return id.replaceAll("-", "").slice(-8).toUpperCase();
}

export function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Minor units of a price that a person typed ("12", "12.5", "12,50"); null if it is none. */
export function minorUnits(typed: string): number | null {
  const match = /^(\d{1,7})(?:[.,](\d{1,2}))?$/.exec(typed.trim());
  if (match === null) return null;
  return Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"));
}

/** A price as a person would type it. */
export function typedPrice(amount: number): string {
  return (amount / 100).toFixed(2);
}
