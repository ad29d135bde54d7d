//! What the pages are made from.

use crate::config_files::ConfigFiles;
use mangru_alerts::AlertService;
use mangru_query::QueryService;
use std::sync::Arc;

/// Everything that the pages read; the binary builds it once.
#[derive(Clone)]
pub struct UiContext {
    /// Answers every search.
    pub query: Arc<QueryService>,
    /// Rules, their alerts, and who was told.
    pub alerts: Arc<AlertService>,
    /// The collector's report of what comes in, as JSON.
    pub intake: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Where senders reach this process.
    pub endpoints: Endpoints,
    /// The config in force, secrets masked.
    pub config_text: String,
    /// Dashboards and saved searches of the config folder.
    pub config_files: ConfigFiles,
    /// The version of the binary.
    pub version: &'static str,
}

impl UiContext {
    /// Whether the store has no row of any signal.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.query.store().status().tables.iter().all(|table| table.part_rows == 0 && table.hot_rows == 0)
    }
}

/// Addresses in force, as `host:port`.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// OTLP over gRPC.
    pub otlp_grpc: String,
    /// OTLP over HTTP.
    pub otlp_http: String,
    /// The UI and the JSON APIs.
    pub http: String,
}
