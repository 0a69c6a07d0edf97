// The saga of examples/load as a Restate service: the same four calls, each a durable step.
// usage: node order.mjs PORT URL-OF-THE-CALLEE
import http from "node:http";
import * as restate from "@restatedev/restate-sdk";

// What the SDK needs and Node 20 does not have.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const [port, callee] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

/** POSTs JSON and reads the answer's. */
function call(body) {
  const text = JSON.stringify(body);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const request = http.request(callee, { method: "POST", agent, headers }, (response) => {
      let answer = "";
      response.setEncoding("utf8").on("data", (piece) => (answer += piece));
      response.on("end", () => resolve(JSON.parse(answer))).on("error", reject);
    });
    request.setNoDelay(true);
    request.on("error", reject).end(text);
  });
}

const order = restate.service({
  name: "order",
  handlers: {
    run: async (ctx, input) => {
      const stock = await ctx.run("stock", () => call({ sku: input.sku }));
      const auth = await ctx.run("auth", () => call({ amount: input.total }));
      await ctx.run("capture", () => call({ auth: auth.id }));
      await ctx.run("ship", () => call({ stock: stock.id }));
      return { auth: auth.id };
    },
  },
});

restate.serve({ services: [order], port: Number(port) });
