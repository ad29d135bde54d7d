//! What is different about some rows.

use super::error::{ApiError, Parameters};
use crate::{CompareRequest, Comparison, QueryError, QueryService, parse_range};
use axum::Json;
use axum::extract::State;
use mangru_store::Signal;
use serde::Deserialize;
use std::sync::Arc;

/// Parameters of a comparison.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct CompareParameters {
    /// A search for the rows that are looked at; empty is refused unless there is a baseline.
    query: String,
    /// A search for the rows they are compared with; all others of the range without it.
    baseline: Option<String>,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// How many fields, those that differ most; 20 by default.
    limit: Option<usize>,
    /// How many values of each field, those that differ most; 10 by default.
    values: Option<usize>,
}

impl CompareParameters {
    fn request(self, signal: Signal) -> Result<CompareRequest, QueryError> {
        Ok(CompareRequest {
            signal,
            range: parse_range(self.start.as_deref(), self.end.as_deref())?,
            selection: self.query,
            baseline: self.baseline.filter(|baseline| !baseline.trim().is_empty()),
            selection_range: None,
            max_fields: self.limit.unwrap_or(20),
            max_values: self.values.unwrap_or(10),
        })
    }
}

/// Values that stand out in the logs that a search finds.
#[utoipa::path(get, path = "/api/v1/logs/compare", params(CompareParameters), responses((status = 200, body = Comparison)))]
pub(super) async fn logs(
    State(service): State<Arc<QueryService>>,
    Parameters(parameters): Parameters<CompareParameters>,
) -> Result<Json<Comparison>, ApiError> {
    Ok(Json(service.compare(&parameters.request(Signal::Logs)?).await?))
}

/// Values that stand out in the spans that a search finds.
#[utoipa::path(get, path = "/api/v1/spans/compare", params(CompareParameters), responses((status = 200, body = Comparison)))]
pub(super) async fn spans(
    State(service): State<Arc<QueryService>>,
    Parameters(parameters): Parameters<CompareParameters>,
) -> Result<Json<Comparison>, ApiError> {
    Ok(Json(service.compare(&parameters.request(Signal::Spans)?).await?))
}
