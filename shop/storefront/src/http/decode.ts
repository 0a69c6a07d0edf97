/** Turns what another service sent into our types, or refuses it; a page is never rendered from a shape it did not expect. */

export class BadShape extends Error {}

export type Decode<T> = (value: unknown) => T;
export type Fields = Record<string, unknown>;

export interface Money {
  /** Minor units. */
  amount: number;
  /** ISO 4217. */
  currency: string;
}

export function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new BadShape("expected an object");
  return value as Fields;
}

export function text(value: unknown): string {
  if (typeof value !== "string") throw new BadShape("expected a text");
  return value;
}

export function optionalText(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

export function whole(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new BadShape("expected a whole number");
  return value;
}

export function money(value: unknown): Money {
  const { amount, currency } = fields(value);
  const code = text(currency);
  if (!/^[A-Z]{3}$/.test(code)) throw new BadShape("expected a currency code");
  return { amount: whole(amount), currency: code };
}

export function listOf<T>(decode: Decode<T>): Decode<T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw new BadShape("expected a list");
    return value.map(decode);
  };
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export function pageOf<T>(decode: Decode<T>): Decode<Page<T>> {
  return (value) => {
    const { items, next_cursor } = fields(value);
    return { items: listOf(decode)(items), nextCursor: optionalText(next_cursor) };
  };
}

/** For answers whose body does not matter. */
export function ignored(): null {
  return null;
}
