/** One request of one shopper: who they are, their cart, and the services in their name. */

import type { Context } from "hono";
import type { Callee, Config } from "./config.ts";
import { Client, READ_TIMEOUT_MS } from "./http/client.ts";
import { isDown, type Reply } from "./http/reply.ts";
import { Accounts } from "./services/accounts.ts";
import { type Category, Catalog } from "./services/catalog.ts";
import { Inventory } from "./services/inventory.ts";
import { type Cart, Orders } from "./services/orders.ts";
import { Payments } from "./services/payments.ts";
import { Recommendations } from "./services/recommendations.ts";
import { cartCookie, forgetCart, type Person, readSession, rememberCart, type Session } from "./session.ts";

const CATEGORIES_FRESH_MS = 30_000;
/** Orders itself waits for the catalog's prices before it tells the last ones it knows. */
const CART_TIMEOUT_MS = 4000;

/** The last categories that the catalog told, shared by all visits: the menu outlives a catalog that is away. */
let knownCategories: { at: number; items: Category[] } = { at: 0, items: [] };

export class Visit {
  readonly accounts: Accounts;
  readonly catalog: Catalog;
  readonly inventory: Inventory;
  readonly orders: Orders;
  readonly payments: Payments;
  readonly recommendations: Recommendations;
  readonly #c: Context;
  readonly #client: Client;
  #session: Session = { person: null, accessToken: null, stalled: false };
  #cart: Promise<Reply<Cart> | null> | null = null;

  private constructor(c: Context, config: Config) {
    this.#c = c;
    this.#client = new Client(config, c.req.raw.headers);
    this.accounts = new Accounts(this.#client);
    this.catalog = new Catalog(this.#client);
    this.inventory = new Inventory(this.#client);
    this.orders = new Orders(this.#client);
    this.payments = new Payments(this.#client);
    this.recommendations = new Recommendations(this.#client);
  }

  static async begin(c: Context, config: Config): Promise<Visit> {
    const visit = new Visit(c, config);
    visit.#session = await readSession(c, visit.accounts);
    visit.#client.actFor(visit.#session.accessToken);
    return visit;
  }

  get person(): Person | null {
    return this.#session.person;
  }

  /** Signed in, and for the moment not provably so, because accounts is away. */
  get stalled(): boolean {
    return this.#session.stalled;
  }

  get path(): string {
    return this.#c.req.path;
  }

  /** From here on the visit is made in the name of this token's owner. */
  actFor(accessToken: string): void {
    this.#client.actFor(accessToken);
  }

  get cartId(): string | null {
    return cartCookie(this.#c);
  }

  /** The shopper's cart, read once a visit; null when there is none. Never makes one. */
  cart(): Promise<Reply<Cart> | null> {
    this.#cart ??= this.#readCart();
    return this.#cart;
  }

  /** The open cart to put things into; made if there is none. */
  async openCart(): Promise<Reply<Cart>> {
    const present = await this.cart();
    if (present !== null) return present;
    const made = await this.orders.openCart();
    if (made.ok) rememberCart(this.#c, made.value.id);
    return made;
  }

  /** Whether a service answers at all. */
  async isUp(callee: Callee): Promise<boolean> {
    const reply = await this.#client.call(callee, { path: "/health/live", decode: () => null, timeoutMs: 1000 });
    return reply.ok || !isDown(reply.problem);
  }

  forgetCart(): void {
    forgetCart(this.#c);
    this.#cart = Promise.resolve(null);
  }

  /** The categories for the menu: empty only when the catalog has never answered. */
  async categories(): Promise<Category[]> {
    if (Date.now() - knownCategories.at < CATEGORIES_FRESH_MS) return knownCategories.items;
    const reply = await this.catalog.categories();
    if (reply.ok) knownCategories = { at: Date.now(), items: reply.value };
    return knownCategories.items;
  }

  async #readCart(): Promise<Reply<Cart> | null> {
    const id = this.cartId;
    if (id === null || this.stalled) return null;
    const needsCart = /^\/(cart|checkout)(\/|$)/.test(this.path);
    const reply = await this.orders.cart(id, needsCart ? CART_TIMEOUT_MS : READ_TIMEOUT_MS);
    const gone = reply.ok
      ? reply.value.status === "closed" || reply.value.status === "merged"
      : reply.problem.status === 404;
    if (!gone) return reply;
    forgetCart(this.#c);
    return null;
  }
}
