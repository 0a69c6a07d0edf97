/** One JSON object a line on stdout. Never a body, a token, an e-mail or a query value. */

// Whoever reads the log may be replaced while the shop goes on selling.
process.stdout.on("error", () => {});

type Level = "info" | "warn" | "error";

export function log(level: Level, message: string, fields: Record<string, unknown> = {}): void {
  const line = { timestamp: new Date().toISOString(), level, target: "storefront", message, ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
