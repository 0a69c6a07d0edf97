/** One client for all callees: time limits, forwarded headers, JSON in and out. */

import type { Callee, Config } from "../config.ts";
import { log } from "../log.ts";
import type { Decode } from "./decode.ts";
import { localProblem, readProblem, type Reply } from "./reply.ts";

/** A page waits this long for what it is made of; a shopper waits for no more. */
export const READ_TIMEOUT_MS = 1500;
/** A change may take longer, and must not be cut off half way without need. */
export const WRITE_TIMEOUT_MS = 5000;
/** A checkout waits for a card network. */
export const CHECKOUT_TIMEOUT_MS = 20_000;

/** `x-forwarded-for` comes from the gateway, and lets accounts slow down who guesses passwords, not the whole shop. */
const FORWARDED = ["traceparent", "tracestate", "x-request-id", "x-isles-deadline", "x-forwarded-for"];

export interface Call<T> {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  decode: Decode<T>;
  timeoutMs?: number;
}

export class Client {
  readonly #config: Config;
  readonly #headers: Record<string, string>;
  #token: string | null = null;

  /** `incoming` is the shopper's request, whose trace and deadline the calls continue. */
  constructor(config: Config, incoming: Headers) {
    this.#config = config;
    this.#headers = {};
    for (const name of FORWARDED) {
      const value = incoming.get(name);
      if (value !== null) this.#headers[name] = value;
    }
  }

  /** From here on calls are made in this customer's name (null: in nobody's). */
  actFor(token: string | null): void {
    this.#token = token;
  }

  async call<T>(callee: Callee, call: Call<T>): Promise<Reply<T>> {
    const method = call.method ?? "GET";
    const timeoutMs = call.timeoutMs ?? (method === "GET" ? READ_TIMEOUT_MS : WRITE_TIMEOUT_MS);
    const reply = await this.#exchange(`${this.#config.urls[callee]}${call.path}`, method, timeoutMs, call);
    if (!reply.ok && (reply.problem.status === 0 || reply.problem.status >= 500)) {
      const { status, code } = reply.problem;
      log("warn", "a callee failed", { callee, method, status, code, ...this.#trace() });
    }
    return reply;
  }

  async #exchange<T>(url: string, method: string, timeoutMs: number, call: Call<T>): Promise<Reply<T>> {
    const headers: Record<string, string> = { accept: "application/json", ...this.#headers, ...call.headers };
    if (this.#token !== null) headers["authorization"] = `Bearer ${this.#token}`;
    const init: RequestInit = { method, headers, redirect: "error", signal: AbortSignal.timeout(timeoutMs) };
    if (call.body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(call.body);
    }
    try {
      const response = await fetch(url, init);
      const raw = await response.text();
      if (!response.ok) return { ok: false, problem: readProblem(response.status, parseJson(raw)) };
      const value = call.decode(raw === "" ? undefined : JSON.parse(raw));
      return { ok: true, value, status: response.status, etag: response.headers.get("etag") };
    } catch (error) {
      return { ok: false, problem: failure(error) };
    }
  }

  #trace(): Record<string, string> {
    const id = this.#headers["x-request-id"];
    return id === undefined ? {} : { request_id: id };
  }
}

function failure(error: unknown) {
  const name = error instanceof Error ? error.name : "";
  if (name === "TimeoutError" || name === "AbortError") return localProblem("timeout", "no answer in time");
  if (name === "TypeError") return localProblem("unreachable", "no connection");
  return localProblem("bad_reply", "an answer that cannot be read");
}

function parseJson(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return null;
  }
}
