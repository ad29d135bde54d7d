"""Exports with the OpenTelemetry SDK for Python over gRPC or HTTP and prints what was sent as JSON."""

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

protocol, address = sys.argv[1:3]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    def exporter(kind, _path):
        return kind(endpoint=f"http://{address}", insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    def exporter(kind, path):
        return kind(endpoint=f"http://{address}/v1/{path}")

service = f"python-{protocol}"
resource = Resource.create({"service.name": service, "service.version": "1.2.3", "host.name": "h1", "answer": 42})

tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(exporter(OTLPSpanExporter, "traces")))
tracer = tracers.get_tracer("scope-of-tests", "0.9")
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(exporter(OTLPLogExporter, "logs")))
logger = logs.get_logger("scope-of-logs", "0.8")
reader = PeriodicExportingMetricReader(exporter(OTLPMetricExporter, "metrics"), export_interval_millis=3_600_000)
meters = MeterProvider(resource=resource, metric_readers=[reader])
meter = meters.get_meter("scope-of-metrics")

sent = {"service": service, "spans": [], "logs": []}


def ids(span):
    context = span.get_span_context()
    return {"trace_id": format(context.trace_id, "032x"), "span_id": format(context.span_id, "016x")}


with tracer.start_as_current_span("parent", kind=SpanKind.SERVER, attributes={
    "http.request.method": "POST", "http.response.status_code": 503, "http.route": "/pay/{id}",
    "text": "a \"quoted\" 결제", "flag": True, "ratio": 0.25, "list": ["a", "b"], "numbers": [1, 2, 3],
}) as parent:
    other = parent.get_span_context()
    with tracer.start_as_current_span("child", kind=SpanKind.CLIENT, links=[Link(other, {"why": "test"})]) as child:
        child.add_event("cache miss", {"key": "k1", "size": 7})
        try:
            raise ValueError("no such card")
        except ValueError as error:
            child.record_exception(error)
            child.set_status(Status(StatusCode.ERROR, "card refused"))
        sent["spans"].append({"name": "child", "kind": 3, "status_code": 2, "status_message": "card refused",
                              "parent_span_id": ids(parent)["span_id"], **ids(child)})
        logger.emit(timestamp=1_700_000_000_123_456_789, severity_number=SeverityNumber.WARN, severity_text="WARN",
                    body="payment 결제 declined", attributes={"order.id": "A-1", "attempt": 3, "ratio": 1.5, "last": False},
                    context=trace.set_span_in_context(child))
        sent["logs"].append({"time_unix_nano": "1700000000123456789", "severity_number": 13, "severity_text": "WARN",
                             "body": "payment 결제 declined", **ids(child),
                             "attributes": {"order.id": "A-1", "attempt": 3, "ratio": 1.5, "last": False}})
    sent["spans"].append({"name": "parent", "kind": 2, "status_code": 0, "status_message": "", "parent_span_id": "",
                          "attributes": dict({k: (list(v) if isinstance(v, tuple) else v)
                                              for k, v in parent.attributes.items()}), **ids(parent)})
logger.emit(timestamp=1_700_000_000_123_456_790, severity_number=SeverityNumber.INFO, body={"nested": {"list": [1, "two", None]}})
sent["logs"].append({"time_unix_nano": "1700000000123456790", "severity_number": 9, "body": {"nested": {"list": [1, "two", None]}}})

meter.create_counter("orders", unit="1", description="orders placed").add(5, {"currency": "EUR"})
meter.create_histogram("latency", unit="ms").record(12.5, {"route": "/x"})
meter.create_up_down_counter("open").add(-3)
meter.create_observable_gauge("temperature", callbacks=[lambda _: [__import__("opentelemetry.metrics", fromlist=["Observation"]).Observation(21.5, {"room": "a"})]])
sent["metrics"] = {"orders": 5, "latency_count": 1, "latency_sum": 12.5, "open": -3, "temperature": 21.5}

for provider in (tracers, logs, meters):
    assert provider.force_flush(10_000) is not False, "not everything was sent"
    provider.shutdown()
logging.shutdown()
print(json.dumps(sent))
