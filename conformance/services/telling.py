"""A service that tells of itself with OpenTelemetry's own SDK, which finds in the environment where to. `telling.py grpc` does it by gRPC."""
import json
import logging
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import metrics, propagate, trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1:] == ["grpc"]:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

traces, logs = TracerProvider(), LoggerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
trace.set_tracer_provider(traces)
tracer = trace.get_tracer("telling")
asked = meters.get_meter("telling").create_counter("telling.asked", "{request}")
log = logging.getLogger("telling")
log.setLevel(logging.INFO)
log.addHandler(LoggingHandler(logger_provider=logs))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/health"):
            return self.answer({})
        with tracer.start_as_current_span("work", propagate.extract(self.headers), trace.SpanKind.SERVER) as span:
            span.set_attribute("order.id", "A-42")
            span.set_attribute("http.request.header.authorization", "Bearer s3cret")
            asked.add(1, {"path": self.path})
            log.warning("half way there")
            with tracer.start_as_current_span("call", kind=trace.SpanKind.CLIENT) as inner:
                if "TELLING_GRPC_URL" in os.environ:
                    request = urllib.request.Request(os.environ["TELLING_GRPC_URL"] + "/inner")
                    propagate.inject(request.headers)
                    urllib.request.urlopen(request, timeout=10).read()
                else:
                    inner.record_exception(ValueError("nobody to call"))
            self.answer({"trace": f"{span.get_span_context().trace_id:032x}"})
        for provider in (traces, logs, meters):
            provider.force_flush()

    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
