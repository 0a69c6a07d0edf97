/** Pictures, styles, fonts and script, read once and kept in memory. */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";
import type { Context } from "hono";

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  woff2: "font/woff2",
  txt: "text/plain; charset=utf-8",
};

interface StoredFile {
  body: Buffer;
  gzip: Buffer | null;
  type: string;
  etag: string;
}

export class Files {
  readonly #files = new Map<string, StoredFile>();

  constructor(root: string) {
    if (!existsSync(root)) return;
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const type = TYPES[entry.name.split(".").pop() ?? ""];
      if (!entry.isFile() || type === undefined) continue;
      const path = join(entry.parentPath, entry.name);
      const body = readFileSync(path);
      const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`;
      this.#files.set(`/${relative(root, path).split(sep).join("/")}`, { body, gzip: null, type, etag });
    }
  }

  /** The path with the version of its content, so that browsers keep it for good and never use an old one. */
  versioned(path: string): string {
    const file = this.#files.get(path);
    return file === undefined ? path : `${path}?v=${file.etag.slice(1, 9)}`;
  }

  has(path: string): boolean {
    return this.#files.has(path);
  }

  /** Answers with the file at the request's path; null when there is none. */
  serve(c: Context): Response | null {
    const file = this.#files.get(c.req.path);
    if (file === undefined) return null;
    const kept = c.req.query("v") === file.etag.slice(1, 9) ? "public, max-age=31536000, immutable" : "public, max-age=300";
    const headers: Record<string, string> = { "content-type": file.type, etag: file.etag, "cache-control": kept };
    if (c.req.header("if-none-match") === file.etag) return new Response(null, { status: 304, headers });

    let body = file.body;
    if (file.type !== "font/woff2") {
      headers["vary"] = "accept-encoding";
      if (/\bgzip\b/.test(c.req.header("accept-encoding") ?? "")) {
        body = file.gzip ??= gzipSync(file.body);
        headers["content-encoding"] = "gzip";
      }
    }
    headers["content-length"] = String(body.length);
    return new Response(c.req.method === "HEAD" ? null : new Uint8Array(body), { headers });
  }
}
