/** Customers, their sessions and addresses. */

import type { Client } from "../http/client.ts";
import { fields, ignored, optionalText, text } from "../http/decode.ts";
import type { Reply } from "../http/reply.ts";
import { encodeAddress } from "./orders.ts";

export interface Address {
  name: string;
  line1: string;
  line2: string | null;
  city: string;
  postalCode: string;
  /** ISO 3166-1 alpha-2. */
  country: string;
}

export interface SavedAddress extends Address {
  id: string;
}

export interface Customer {
  id: string;
  email: string;
  name: string;
  etag: string | null;
}

export interface Tokens {
  accessToken: string;
  refreshToken: string;
}

function decodeTokens(value: unknown): Tokens {
  const f = fields(value);
  return { accessToken: text(f["access_token"]), refreshToken: text(f["refresh_token"]) };
}

function decodeCustomer(value: unknown): Customer {
  const f = fields(value);
  return { id: text(f["id"]), email: text(f["email"]), name: optionalText(f["name"]) ?? "", etag: null };
}

function decodeSavedAddress(value: unknown): SavedAddress {
  const f = fields(value);
  return {
    id: text(f["id"]),
    name: optionalText(f["name"]) ?? "",
    line1: text(f["line1"]),
    line2: optionalText(f["line2"]),
    city: text(f["city"]),
    postalCode: text(f["postal_code"]),
    country: text(f["country"]),
  };
}

export class Accounts {
  constructor(private readonly client: Client) {}

  register(email: string, password: string, name: string): Promise<Reply<null>> {
    return this.#post("/api/accounts/register", { email, password, name }, ignored);
  }

  signIn(email: string, password: string): Promise<Reply<Tokens>> {
    return this.#post("/api/accounts/sessions", { email, password }, decodeTokens);
  }

  refresh(refreshToken: string): Promise<Reply<Tokens>> {
    return this.#post("/api/accounts/sessions/refresh", { refresh_token: refreshToken }, decodeTokens);
  }

  /** With the refresh token it works even when the access token has run out. */
  signOut(refreshToken: string | null): Promise<Reply<null>> {
    return this.client.call("accounts", {
      method: "DELETE",
      path: "/api/accounts/sessions/current",
      ...(refreshToken === null ? {} : { body: { refresh_token: refreshToken } }),
      decode: ignored,
      timeoutMs: 2000,
    });
  }

  async me(): Promise<Reply<Customer>> {
    const reply = await this.client.call("accounts", { path: "/api/accounts/me", decode: decodeCustomer });
    return reply.ok ? { ...reply, value: { ...reply.value, etag: reply.etag } } : reply;
  }

  rename(name: string, etag: string): Promise<Reply<null>> {
    return this.client.call("accounts", {
      method: "PATCH",
      path: "/api/accounts/me",
      body: { name },
      headers: etag === "" ? {} : { "if-match": etag },
      decode: ignored,
    });
  }

  changePassword(current: string, next: string): Promise<Reply<null>> {
    return this.#post("/api/accounts/me/password", { current_password: current, new_password: next }, ignored);
  }

  /** Entries that cannot be read are left out: one odd address must not hide the others. */
  addresses(): Promise<Reply<SavedAddress[]>> {
    return this.client.call("accounts", {
      path: "/api/accounts/me/addresses",
      decode: (value) => {
        const { items } = fields(value);
        return (Array.isArray(items) ? items : []).flatMap((item: unknown) => {
          try {
            return [decodeSavedAddress(item)];
          } catch {
            return [];
          }
        });
      },
    });
  }

  addAddress(address: Address): Promise<Reply<null>> {
    return this.#post("/api/accounts/me/addresses", encodeAddress(address), ignored);
  }

  removeAddress(id: string): Promise<Reply<null>> {
    return this.client.call("accounts", {
      method: "DELETE",
      path: `/api/accounts/me/addresses/${encodeURIComponent(id)}`,
      decode: ignored,
    });
  }

  #post<T>(path: string, body: unknown, decode: (value: unknown) => T): Promise<Reply<T>> {
    return this.client.call("accounts", { method: "POST", path, body, decode });
  }
}
