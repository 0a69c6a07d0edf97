/** Sign in, register, and everything that belongs to a customer. */

import type { FC } from "hono/jsx";
import { localPath } from "../http/guard.ts";
import { type FieldFault, isDown, type Reply } from "../http/reply.ts";
import type { Address, Customer, SavedAddress } from "../services/accounts.ts";
import type { Page as OrderPage } from "../http/decode.ts";
import type { Order } from "../services/orders.ts";
import { day, plural, price, shortId } from "../view/format.ts";
import { Page } from "../view/layout.tsx";
import { Act, AddressFields, Field, Notice } from "../view/parts.tsx";
import { NO_ADDRESS } from "./address.ts";
import { away } from "./errors.tsx";
import { type Ctx, frameOf } from "./env.ts";
import { countryName, statusWord, tone } from "./order.tsx";

const NEWS: Record<string, string> = {
  welcome: "Welcome to Holm. Your account is ready.",
  profile: "Your name is changed.",
  password: "Your password is changed. Other devices are signed out.",
  address: "The address is kept.",
  "address-gone": "The address is removed.",
  "signed-out": "You are signed out.",
};

/** What a form that was refused shows again. */
export interface Refused {
  form: "sign-in" | "register" | "profile" | "password" | "address";
  title: string;
  text?: string;
  faults: FieldFault[];
  email?: string;
  name?: string;
  address?: Address;
  status: 400 | 401 | 409 | 412 | 422 | 429 | 503;
}

export async function account(c: Ctx): Promise<Response> {
  const visit = c.get("visit");
  if (visit.stalled) return away(c, "We can't open your account right now; browsing works.");
  const next = localPath(c.req.query("next"), "/account");
  if (visit.person === null) return showDoor(c, next, null);
  return showAccount(c, null);
}

/** Sign in and register, side by side. */
export async function showDoor(c: Ctx, next: string, refused: Refused | null): Promise<Response> {
  const frame = await frameOf(c);
  const news = NEWS[c.req.query("news") ?? ""];
  const faultsOf = (form: Refused["form"]) => (refused?.form === form ? refused.faults : []);
  return c.html(
    <Page frame={frame} title="Sign in" kind="door">
      <div class="wrap">
        <h1>Your account</h1>
        {c.req.query("why") === "checkout" ? <Notice tone="info" title="One more step to check out">Sign in or make an account. Your cart comes along.</Notice> : null}
        {news === undefined ? null : <Notice tone="good" title={news} />}
        {refused === null ? null : <Notice tone="bad" title={refused.title}>{refused.text}</Notice>}
        <div class="doors">
          <section class="panel" aria-labelledby="sign-in-title">
            <h2 id="sign-in-title">Sign in</h2>
            <form action="/account/sign-in" method="post" data-once>
              <input type="hidden" name="next" value={next} />
              <Field name="email" label="E-mail" type="email" autocomplete="username" value={refused?.form === "sign-in" ? (refused.email ?? "") : ""}
                faults={faultsOf("sign-in")} rest={{ maxlength: 254 }} />
              <Field name="password" label="Password" type="password" autocomplete="current-password" faults={faultsOf("sign-in")} />
              <button type="submit" class="button button-wide">Sign in</button>
            </form>
          </section>
          <section class="panel" aria-labelledby="register-title">
            <h2 id="register-title">New here?</h2>
            <form action="/account/register" method="post" data-once>
              <input type="hidden" name="next" value={next} />
              <Field name="new_name" label="Your name" autocomplete="name" value={refused?.form === "register" ? (refused.name ?? "") : ""}
                faults={faultsOf("register")} rest={{ maxlength: 200 }} />
              <Field name="new_email" label="E-mail" type="email" autocomplete="email" value={refused?.form === "register" ? (refused.email ?? "") : ""}
                faults={faultsOf("register")} rest={{ maxlength: 254 }} />
              <Field name="new_password" label="Password" type="password" autocomplete="new-password" faults={faultsOf("register")}
                hint="At least 8 characters. A few words are better than a few signs." rest={{ minlength: 8, maxlength: 256 }} />
              <button type="submit" class="button button-wide">Make an account</button>
            </form>
          </section>
        </div>
      </div>
    </Page>,
    refused?.status ?? 200,
  );
}

export async function showAccount(c: Ctx, refused: Refused | null): Promise<Response> {
  const visit = c.get("visit");
  const [frame, me, addresses, orders] = await Promise.all([
    frameOf(c),
    visit.accounts.me(),
    visit.accounts.addresses(),
    visit.orders.list({ cursor: c.req.query("cursor"), limit: 8 }),
  ]);
  if (!me.ok && me.problem.status === 401) return c.redirect("/account/expired", 303);
  const news = NEWS[c.req.query("news") ?? ""];
  const accountsDown = !me.ok;
  return c.html(
    <Page frame={frame} title="Your account" kind="account">
      <div class="wrap">
        <div class="title-row">
          <div>
            <h1>Hello{visit.person?.name ? `, ${visit.person.name}` : ""}</h1>
            <p class="quiet">{visit.person?.email}</p>
          </div>
          <Act action="/account/sign-out" label="Sign out" />
        </div>
        {news === undefined ? null : <Notice tone="good" title={news} />}
        {refused === null ? null : <Notice tone="bad" title={refused.title}>{refused.text}</Notice>}
        <OrdersList orders={orders} />
        {accountsDown ? (
          <Notice tone="warn" title="We can't change your account right now">Your name, password and addresses can't be reached. You can still shop.</Notice>
        ) : (
          <div class="account-grid">
            <Profile me={me.value} refused={refused} />
            <Password refused={refused} />
            <Addresses addresses={addresses} refused={refused} />
          </div>
        )}
      </div>
    </Page>,
    refused?.status ?? 200,
  );
}

const OrdersList: FC<{ orders: Reply<OrderPage<Order>> }> = ({ orders }) => (
  <section class="panel" id="orders" aria-labelledby="orders-title">
    <h2 id="orders-title">Your orders</h2>
    {!orders.ok ? (
      <Notice tone="warn" title="We can't show your orders right now">They are safe. Please look again in a moment.</Notice>
    ) : orders.value.items.length === 0 ? (
      <p class="quiet">None yet. <a href="/#products">Find something good</a>.</p>
    ) : (
      <>
        <ul class="orders">
          {orders.value.items.map((placed) => (
            <li>
              <span class="order-pictures" aria-hidden="true">{placed.lines.slice(0, 3).map((line) => <img src={line.image} alt="" width={48} height={48} loading="lazy" />)}</span>
              <span class="order-name"><a href={`/orders/${encodeURIComponent(placed.id)}`}>Order {shortId(placed.id)}</a><small>{day(placed.createdAt)} · {plural(placed.lines.reduce((n, line) => n + line.quantity, 0), "thing", "things")}</small></span>
              <span class={`status status-${tone(placed.status)}`}>{statusWord(placed.status)}</span>
              <span class="price">{price(placed.total)}</span>
            </li>
          ))}
        </ul>
        {orders.value.nextCursor === null ? null : <p><a class="button button-quiet" href={`/account?cursor=${encodeURIComponent(orders.value.nextCursor)}#orders`}>Earlier orders</a></p>}
      </>
    )}
  </section>
);

const Profile: FC<{ me: Customer; refused: Refused | null }> = ({ me, refused }) => (
  <section class="panel" aria-labelledby="profile-title">
    <h2 id="profile-title">You</h2>
    <form action="/account/profile" method="post">
      <input type="hidden" name="etag" value={me.etag ?? ""} />
      <Field name="name" label="Your name" value={refused?.form === "profile" ? (refused.name ?? "") : me.name} autocomplete="name"
        faults={refused?.form === "profile" ? refused.faults : []} rest={{ maxlength: 200 }} />
      <button type="submit" class="button">Keep this name</button>
    </form>
  </section>
);

const Password: FC<{ refused: Refused | null }> = ({ refused }) => {
  const faults = refused?.form === "password" ? refused.faults : [];
  return (
    <section class="panel" aria-labelledby="password-title">
      <h2 id="password-title">Password</h2>
      <form action="/account/password" method="post" data-once>
        <Field name="current_password" label="Password now" type="password" autocomplete="current-password" faults={faults} />
        <Field name="new_password" label="New password" type="password" autocomplete="new-password" faults={faults}
          hint="At least 8 characters." rest={{ minlength: 8, maxlength: 256 }} />
        <button type="submit" class="button">Change the password</button>
      </form>
    </section>
  );
};

const Addresses: FC<{ addresses: Reply<SavedAddress[]>; refused: Refused | null }> = ({ addresses, refused }) => {
  const isOpen = refused?.form === "address";
  return (
    <section class="panel panel-wide" aria-labelledby="addresses-title">
      <h2 id="addresses-title">Addresses</h2>
      {!addresses.ok ? <p class="quiet">We can't show them right now.</p> : addresses.value.length === 0 ? <p class="quiet">None kept yet.</p> : (
        <ul class="addresses">
          {addresses.value.map((a) => (
            <li>
              <address>
                <span><strong>{a.name}</strong></span><span>{a.line1}</span>{a.line2 === null ? null : <span>{a.line2}</span>}
                <span>{a.postalCode} {a.city}</span><span>{countryName(a.country)}</span>
              </address>
              <Act action="/account/addresses/remove" label="Remove" name={`Remove the address ${a.line1}`} style="button-link" hidden={{ id: a.id }} />
            </li>
          ))}
        </ul>
      )}
      <details open={isOpen}>
        <summary>Add an address</summary>
        <form action="/account/addresses" method="post" data-once>
          <AddressFields address={isOpen && refused.address !== undefined ? refused.address : NO_ADDRESS} faults={isOpen ? refused.faults : []} />
          <button type="submit" class="button">Keep this address</button>
        </form>
      </details>
    </section>
  );
};

/** What to say of a refusal that is the same for every form of the account. */
export function commonRefusal(problem: { status: number; code: string }): Pick<Refused, "title" | "text" | "status"> | null {
  if (problem.status === 429) {
    return { title: "Too many attempts", text: "Please wait a minute and try again.", status: 429 };
  }
  if (isDown({ ...problem, detail: "", errors: [], members: {} })) {
    return { title: "Accounts can't be reached right now", text: "Nothing was changed. You can browse and fill your cart; please try again in a moment.", status: 503 };
  }
  return null;
}
