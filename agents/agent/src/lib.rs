//! The place of the host agent (files, journald, host metrics, scraping), which speaks OTLP to a collector. It is not
//! written yet; until then the OpenTelemetry Collector does that work in front of Mangru.
