// Builds dist/. It runs at every start of the shop, so it does nothing when nothing has changed:
// only sizes and times of the sources are looked at, and no library is loaded before there is work.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const at = (...parts) => join(here, ...parts);
const STAMP = at("dist", ".built");
const INSTALLED = at("node_modules", ".installed-lock");

const fingerprint = createHash("sha256")
  .update(process.version)
  .update([...listing(at("src")), ...listing(at("public")), ...listing(at("build.mjs")), read(at("package-lock.json"))].join("\n"))
  .digest("hex");

if (read(STAMP) !== fingerprint) {
  install();
  await build();
}

function* listing(path) {
  const info = statSync(path);
  if (!info.isDirectory()) {
    yield `${path.slice(here.length)} ${info.size} ${info.mtimeMs}`;
    return;
  }
  for (const name of readdirSync(path).sort()) yield* listing(join(path, name));
}

function read(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function install() {
  const lock = read(at("package-lock.json"));
  if (read(INSTALLED) === lock && lock !== "") return;
  execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: here, stdio: ["ignore", "inherit", "inherit"] });
  writeFileSync(INSTALLED, lock);
}

async function build() {
  const esbuild = await import("esbuild");
  // Beside the old one, then put in its place: whoever runs from dist never sees half of it.
  const fresh = at(`dist.new-${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(join(fresh, "public", "assets"), { recursive: true });
  cpSync(at("public"), join(fresh, "public"), { recursive: true });
  const common = { bundle: true, logLevel: "warning", absWorkingDir: here };
  await Promise.all([
    esbuild.build({
      ...common, entryPoints: ["src/server.ts"], outfile: join(fresh, "server.mjs"), platform: "node", format: "esm",
      target: "node20", minifySyntax: true,
    }),
    esbuild.build({
      ...common, entryPoints: ["src/client/enhance.ts"], outfile: join(fresh, "public/assets/enhance.js"),
      platform: "browser", format: "iife", target: "es2022", minify: true,
    }),
    esbuild.build({
      ...common, entryPoints: ["src/styles/shop.css"], outfile: join(fresh, "public/assets/shop.css"), minify: true,
      loader: { ".woff2": "file" }, assetNames: "[name]-[hash]", target: ["chrome110", "firefox115", "safari16"],
    }),
  ]);
  writeFileSync(join(fresh, ".built"), fingerprint);
  rmSync(at("dist"), { recursive: true, force: true });
  renameSync(fresh, at("dist"));
}
