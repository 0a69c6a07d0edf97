/** Configuration from the environment; every missing variable is named at once. */

export interface Config {
  host: string;
  port: number;
  /** Base URLs of the services that pages are made from, without a slash at the end. */
  urls: Record<Callee, string>;
}

export const CALLEES = ["accounts", "catalog", "inventory", "orders", "payments", "recommendations"] as const;
export type Callee = (typeof CALLEES)[number];

export class BadConfig extends Error {}

export function readConfig(env: NodeJS.ProcessEnv): Config {
  const faults: string[] = [];
  const port = Number(env["PORT"] ?? Number.NaN);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    faults.push(`PORT must be a number from 0 to 65535, and is ${JSON.stringify(env["PORT"] ?? "")}`);
  }
  const urls = {} as Record<Callee, string>;
  for (const callee of CALLEES) {
    const name = `${callee.toUpperCase()}_URL`;
    const value = env[name] ?? "";
    if (URL.canParse(value) && /^https?:/.test(value)) urls[callee] = value.replace(/\/+$/, "");
    else faults.push(`${name} must be the base URL of ${callee}, such as http://127.0.0.1:4000, and is ${JSON.stringify(value)}`);
  }
  if (faults.length > 0) throw new BadConfig(faults.join("; "));
  return { host: env["HOST"] || "127.0.0.1", port, urls };
}
