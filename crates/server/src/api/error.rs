//! What a caller is told when something is not done.
//!
//! An error has two texts: `message` goes to the caller, `detail` only to the log. Every error body is `{"message"}`,
//! which is what MeetStream's clients read.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster_session::Rejected;
use muster_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use super::rate;
use crate::roles::ApplyError;
use crate::roles::admit::NotAdmitted;

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

    /// More than the caller may have; worth another try after this time.
    pub(crate) fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        let seconds = u32::try_from(rate::seconds(retry_after)).unwrap_or(u32::MAX).max(1);
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
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
            StoreError::Full { taken } => {
                let message = format!("All {taken} bots that you may have at a time are running; try again later");
                Self::too_many(message, Duration::from_secs(RETRY_AFTER_SECONDS.into()))
            }
            StoreError::TooLarge { .. } => Self {
                detail: Some(chain(&error)),
                ..Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "With this the record would be larger than the store takes; send less",
                )
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

impl From<NotAdmitted> for ApiError {
    fn from(error: NotAdmitted) -> Self {
        match error {
            NotAdmitted::Concurrency { limit, retry_after } => {
                let message = format!(
                    "concurrency: you may have {limit} bots at a time, with those that wait, and have as many; try again later"
                );
                Self::too_many(message, retry_after)
            }
            NotAdmitted::Waiting { limit, retry_after } => {
                let message = format!("max_waiting: {limit} of your bots may wait in line, and do; try again later");
                Self::too_many(message, retry_after)
            }
            NotAdmitted::Store(error) => error.into(),
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
