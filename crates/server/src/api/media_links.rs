//! Links to stored media: signed, short-lived, usable without an API key.
//!
//! A link names an object, the second at which it expires and an HMAC over both. Only objects of recordings are served,
//! whatever is signed.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, Mac};
use muster_session::Timestamp;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use super::error::{ApiError, Message};
use super::query::Query;
use super::state::ApiState;

/// How long a link can be used.
pub(crate) const LINK_TTL: Duration = Duration::from_secs(3_600);
/// Nothing outside this is served.
const SERVED: &str = "recordings/";
/// What stays as it is in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type HmacSha256 = Hmac<Sha256>;

/// A link to an object that can be used for an hour.
pub(crate) fn link(state: &ApiState, path: &object_store::path::Path) -> String {
    let expires = state.clock.now() + LINK_TTL;
    let expires = expires.as_millis().div_euclid(1_000);
    let segments: Vec<String> =
        path.as_ref().split('/').map(|segment| utf8_percent_encode(segment, SEGMENT).to_string()).collect();
    let mut url = state.public_url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/media/{}", segments.join("/")));
    let signature = hex(&mac(&state.link_secret, path.as_ref(), expires).finalize().into_bytes());
    url.set_query(Some(&format!("expires={expires}&signature={signature}")));
    url.to_string()
}

fn mac(secret: &[u8], path: &str, expires: i64) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(secret).expect("HMAC takes keys of any length");
    // The path cannot contain a line break, so the two parts cannot be moved into each other.
    mac.update(path.as_bytes());
    mac.update(b"\n");
    mac.update(expires.to_string().as_bytes());
    mac
}

/// A stored object
///
/// Links are given out by other endpoints and can be used for an hour, without an API key. One byte range can be asked
/// for.
#[utoipa::path(
    get, path = "/media/{path}", tag = "media",
    params(
        ("path" = String, Path, description = "Name of the object, with slashes"),
        ("expires" = i64, Query, description = "Seconds since the epoch"),
        ("signature" = String, Query),
        ("Range" = Option<String>, Header),
    ),
    responses(
        (status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"),
        (status = 403, description = "The signature is wrong", body = Message),
        (status = 410, description = "The link has expired or the object is gone", body = Message),
        (status = 416, body = Message),
    ),
    security(())
)]
pub(crate) async fn media(
    State(state): State<ApiState>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Ok(Path(path)) = path else { return Err(bad_link()) };
    let location = check(&state.link_secret, &path, &Query::parse(query.as_deref()), state.clock.now())?;
    let meta = state.storage.head(&location).await?;
    let range = match wanted_range(&headers, &meta) {
        Ok(range) => range,
        Err(Unsatisfiable) => return Ok(unsatisfiable(meta.size)),
    };
    let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
    let object = state.storage.get_opts(&location, options).await?;
    let served = object.range.clone();
    let mut response = Body::from_stream(object.into_stream()).into_response();
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", served.start, served.end.saturating_sub(1), meta.size);
        response.headers_mut().insert(header::CONTENT_RANGE, ascii(text));
    }
    describe(response.headers_mut(), &location, &meta, served.end - served.start);
    Ok(response)
}

fn bad_link() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "The link is not valid")
}

/// The object that a genuine, fresh link names.
fn check(secret: &[u8], path: &str, query: &Query, now: Timestamp) -> Result<object_store::path::Path, ApiError> {
    let expires: i64 = query.get("expires").and_then(|text| text.parse().ok()).ok_or_else(bad_link)?;
    let signature = query.get("signature").and_then(unhex).ok_or_else(bad_link)?;
    // Constant time.
    mac(secret, path, expires).verify_slice(&signature).map_err(|_| bad_link())?;
    if now.as_millis().div_euclid(1_000) >= expires {
        return Err(ApiError::gone("The link has expired; ask for a new one"));
    }
    if !path.starts_with(SERVED) {
        return Err(bad_link());
    }
    object_store::path::Path::parse(path).map_err(|_| bad_link())
}

#[derive(Debug)]
struct Unsatisfiable;

/// The one range that is asked for. Several ranges, other units and a range for another version mean the whole.
fn wanted_range(headers: &HeaderMap, meta: &ObjectMeta) -> Result<Option<std::ops::Range<u64>>, Unsatisfiable> {
    let Some(text) = headers.get(header::RANGE).and_then(|v| v.to_str().ok()) else { return Ok(None) };
    if let Some(version) = headers.get(header::IF_RANGE)
        && version.to_str().ok() != meta.e_tag.as_deref()
    {
        return Ok(None);
    }
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Ok(None);
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(meta.size),
        (Ok(first), Err(_)) if last.is_empty() => first..meta.size,
        (Err(_), Ok(count)) if first.is_empty() && count > 0 => meta.size.saturating_sub(count)..meta.size,
        (Err(_), Ok(_)) if first.is_empty() => return Err(Unsatisfiable),
        _ => return Ok(None),
    };
    if range.start >= meta.size { Err(Unsatisfiable) } else { Ok(Some(range)) }
}

fn unsatisfiable(size: u64) -> Response {
    let message = format!("The object has {size} bytes");
    let mut response = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, message).into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, ascii(format!("bytes */{size}")));
    response
}

fn describe(headers: &mut HeaderMap, location: &object_store::path::Path, meta: &ObjectMeta, length: u64) {
    let content_type = match location.extension() {
        Some("ogg" | "opus") => "audio/ogg",
        Some("wav") => "audio/wav",
        Some("webm") => "audio/webm",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(tag) = meta.e_tag.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and ASCII punctuation make a header")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(size: u64) -> ObjectMeta {
        ObjectMeta {
            location: "recordings/t/b/audio.ogg".into(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size,
            e_tag: Some("\"v1\"".into()),
            version: None,
        }
    }

    fn range(text: &str, if_range: Option<&'static str>) -> Result<Option<std::ops::Range<u64>>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(text).unwrap());
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(tag));
        }
        wanted_range(&headers, &meta(100)).map_err(|Unsatisfiable| ())
    }

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-9", None), Ok(Some(0..10)));
        assert_eq!(range("bytes=90-", None), Ok(Some(90..100)));
        assert_eq!(range("bytes=90-1000", None), Ok(Some(90..100)));
        assert_eq!(range("bytes=-10", None), Ok(Some(90..100)));
        assert_eq!(range("bytes=-1000", None), Ok(Some(0..100)));
        assert_eq!(range("bytes=100-", None), Err(()));
        assert_eq!(range("bytes=-0", None), Err(()));
        for whole in ["bytes=9-0", "bytes=0-1,5-6", "lines=1-2", "bytes=x-y", "bytes=-"] {
            assert_eq!(range(whole, None), Ok(None), "{whole}");
        }
        assert_eq!(range("bytes=0-9", Some("\"v1\"")), Ok(Some(0..10)));
        assert_eq!(range("bytes=0-9", Some("\"v2\"")), Ok(None));
    }

    #[test]
    fn a_signature_covers_path_and_expiry() {
        let expires = 2_000_000_000;
        let path = "recordings/t/b/audio.ogg";
        let signed = hex(&mac(b"secret", path, expires).finalize().into_bytes());
        let now = Timestamp::from_millis(1_999_999_999_000);
        let status = |path: &str, expires: i64, signature: &str, now| {
            let query = Query::parse(Some(&format!("expires={expires}&signature={signature}")));
            check(b"secret", path, &query, now).map_err(|error| error.into_response().status().as_u16())
        };
        assert!(status(path, expires, &signed, now).is_ok());
        assert_eq!(status(path, expires + 1, &signed, now), Err(403));
        assert_eq!(status("recordings/t/c/audio.ogg", expires, &signed, now), Err(403));
        assert_eq!(status(path, expires, &signed[..62], now), Err(403));
        assert_eq!(status(path, expires, "zz", now), Err(403));
        assert_eq!(status(path, expires, &signed, Timestamp::from_millis(2_000_000_000_000)), Err(410));
        let elsewhere = hex(&mac(b"secret", "keys/x", expires).finalize().into_bytes());
        assert_eq!(status("keys/x", expires, &elsewhere, now), Err(403));
    }
}
