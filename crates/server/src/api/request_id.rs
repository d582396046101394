//! What wraps every request: an id, one line in the log, and an answer even when a handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::ApiError;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const ID_CHARS_MAX: usize = 128;

/// Gives the request an id (the caller's, if it is a sane one), puts it on the answer, and turns a panic into a 500.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let id = request.headers().get(&HEADER).filter(|id| is_sane(id)).cloned().unwrap_or_else(fresh);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, path);
    let answer = async {
        let mut response = AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| ApiError::internal(format!("panic: {}", text(panic.as_ref()))).into_response());
        tracing::debug!(status = response.status().as_u16(), "answered");
        response.headers_mut().insert(HEADER, id);
        response
    };
    answer.instrument(span).await
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=ID_CHARS_MAX).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn fresh() -> HeaderValue {
    HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID makes a header")
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn boom() -> &'static str {
        panic!("boom")
    }

    #[tokio::test]
    async fn a_panic_is_a_500_with_message_and_id() {
        let router: Router = Router::new().route("/", get(boom)).layer(axum::middleware::from_fn(layer));
        let request = Request::builder().uri("/").header("x-request-id", "abc-1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 500);
        assert_eq!(response.headers()["x-request-id"], "abc-1");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["message"].is_string());
        assert!(!body.to_string().contains("boom"), "the inside stays inside: {body}");
    }
}
