//! Counters of what came in and what was refused.

use mangru_store::Signal;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;

/// Service names that are counted one by one; the others are `other`.
const MAX_SERVICES: usize = 1000;

/// What came in since start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IntakeReport {
    /// One entry per signal and protocol that was used.
    pub protocols: Vec<ProtocolIntake>,
    /// Rows kept, by `service.name`.
    pub services: BTreeMap<String, u64>,
}

/// What came in of one signal over one protocol.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProtocolIntake {
    /// `logs`, `spans` or `metric_points`.
    pub signal: &'static str,
    /// `otlp_grpc`, `otlp_http_protobuf`, `otlp_http_json`, `prometheus_remote_write`, `loki_push`, `zipkin`, `elasticsearch_bulk` or
    /// `ndjson`.
    pub protocol: &'static str,
    /// Requests answered with success, partial ones included.
    pub requests: u64,
    /// Rows kept.
    pub rows: u64,
    /// Bytes of kept requests after decompression.
    pub bytes: u64,
    /// Requests refused, by why.
    pub refused: BTreeMap<&'static str, u64>,
    /// Rows refused alone, by partial success.
    pub rejected_rows: u64,
    /// Rows kept though something was wrong, by what.
    pub warnings: BTreeMap<&'static str, u64>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
    HttpJson,
    PrometheusRemoteWrite,
    LokiPush,
    Zipkin,
    ElasticsearchBulk,
    Ndjson,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "otlp_grpc",
            Self::HttpProtobuf => "otlp_http_protobuf",
            Self::HttpJson => "otlp_http_json",
            Self::PrometheusRemoteWrite => "prometheus_remote_write",
            Self::LokiPush => "loki_push",
            Self::Zipkin => "zipkin",
            Self::ElasticsearchBulk => "elasticsearch_bulk",
            Self::Ndjson => "ndjson",
        }
    }
}

/// What was decoded from a request.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    /// Rows refused alone.
    pub(crate) rejected: u64,
    pub(crate) warnings: BTreeMap<&'static str, u64>,
    pub(crate) services: BTreeMap<String, u64>,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    protocols: Mutex<BTreeMap<(Signal, Protocol), ProtocolIntake>>,
    services: Mutex<BTreeMap<String, u64>>,
}

impl Intake {
    fn with(&self, signal: Signal, protocol: Protocol, change: impl FnOnce(&mut ProtocolIntake)) {
        let mut protocols = self.protocols.lock();
        let entry = protocols.entry((signal, protocol)).or_insert_with(|| ProtocolIntake {
            signal: signal.table(),
            protocol: protocol.name(),
            ..ProtocolIntake::default()
        });
        change(entry);
    }

    /// Counts a request that was kept: its bytes, and what was decoded from it.
    pub(crate) fn kept(&self, signal: Signal, protocol: Protocol, bytes: usize, counts: Counts) {
        let Counts { rows, rejected, warnings, services } = counts;
        self.with(signal, protocol, |entry| {
            entry.requests += 1;
            entry.rows += rows;
            entry.bytes += bytes as u64;
            entry.rejected_rows += rejected;
            for (warning, count) in warnings {
                *entry.warnings.entry(warning).or_default() += count;
            }
        });
        let mut known = self.services.lock();
        for (service, rows) in services {
            let name =
                if known.contains_key(&service) || known.len() < MAX_SERVICES { service } else { "other".to_owned() };
            *known.entry(name).or_default() += rows;
        }
    }

    /// Counts a request that was refused.
    pub(crate) fn refused(&self, signal: Signal, protocol: Protocol, why: &'static str) {
        self.with(signal, protocol, |entry| *entry.refused.entry(why).or_default() += 1);
    }

    /// The counters now.
    pub(crate) fn report(&self) -> IntakeReport {
        IntakeReport {
            protocols: self.protocols.lock().values().cloned().collect(),
            services: self.services.lock().clone(),
        }
    }
}
