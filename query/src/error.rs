//! What a query can fail with, and how that is told.

use mangru_store::StoreError;
use serde::Serialize;
use std::fmt;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is wrong: the same request will never succeed.
    InvalidArgument,
    /// There is no such thing.
    NotFound,
    /// The deadline passed first.
    DeadlineExceeded,
    /// A limit on memory or concurrency was reached.
    ResourceExhausted,
    /// The caller went away.
    Cancelled,
    /// The request is understood and not supported.
    Unsupported,
    /// Something is broken on our side.
    Internal,
}

impl ErrorCode {
    /// The HTTP status that fits.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::NotFound => 404,
            Self::DeadlineExceeded => 504,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unsupported => 501,
            Self::Internal => 500,
        }
    }
}

/// An error with the field of the request it is about and the place in that field, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct QueryError {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What went wrong, in a sentence.
    pub message: String,
    /// The parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// The offset in that parameter, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

impl QueryError {
    /// An error about the whole request.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, position: None }
    }

    /// An error in a parameter.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidArgument, message: message.into(), field: Some(field), position: None }
    }

    /// An error about what is understood, in a parameter, and not supported.
    pub fn unsupported(field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(ErrorCode::Unsupported, message) }
    }

    /// An error at a character of the parameter `query`.
    pub fn at(position: usize, message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::InvalidArgument,
            message: message.into(),
            field: Some("query"),
            position: Some(position),
        }
    }

    /// An error that is not the caller's fault.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Internal, message.to_string())
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal(error)
    }
}
