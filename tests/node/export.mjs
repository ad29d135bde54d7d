// Exports with the OpenTelemetry SDK for Node.js as OTLP/JSON and prints what was sent as JSON.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.argv[2], "x.js"));
const address = process.argv[3];
const { SpanKind, SpanStatusCode, trace, context } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { LoggerProvider, SimpleLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-http");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-http");

const resource = resourceFromAttributes({ "service.name": "node-json", "service.version": "7.8.9", answer: 42 });
const url = (signal) => ({ url: `http://${address}/v1/${signal}` });
const tracers = new BasicTracerProvider({
  resource,
  spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter(url("traces")))],
});
const logs = new LoggerProvider({
  resource,
  processors: [new SimpleLogRecordProcessor({ exporter: new OTLPLogExporter(url("logs")) })],
  logRecordProcessors: [],
});
const reader = new PeriodicExportingMetricReader({
  exporter: new OTLPMetricExporter(url("metrics")),
  exportIntervalMillis: 3_600_000,
});
const meters = new MeterProvider({ resource, readers: [reader] });

const tracer = tracers.getTracer("scope-of-tests", "0.9");
const parent = tracer.startSpan("parent", {
  kind: SpanKind.SERVER,
  attributes: { "http.request.method": "GET", "http.response.status_code": 200, text: "결제", flag: true, ratio: 0.25, list: ["a", "b"] },
});
const inner = trace.setSpan(context.active(), parent);
const child = tracer.startSpan("child", { kind: SpanKind.PRODUCER }, inner);
child.addEvent("queued", { depth: 4 });
child.setStatus({ code: SpanStatusCode.ERROR, message: "queue is full" });
child.end();
parent.end();
const ids = (span) => ({ trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId });

logs.getLogger("scope-of-logs").emit({
  timestamp: [1700000001, 5],
  severityNumber: 17,
  severityText: "ERROR",
  body: "queue is full",
  attributes: { "order.id": "B-2", attempt: 2 },
  context: trace.setSpan(context.active(), child),
});
meters.getMeter("scope-of-metrics").createCounter("node.orders", { unit: "1" }).add(4, { currency: "KRW" });

await Promise.all([tracers.forceFlush(), logs.forceFlush(), meters.forceFlush()]);
await Promise.all([tracers.shutdown(), logs.shutdown(), meters.shutdown()]);
console.log(JSON.stringify({
  service: "node-json",
  spans: [
    { name: "parent", kind: 2, status_code: 0, parent_span_id: "", attributes: { "http.request.method": "GET", "http.response.status_code": 200, text: "결제", flag: true, ratio: 0.25, list: ["a", "b"] }, ...ids(parent) },
    { name: "child", kind: 4, status_code: 2, status_message: "queue is full", parent_span_id: ids(parent).span_id, ...ids(child) },
  ],
  logs: [{ time_unix_nano: "1700000001000000005", severity_number: 17, severity_text: "ERROR", body: "queue is full", attributes: { "order.id": "B-2", attempt: 2 }, ...ids(child) }],
  metrics: { "node.orders": 4 },
}));
