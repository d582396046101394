//! What a caller is told when something is not done.
//!
//! An error has two texts: `message` goes to the caller, `detail` only to the log. Every error body is `{"message"}`,
//! which is what MeetStream's clients read.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster_session::Rejected;
use muster_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::roles::ApplyError;

/// Seconds after which a caller may try again when a backend is out of reach.
const RETRY_AFTER_SECONDS: u32 = 2;

/// The body of every error, and of answers that only say something.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Message {
    /// For people.
    pub message: String,
}

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    detail: Option<String>,
    retry_after: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), detail: None, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The same words for a bot that never was and for one of another tenant.
    pub(crate) fn no_such_bot() -> Self {
        Self::not_found("There is no such bot")
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, message)
    }

    pub(crate) fn not_supported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>, detail: impl ToString) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.into(),
            detail: Some(detail.to_string()),
            retry_after: Some(RETRY_AFTER_SECONDS),
        }
    }

    /// Nothing is wrong but the number of requests: not for the log of errors.
    pub(crate) fn busy(message: impl Into<String>, detail: impl ToString) -> Self {
        tracing::debug!(detail = detail.to_string(), "a request was put off");
        let retry_after = Some(RETRY_AFTER_SECONDS);
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), detail: None, retry_after }
    }

    pub(crate) fn internal(detail: impl ToString) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "Something went wrong on the server; the request id identifies it in the server's log".into(),
            detail: Some(detail.to_string()),
            retry_after: None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(detail) = &self.detail {
            tracing::error!(status = self.status.as_u16(), detail, "request failed");
        }
        let mut response = (self.status, Json(Message { message: self.message })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Token"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::unavailable("The record is busy; try again", "commits kept conflicting"),
            StoreError::Missing => Self::no_such_bot(),
            StoreError::BadCursor => Self::bad_request("cursor: expected the nextCursor of a page of this list"),
            StoreError::Full { .. } => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..Self::busy("Every bot that you may have at a time is running; try again later", chain(&error))
            },
            StoreError::Unavailable { .. } => Self::unavailable("The store is out of reach; try again", chain(&error)),
            StoreError::Seen | StoreError::Fenced | StoreError::Corrupt { .. } => Self::internal(chain(&error)),
        }
    }
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Missing => Self::no_such_bot(),
            ApplyError::Store(error) => error.into(),
            ApplyError::Rejected(Rejected::NotNow { state, .. }) => {
                Self::conflict(format!("Not possible while the bot's status is {}", state.wire_status()))
            }
            ApplyError::Rejected(rejected @ Rejected::StaleToken { .. }) => Self::internal(rejected),
        }
    }
}

impl From<object_store::Error> for ApiError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::gone("The stored media is not there any more"),
            error => Self::unavailable("The recordings are out of reach; try again", chain(&error)),
        }
    }
}

/// The error with everything that caused it, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
