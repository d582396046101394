//! The pages and what they are made of, all in the binary.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::scenario::is_id;

/// Nothing inline, nothing from elsewhere: also the case of a strict policy for bots that run scripts in pages.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const ASSETS: [(&str, &str, &str); 6] = [
    ("base.css", "text/css", include_str!("../../assets/base.css")),
    ("index.css", "text/css", include_str!("../../assets/index.css")),
    ("index.js", "text/javascript", include_str!("../../assets/index.js")),
    ("room.css", "text/css", include_str!("../../assets/room.css")),
    ("room.js", "text/javascript", include_str!("../../assets/room.js")),
    ("media.js", "text/javascript", include_str!("../../assets/media.js")),
];

/// `GET /sandbox`
pub(super) async fn index() -> Response {
    serve("text/html; charset=utf-8", include_str!("../../assets/index.html"))
}

/// `GET /sandbox/{room}`. The page takes the room's name from its address.
pub(super) async fn room(Path(room): Path<String>) -> Response {
    if is_id(&room) {
        serve("text/html; charset=utf-8", include_str!("../../assets/room.html"))
    } else {
        let page = serve("text/html; charset=utf-8", include_str!("../../assets/no-room.html"));
        (StatusCode::NOT_FOUND, page).into_response()
    }
}

/// `GET /sandbox/api/assets/{file}`
pub(super) async fn asset(Path(file): Path<String>) -> Response {
    match ASSETS.iter().find(|(name, _, _)| *name == file) {
        Some((_, kind, body)) => serve(kind, body),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn serve(kind: &'static str, body: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // A new version of the server brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}
