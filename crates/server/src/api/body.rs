//! Request bodies, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::error::ApiError;
use super::state::{MAX_BODY_BYTES, MAX_KEPT_BYTES};

/// Longest wait for a whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The whole body of what becomes a part of a bot's record, at most [`MAX_KEPT_BYTES`].
pub(crate) async fn read_kept(body: Body) -> Result<Vec<u8>, ApiError> {
    read_at_most(body, MAX_KEPT_BYTES).await
}

/// The whole body, at most so many bytes.
pub(crate) async fn read_at_most(body: Body, most: usize) -> Result<Vec<u8>, ApiError> {
    let collect = async {
        let mut bytes = Vec::with_capacity(body.size_hint().lower().min(most as u64) as usize);
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| ApiError::bad_request("The body could not be read to its end"))?;
            if bytes.len() + chunk.len() > most {
                let message = format!("The body is larger than {most} bytes");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(BODY_TIMEOUT, collect)
        .await
        .unwrap_or_else(|_| Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive")))
}

/// The body as JSON, at most [`MAX_BODY_BYTES`]; no body at all is an empty object, as MeetStream's clients send either.
pub(crate) async fn read_json(body: Body) -> Result<Value, ApiError> {
    json(&read_at_most(body, MAX_BODY_BYTES).await?)
}

/// The same of what becomes a part of a bot's record, at most [`MAX_KEPT_BYTES`].
pub(crate) async fn read_kept_json(body: Body) -> Result<Value, ApiError> {
    json(&read_kept(body).await?)
}

fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    parse(bytes).map_err(ApiError::bad_request)
}

/// JSON of bounded depth (128 levels). Of a key that comes twice the last value counts.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("The body is not valid JSON: {error}"))
}
