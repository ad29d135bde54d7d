//! The configuration: one YAML file, each value overridable by the environment, some by flags.

mod check;
mod load;

use load::Given;
pub(crate) use load::load;

use crate::machine;
use anyhow::{Context as _, bail};
use mangru_alerts::AlertSettings;
use mangru_collector::{CollectorConfig, CorrelationConfig};
use mangru_query::QuerySettings;
use mangru_store::{ObjectsConfig, Retention, StoreConfig};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The folder of all data.
    pub(crate) data_dir: Option<PathBuf>,
    /// The folder of dashboards and saved searches; `config` in the data folder without it.
    pub(crate) config_dir: Option<PathBuf>,
    /// The address of UI and APIs.
    pub(crate) http: String,
    /// Seconds between the figures that the process keeps about itself, up to 3,600; 0 keeps none.
    pub(crate) self_metrics_seconds: u64,
    pub(crate) otlp: Otlp,
    pub(crate) correlation: Correlation,
    pub(crate) store: StoreSettings,
    /// An object store for older parts.
    pub(crate) objects: Objects,
    pub(crate) retention: RetentionSettings,
    pub(crate) query: Query,
    pub(crate) alerts: Alerts,
}

/// The OTLP receivers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Otlp {
    /// The address of gRPC.
    pub(crate) grpc: String,
    /// The address of HTTP.
    pub(crate) http: String,
    /// The longest gRPC message, in MiB, 1 to 1024.
    pub(crate) max_grpc_mib: usize,
    /// The longest HTTP body, in MiB, 1 to 1024.
    pub(crate) max_http_mib: usize,
    /// Requests worked on at the same time, 1 to 100,000.
    pub(crate) max_concurrent_requests: usize,
    /// Mebibytes of requests worked on at the same time, 1 to 65,536.
    pub(crate) max_in_flight_mib: usize,
    /// Pages that may send from browsers; `*` at the end stands for the rest.
    pub(crate) cors_origins: Vec<String>,
    /// Headers that such pages may send beside OpenTelemetry's own.
    pub(crate) cors_headers: Vec<String>,
}

/// Where correlation ids are found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Correlation {
    /// Attribute and body keys, the most telling first; `*` at the end stands for the rest.
    pub(crate) keys: Vec<String>,
    /// A regular expression with one group that lifts an id out of bodies.
    pub(crate) body_pattern: Option<String>,
    /// Whether JSON and logfmt bodies are looked into.
    pub(crate) look_into_bodies: bool,
}

/// The store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreSettings {
    /// Hot rows of a signal that are sealed into a part, 1 to 4,000,000.
    pub(crate) seal_rows: usize,
    /// Mebibytes of hot rows of a signal that are sealed, 1 to 4,096.
    pub(crate) seal_mib: usize,
    /// Age in seconds after which hot rows are sealed, 1 to 86,400.
    pub(crate) seal_seconds: u64,
    /// Mebibytes of unsealed journal beyond which senders are told to wait, 16 to 1,048,576.
    pub(crate) journal_mib: u64,
    /// Mebibytes for requests, hot rows, sealing, merging and queries together, to 1,048,576; 0: a quarter of what the machine has, 256 at least.
    pub(crate) memory_mib: usize,
    /// Mebibytes of requests and hot rows beyond which senders are told to wait, 16 to 1,048,576.
    pub(crate) ingest_mib: usize,
    /// Mebibytes of disk that are kept free, 0 to 1,048,576.
    pub(crate) disk_reserve_mib: u64,
}

/// An object store for older parts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Objects {
    /// `s3://bucket` or `s3://bucket/folder`; none: all parts stay on this machine. The credentials are those of the
    /// environment.
    pub(crate) url: Option<String>,
    /// The address of an S3 compatible server, such as `http://127.0.0.1:9000`; none: Amazon's own.
    pub(crate) endpoint: Option<String>,
    /// The region; none: that of the environment.
    pub(crate) region: Option<String>,
    /// Hours that rows stay on this machine, up to 876,000; 0 moves parts as soon as they are made.
    pub(crate) local_hours: u64,
    /// Gibibytes of each signal that stay on this machine, up to 1,048,576; 0 is no limit.
    pub(crate) local_gib: u64,
    /// Mebibytes of remote parts that are kept on the local disk for further reads, 16 to 1,048,576.
    pub(crate) cache_mib: u64,
}

/// What is kept; 0 is no limit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionSettings {
    /// Days that logs are kept, up to 36,500.
    pub(crate) logs_days: u64,
    /// Days that spans are kept, up to 36,500.
    pub(crate) spans_days: u64,
    /// Days that metric points are kept, up to 36,500.
    pub(crate) metrics_days: u64,
    /// Gibibytes of logs, indexes included, up to 1,048,576.
    pub(crate) logs_gib: u64,
    /// Gibibytes of spans, indexes included, up to 1,048,576.
    pub(crate) spans_gib: u64,
    /// Gibibytes of metric points, indexes included, up to 1,048,576.
    pub(crate) metrics_gib: u64,
}

/// Queries.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Query {
    /// Seconds after which a query ends with an error, 1 to 3,600.
    pub(crate) deadline_seconds: u64,
    /// Mebibytes that one query may take, within what `store.memory_mib` leaves queries, 16 to 65,536; 0: half of `store.memory_mib`.
    pub(crate) memory_mib: usize,
    /// Queries at the same time, 1 to 1,000.
    pub(crate) concurrency: usize,
    /// The largest limit of rows, 1 to 1,000,000.
    pub(crate) max_limit: usize,
    /// Milliseconds after which a query is logged with what it asked, 1 to 3,600,000.
    pub(crate) slow_ms: u64,
    /// Whether PromQL evaluates what Prometheus calls experimental.
    pub(crate) promql_experimental_functions: bool,
}

/// Rules, and who is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    /// Files and folders of rules; `*` in a file's name stands for anything.
    pub(crate) rules: Vec<PathBuf>,
    /// A configuration of Alertmanager: routes, receivers, inhibitions; none: nobody is told, alerts are on the screen.
    pub(crate) notify: Option<PathBuf>,
    /// The file of silences; none: `alerts/silences.yaml` in the data folder.
    pub(crate) silences: Option<PathBuf>,
    /// Seconds between evaluations of groups that do not say, 1 to 86,400.
    pub(crate) interval_seconds: u64,
    /// Seconds by which evaluations look back, so that late data is seen, in groups without `query_offset`; 0 to 3,600.
    pub(crate) offset_seconds: u64,
    /// The address that links in notifications begin with; none: that of `http`.
    pub(crate) external_url: Option<String>,
    /// Days that transitions and notifications are kept, 1 to 3,650.
    pub(crate) history_days: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            notify: None,
            silences: None,
            interval_seconds: 60,
            offset_seconds: 5,
            external_url: None,
            history_days: 90,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: None,
            config_dir: None,
            http: "127.0.0.1:4319".to_owned(),
            self_metrics_seconds: 15,
            otlp: Otlp::default(),
            correlation: Correlation::default(),
            store: StoreSettings::default(),
            objects: Objects::default(),
            retention: RetentionSettings::default(),
            query: Query::default(),
            alerts: Alerts::default(),
        }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        let defaults = CollectorConfig::default();
        Self {
            grpc: defaults.otlp_grpc.to_string(),
            http: defaults.otlp_http.to_string(),
            max_grpc_mib: defaults.max_grpc_bytes >> 20,
            max_http_mib: defaults.max_http_bytes >> 20,
            max_concurrent_requests: defaults.max_concurrent_requests,
            max_in_flight_mib: defaults.max_in_flight_bytes >> 20,
            cors_origins: defaults.cors_origins,
            cors_headers: defaults.cors_headers,
        }
    }
}

impl Default for Correlation {
    fn default() -> Self {
        let defaults = CorrelationConfig::default();
        Self { keys: defaults.keys, body_pattern: None, look_into_bodies: defaults.look_into_bodies }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        let defaults = StoreConfig::default();
        Self {
            seal_rows: defaults.seal_rows,
            seal_mib: defaults.seal_bytes >> 20,
            seal_seconds: defaults.seal_age.as_secs(),
            journal_mib: defaults.journal_max_bytes >> 20,
            memory_mib: 0,
            ingest_mib: defaults.ingest_max_bytes >> 20,
            disk_reserve_mib: defaults.disk_reserve_bytes >> 20,
        }
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self { url: None, endpoint: None, region: None, local_hours: 24, local_gib: 0, cache_mib: 1024 }
    }
}

impl Objects {
    fn config(&self) -> Option<ObjectsConfig> {
        Some(ObjectsConfig {
            url: self.url.clone()?,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            credentials: None,
            local: Retention {
                max_age: Some(Duration::from_hours(self.local_hours)),
                max_bytes: (self.local_gib > 0).then_some(self.local_gib << 30),
            },
            cache_max_bytes: self.cache_mib << 20,
        })
    }
}

impl Default for Query {
    fn default() -> Self {
        let defaults = QuerySettings::default();
        Self {
            deadline_seconds: defaults.deadline.as_secs(),
            memory_mib: 0,
            concurrency: defaults.concurrency,
            max_limit: defaults.max_limit,
            slow_ms: defaults.slow.as_millis() as u64,
            promql_experimental_functions: defaults.promql_experimental_functions,
        }
    }
}

impl RetentionSettings {
    /// By signal: logs, spans, metric points.
    fn by_signal(&self) -> [Retention; 3] {
        let kept = |days: u64, gib: u64| Retention {
            max_age: (days > 0).then(|| Duration::from_hours(days * 24)),
            max_bytes: (gib > 0).then_some(gib << 30),
        };
        [
            kept(self.logs_days, self.logs_gib),
            kept(self.spans_days, self.spans_gib),
            kept(self.metrics_days, self.metrics_gib),
        ]
    }
}

fn address(key: &str, text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| format!("{key} is `{text}`, not an address such as 127.0.0.1:4317"))
}

impl Settings {
    fn body_pattern(&self) -> anyhow::Result<Option<regex::Regex>> {
        let Some(text) = &self.correlation.body_pattern else { return Ok(None) };
        let pattern = regex::Regex::new(text).context("correlation.body_pattern is not a regular expression")?;
        if pattern.captures_len() != 2 {
            bail!("correlation.body_pattern has {} groups, it needs exactly one", pattern.captures_len() - 1);
        }
        Ok(Some(pattern))
    }

    /// The settings as JSON text, which is YAML too. There are no secrets among them.
    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Where dashboards and saved searches lie.
    pub(crate) fn config_dir(&self) -> PathBuf {
        self.config_dir.clone().unwrap_or_else(|| self.store().data_dir.join("config"))
    }

    /// Where UI and APIs listen.
    pub(crate) fn http_address(&self) -> anyhow::Result<SocketAddr> {
        address("http", &self.http)
    }

    /// The store's part.
    pub(crate) fn store(&self) -> StoreConfig {
        StoreConfig {
            data_dir: self.data_dir.clone().unwrap_or_else(|| PathBuf::from("./mangru-data")),
            seal_rows: self.store.seal_rows,
            seal_bytes: self.store.seal_mib << 20,
            seal_age: Duration::from_secs(self.store.seal_seconds),
            journal_max_bytes: self.store.journal_mib << 20,
            memory_max_bytes: self.memory_mib() << 20,
            ingest_max_bytes: self.store.ingest_mib << 20,
            disk_reserve_bytes: self.store.disk_reserve_mib << 20,
            retention: self.retention.by_signal(),
            objects: self.objects.config(),
            ..StoreConfig::default()
        }
    }

    /// The collector's part.
    pub(crate) fn collector(&self) -> anyhow::Result<CollectorConfig> {
        Ok(CollectorConfig {
            otlp_grpc: address("otlp.grpc", &self.otlp.grpc)?,
            otlp_http: address("otlp.http", &self.otlp.http)?,
            max_grpc_bytes: self.otlp.max_grpc_mib << 20,
            max_http_bytes: self.otlp.max_http_mib << 20,
            max_concurrent_requests: self.otlp.max_concurrent_requests,
            max_in_flight_bytes: self.otlp.max_in_flight_mib << 20,
            cors_origins: self.otlp.cors_origins.clone(),
            cors_headers: self.otlp.cors_headers.clone(),
            correlation: CorrelationConfig {
                keys: self.correlation.keys.clone(),
                body_pattern: self.body_pattern()?,
                look_into_bodies: self.correlation.look_into_bodies,
            },
        })
    }

    /// The part of alerts; `http` is the address in force.
    pub(crate) fn alerts(&self, http: SocketAddr) -> AlertSettings {
        let alerts = &self.alerts;
        AlertSettings {
            folder: self.store().data_dir.join("alerts"),
            rules: alerts.rules.clone(),
            notify: alerts.notify.clone(),
            silences: alerts.silences.clone(),
            interval_ms: alerts.interval_seconds as i64 * 1_000,
            offset_ms: alerts.offset_seconds as i64 * 1_000,
            external_url: alerts.external_url.clone().unwrap_or_else(|| format!("http://{http}")),
            history_ms: alerts.history_days as i64 * 86_400_000,
        }
    }

    /// Mebibytes for all that takes memory by what comes in or is asked. Only queries take more where there is more: the rest has bounds of its own.
    fn memory_mib(&self) -> usize {
        match self.store.memory_mib {
            0 => machine::memory_mib().map_or(0, |all| all / 4).max(StoreConfig::default().memory_max_bytes >> 20),
            mib => mib,
        }
    }

    /// The query service's part.
    pub(crate) fn query(&self) -> QuerySettings {
        QuerySettings {
            deadline: Duration::from_secs(self.query.deadline_seconds),
            memory_max_bytes: match self.query.memory_mib {
                0 => self.memory_mib() / 2,
                mib => mib,
            } << 20,
            concurrency: self.query.concurrency,
            max_limit: self.query.max_limit,
            slow: Duration::from_millis(self.query.slow_ms),
            promql_experimental_functions: self.query.promql_experimental_functions,
        }
    }
}
