//! The service map.

use super::error::{ApiError, Parameters};
use crate::{MapRequest, QueryService, ServiceMap, parse_range};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;

/// Parameters of the service map.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct MapParameters {
    /// A search over spans: only calls whose callee's span matches; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
}

/// Services, databases, queues and hosts, and the calls between them.
#[utoipa::path(get, path = "/api/v1/map", params(MapParameters), responses((status = 200, body = ServiceMap)))]
pub(super) async fn map(
    State(service): State<Arc<QueryService>>,
    Parameters(parameters): Parameters<MapParameters>,
) -> Result<Json<ServiceMap>, ApiError> {
    let request = MapRequest {
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        max_spans: MapRequest::MAX_SPANS,
    };
    Ok(Json(service.map(&request).await?))
}
