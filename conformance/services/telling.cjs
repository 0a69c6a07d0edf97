// The same as telling.py with OpenTelemetry's SDK for Node.js, which sends JSON. Found by NODE_PATH, so CommonJS.
const http = require("node:http");
const { context, propagation, trace, SpanKind, SpanStatusCode } = require("@opentelemetry/api");
const { W3CTraceContextPropagator } = require("@opentelemetry/core");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");
const { detectResources, envDetector } = require("@opentelemetry/resources");

const provider = new NodeTracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register({ propagator: new W3CTraceContextPropagator() });
const tracer = trace.getTracer("telling");

http
  .createServer((request, response) => {
    if (request.url.startsWith("/health")) return response.end("well");
    const parent = propagation.extract(context.active(), request.headers);
    const span = tracer.startSpan("work", { kind: SpanKind.SERVER, attributes: { "order.id": "N-42", ratio: 0.5, list: ["a", "b"] } }, parent);
    span.recordException(new Error("nobody to call"));
    span.setStatus({ code: SpanStatusCode.ERROR, message: "it went wrong" });
    span.end();
    response.end(JSON.stringify({ trace: span.spanContext().traceId }));
    provider.forceFlush();
  })
  .listen(Number(process.env.PORT), process.env.HOST);
