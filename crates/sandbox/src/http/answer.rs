//! Errors of the API, and who may use it.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::Url;

use crate::engine::{NotDone, Stopped, TooManyRooms};
use crate::scenario::Invalid;

/// What went wrong, as the client gets it: `{"message": ...}`, with `problems` if there are several fields to name.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    invalid: Option<Invalid>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), invalid: None }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn no_room(room: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no room `{room}`"))
    }

    pub(super) fn not_done(why: NotDone, room: &str) -> Self {
        match why {
            NotDone::NoRoom => Self::no_room(room),
            NotDone::Conflict(message) => Self::new(StatusCode::CONFLICT, message),
        }
    }
}

impl From<Stopped> for Failure {
    fn from(Stopped: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the sandbox has stopped")
    }
}

impl From<TooManyRooms> for Failure {
    fn from(TooManyRooms(most): TooManyRooms) -> Self {
        Self::new(StatusCode::CONFLICT, format!("there are {most} rooms, which is all that may be: delete one"))
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self { invalid: Some(invalid.clone()), ..Self::bad(invalid.to_string()) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"message": self.message});
        if let Some(invalid) = self.invalid {
            body["problems"] = json!(invalid.0);
        }
        (self.status, Json(body)).into_response()
    }
}

pub(super) async fn method_not_allowed() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this method cannot be used here")
}

/// The API asks for no key, so the pages of other sites must not reach it through somebody's browser: what a browser
/// says about where it comes from has to be true of us.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if !same_origin(request.headers()) {
        return Failure::new(StatusCode::FORBIDDEN, "requests from pages of other sites are refused").into_response();
    }
    let writes = matches!(*request.method(), Method::PUT | Method::POST);
    if writes && !is_json(request.headers()) {
        let message = "the body must be JSON, with the header `content-type: application/json`";
        return Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    next.run(request).await
}

/// A form or a simple request of another site cannot have this type without asking us first.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// True if there is no `Origin`, which only browsers send, or if it is that of this server.
pub(super) fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Some(origin) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return false };
    // The scheme may differ: a proxy in front may speak TLS. Its default port then tells which one is meant.
    let ours = Url::parse(&format!("{}://{host}", origin.scheme()));
    ours.is_ok_and(|ours| {
        origin.host_str().is_some()
            && ours.host_str() == origin.host_str()
            && ours.port_or_known_default() == origin.port_or_known_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_are_ours() {
        for (origin, host, ours) in [
            (None, Some("127.0.0.1:8080"), true),
            (Some("http://127.0.0.1:8080"), Some("127.0.0.1:8080"), true),
            (Some("https://meet.example"), Some("meet.example"), true),
            (Some("https://MEET.example:443"), Some("meet.example"), true),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), true),
            (Some("http://127.0.0.1:8081"), Some("127.0.0.1:8080"), false),
            (Some("http://evil.example"), Some("127.0.0.1:8080"), false),
            (Some("http://127.0.0.1:8080.evil.example"), Some("127.0.0.1:8080"), false),
            (Some("null"), Some("127.0.0.1:8080"), false),
            (Some("file://"), Some(""), false),
            (Some("http://127.0.0.1:8080"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ORIGIN, origin), (header::HOST, host)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(same_origin(&headers), ours, "{origin:?} at {host:?}");
        }
    }
}
