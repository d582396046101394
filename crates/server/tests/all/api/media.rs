use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use super::harness::{Api, Reply};

async fn link(api: &Api) -> String {
    let bot = api.recorded(json!({}), b"0123456789").await;
    Api::local(&api.get(&format!("/api/v1/bots/{bot}/get_audio")).await.expect(200)["audio_url"])
}

async fn fetch(api: &Api, path: &str, headers: &[(&str, &str)]) -> Reply {
    api.call(Method::GET, path, headers, "").await
}

#[tokio::test]
async fn a_link_works_without_a_key_for_an_hour() {
    let api = Api::start().await;
    let path = link(&api).await;
    let reply = fetch(&api, &path, &[]).await;
    assert_eq!((reply.status, &reply.bytes[..]), (200, &b"0123456789"[..]));
    assert_eq!(reply.headers["content-length"], "10");
    assert_eq!(reply.headers["accept-ranges"], "bytes");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    api.advance(Duration::from_secs(3_599));
    assert_eq!(fetch(&api, &path, &[]).await.status, 200);
    api.advance(Duration::from_secs(1));
    assert!(fetch(&api, &path, &[]).await.refusal(410).contains("expired"));
}

#[tokio::test]
async fn a_link_that_was_touched_is_403() {
    let api = Api::start().await;
    let path = link(&api).await;
    let (name, query) = path.split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    let later = format!("expires={}", expires["expires=".len()..].parse::<u64>().unwrap() + 1);
    for wrong in [
        name.to_owned(),
        format!("{name}?{expires}"),
        format!("{name}?{signature}"),
        format!("{name}?{later}&{signature}"),
        format!("{name}x?{query}"),
        format!("{}?{query}", name.replace("first", "other")),
        format!("{name}?{expires}&signature=00"),
        format!("{name}?{expires}&signature=%C3%A9"),
        format!("{name}?expires=soon&{signature}"),
        "/media/%FF?expires=1&signature=00".to_owned(),
        "/media/..%2f..%2fetc%2fpasswd?expires=1&signature=00".to_owned(),
    ] {
        fetch(&api, &wrong, &[]).await.refusal(403);
    }
    assert_eq!(fetch(&api, &path, &[]).await.status, 200);
}

#[tokio::test]
async fn one_byte_range_can_be_asked_for() {
    let api = Api::start().await;
    let path = link(&api).await;
    for (range, expected, bytes) in [
        ("bytes=0-3", "bytes 0-3/10", &b"0123"[..]),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=-2", "bytes 8-9/10", b"89"),
        ("bytes=8-100", "bytes 8-9/10", b"89"),
    ] {
        let reply = fetch(&api, &path, &[("range", range)]).await;
        assert_eq!((reply.status, &reply.bytes[..]), (206, bytes), "{range}");
        assert_eq!(reply.headers["content-range"], expected);
        assert_eq!(reply.headers["content-length"], bytes.len().to_string());
    }
    for whole in ["bytes=0-1,4-5", "seconds=1-2", "bytes=z"] {
        let reply = fetch(&api, &path, &[("range", whole)]).await;
        assert_eq!((reply.status, reply.bytes.len()), (200, 10), "{whole}");
    }
    let reply = fetch(&api, &path, &[("range", "bytes=10-")]).await;
    assert_eq!(reply.headers["content-range"], "bytes */10");
    reply.refusal(416);
    let stale = [("range", "bytes=0-3"), ("if-range", "\"another version\"")];
    assert_eq!(fetch(&api, &path, &stale).await.status, 200);
}

#[tokio::test]
async fn head_tells_the_size_only() {
    let api = Api::start().await;
    let path = link(&api).await;
    let reply = api.call(Method::HEAD, &path, &[], "").await;
    assert_eq!((reply.status, reply.bytes.len()), (200, 0));
    assert_eq!(reply.headers["content-length"], "10");
}
