//! Errors and parameters at the edge.

use crate::{ErrorCode, QueryError};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Json, extract::Query};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An error as this API answers it: `{"error":{"code","message","field","position"}}`.
pub(super) struct ApiError(pub(super) QueryError);

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.0.code == ErrorCode::Internal {
            tracing::error!(error = %self.0, "request failed");
        }
        (status(self.0.code), Json(json!({ "error": self.0 }))).into_response()
    }
}

/// The HTTP status of a code.
pub(super) fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The same for clients that know no status for what is not supported: to them it is a bad request. What is our fault is logged.
pub(super) fn status_of(error: &QueryError) -> StatusCode {
    match error.code {
        ErrorCode::Internal => {
            tracing::error!(%error, "request failed");
            status(error.code)
        }
        ErrorCode::Unsupported => StatusCode::BAD_REQUEST,
        code => status(code),
    }
}

/// Query parameters whose errors are answered like all others.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError(QueryError::new(ErrorCode::InvalidArgument, rejection.body_text()))),
        }
    }
}
