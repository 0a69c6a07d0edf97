/** One JSON object a line on stdout. Never a body, a token, an e-mail or a query value. */

type Level = "info" | "warn" | "error";

export function log(level: Level, message: string, fields: Record<string, unknown> = {}): void {
  const line = { timestamp: new Date().toISOString(), level, target: "storefront", message, ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
