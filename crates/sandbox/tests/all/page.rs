//! The page's files, and the manners of its socket.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::guest::Guest;
use crate::world::World;

async fn get(world: &World, path: &str) -> (StatusCode, String) {
    let (status, body) = world.request(Request::get(path).body(Body::empty()).unwrap()).await;
    (status, body.as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn pages_have_no_inline_code_and_all_that_they_name() {
    let world = World::start().await;
    for path in ["/sandbox", "/sandbox/", "/sandbox/hello", "/sandbox/hello/", "/sandbox/api", "/sandbox/a.b"] {
        let (status, page) = get(&world, path).await;
        assert_eq!(status, if path.contains('.') { 404 } else { 200 }, "{path}");
        assert!(!page.contains("style=") && !page.contains("onclick") && !page.contains("<style"), "{path}");
        let named: Vec<&str> = page.split('"').filter(|part| part.starts_with("/sandbox/api/assets/")).collect();
        assert!(named.len() >= 2, "{path}");
        for asset in named {
            assert_eq!(get(&world, asset).await.0, 200, "{asset}");
        }
    }
    assert_eq!(get(&world, "/sandbox/api/assets/room.rs").await.0, 404);
}

#[tokio::test]
async fn the_page_keeps_what_packs_rely_on() {
    let (_, page) = get(&World::start().await, "/sandbox/hello").await;
    assert!(page.contains("<body data-state=\"prejoin\">"));
    for id in ["name", "join", "lobby", "call", "roster", "chat", "chat-text", "chat-send", "leave", "mic"] {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "#{id}");
    }
}

#[tokio::test]
async fn a_socket_with_bad_manners_is_closed_with_a_reason() {
    let world = World::start().await;
    world.put("r", json!({})).await;
    for (hello, code) in [
        (json!({"type": "chat", "text": "hi"}), "bad_message"),
        (json!({"type": "hello"}), "bad_message"),
        (json!({"type": "hello", "name": "x", "more": 1}), "bad_message"),
        (json!({"type": "hello", "name": ""}), "bad_name"),
        (json!({"type": "hello", "name": "x", "resume": "guess"}), "lost"),
    ] {
        let mut guest = Guest::hello(&world, "r", hello.clone()).await;
        assert_eq!(guest.told("error").await["code"], code, "{hello}");
        guest.until("closed", |guest| guest.closed).await;
    }
    for (later, code) in [(json!("what"), "bad_message"), (json!({"type": "hello", "name": "again"}), "bad_message")] {
        let mut guest = Guest::join(&world, "r", "Bo").await;
        guest.told("offer").await;
        guest.say(later.clone()).await;
        assert_eq!(guest.told("error").await["code"], code, "{later}");
        guest.until("closed", |guest| guest.closed).await;
    }
    let mut garbled = Guest::join(&world, "r", "Bo").await;
    // The room has made its offer, and this guest has not read and answered it yet.
    world.logged("r", "guest_admitted", |entry| entry["id"] == "guest-3").await;
    garbled.say(json!({"type": "answer", "session": 1, "sdp": "v=0"})).await;
    assert_eq!(garbled.told("error").await["code"], "bad_answer");
    let mut fast = Guest::join(&world, "r", "Bo").await;
    fast.told("offer").await;
    for _ in 0..200 {
        fast.say(json!({"type": "mic", "on": true})).await;
    }
    assert_eq!(fast.told("error").await["code"], "too_fast");
}

#[tokio::test]
async fn sockets_of_other_sites_and_of_no_room_are_refused() {
    let world = World::start().await;
    let own = format!("http://{}", world.addr);
    for (room, origin, status) in
        [("r", "https://evil.example", Some(403)), ("r", own.as_str(), None), ("a.b", own.as_str(), Some(404))]
    {
        let mut request = format!("ws://{}/sandbox/{room}/ws", world.addr).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let refused = match tokio_tungstenite::connect_async(request).await {
            Ok(_) => None,
            Err(Error::Http(response)) => Some(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(refused, status, "{room} {origin}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    use futures_util::SinkExt;
    let world = World::start().await;
    let url = format!("ws://{}/sandbox/r/ws", world.addr);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    // The other side may close before all of it is sent.
    let _ = socket.send(Message::text("x".repeat(1 << 20))).await;
    let next = futures_util::StreamExt::next(&mut socket).await;
    assert!(!matches!(next, Some(Ok(Message::Text(_)))), "{next:?}");
    assert_eq!(world.call("GET", "/r", Value::Null).await.0, 404);
}
