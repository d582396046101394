//! The control API, above all what it refuses.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_room_is_made_replaced_listed_and_deleted() {
    let world = World::start().await;
    let (status, answer) = world.call("PUT", "/r", json!({})).await;
    assert_eq!((status, answer), (StatusCode::CREATED, json!({"name": "r", "path": "/sandbox/r"})));
    assert_eq!(world.call("PUT", "/r", json!({"clock": "creation"})).await.0, StatusCode::OK);
    let (_, state) = world.call("GET", "/r", Value::Null).await;
    assert_eq!(
        (&state["clock"], &state["scripted"], &state["over"]),
        (&json!("creation"), &json!(true), &json!(false))
    );
    assert!(state["elapsed_ms"].is_u64(), "{state}");
    let (_, rooms) = world.call("GET", "", Value::Null).await;
    assert_eq!(rooms, json!({"rooms": [{"name": "r", "over": false, "guests": 0, "participants": 0}]}));
    assert_eq!(world.call("POST", "/r/actions", json!({"do": "end"})).await, (StatusCode::OK, json!({"done": "end"})));
    assert_eq!(world.call("DELETE", "/r", Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("DELETE", "/r", Value::Null).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_mistake_has_its_status_and_says_where_it_is() {
    let world = World::start().await;
    world.put("r", json!({"participants": [{"id": "ada"}]})).await;
    let table = [
        ("PUT", "/a%20b", json!({}), 400, "room: must have 1 to 64 letters"),
        ("PUT", "/x", Value::Null, 400, "the scenario is not valid: EOF"),
        ("PUT", "/x", json!([1, 2]), 400, "the scenario is not valid: "),
        ("PUT", "/x", json!({"loby": {}}), 400, "unknown field `loby`"),
        ("PUT", "/x", json!({"lobby": {"mode": "shut"}}), 400, "unknown variant `shut`"),
        ("PUT", "/x", json!({"lobby": {"mode": "deny_after", "seconds": -1}}), 400, "lobby.seconds: must be between"),
        ("PUT", "/x", json!({"reconnect_seconds": 1e9}), 400, "reconnect_seconds: must be between"),
        (
            "PUT",
            "/x",
            json!({"participants": [{"id": "a"}, {"id": "a"}]}),
            400,
            "participants[1].id: `a` is there twice",
        ),
        (
            "PUT",
            "/x",
            json!({"participants": [{"id": "a", "speaks": [{"at": 0, "file": "no.wav"}]}]}),
            400,
            "participants[0].speaks[0].file: cannot be read",
        ),
        (
            "PUT",
            "/x",
            json!({"participants": [{"id": "a", "speaks": [{"at": 0, "file": "../x"}]}]}),
            400,
            "must be a plain path",
        ),
        (
            "PUT",
            "/x",
            json!({"timeline": [{"at": 0, "do": "speak", "target": "b", "tone_hz": 440}]}),
            400,
            "timeline[0].target: there is no participant `b`",
        ),
        ("PUT", "/x", json!({"timeline": [{"at": 0, "do": "dance"}]}), 400, "unknown variant `dance`"),
        ("GET", "/x", Value::Null, 404, "there is no room `x`"),
        ("GET", "/x/log", Value::Null, 404, "there is no room `x`"),
        ("GET", "/r/log?after=-1", Value::Null, 400, "after: "),
        ("GET", "/r/log?wait=61", Value::Null, 400, "wait: must be between 0 and 60 seconds"),
        ("GET", "/r/log?wait=NaN", Value::Null, 400, "wait: must be between"),
        ("GET", "/r/log?since=1", Value::Null, 400, "unknown field `since`"),
        ("POST", "/x/actions", json!({"do": "end"}), 404, "there is no room `x`"),
        ("POST", "/r/actions", json!({}), 400, "missing field `do`"),
        ("POST", "/r/actions", json!({"do": "kick", "who": "x"}), 400, "unknown field `who`"),
        ("POST", "/r/actions", json!({"do": "chat", "text": " "}), 400, "text: must have 1 to 2000"),
        ("POST", "/r/actions", json!({"do": "speak", "target": "ada"}), 400, "tone_hz: exactly one of"),
        (
            "POST",
            "/r/actions",
            json!({"do": "speak", "target": "ada", "wav_base64": "?"}),
            400,
            "wav_base64: is not base64",
        ),
        (
            "POST",
            "/r/actions",
            json!({"do": "speak", "target": "zoe", "tone_hz": 440}),
            409,
            "no virtual participant `zoe`",
        ),
        ("POST", "/r/actions", json!({"do": "admit"}), 409, "there is no guest in the lobby"),
        ("POST", "/r/actions", json!({"do": "network_return"}), 409, "there is no guest cut off"),
        ("POST", "/r", json!({}), 405, "this method cannot be used here"),
        ("PATCH", "", json!({}), 405, "this method cannot be used here"),
        ("PUT", "/x", Value::String("x".repeat(33 << 20)), 413, "the body cannot be read"),
    ];
    for (method, path, body, status, message) in table {
        let (got, answer) = world.call(method, path, body).await;
        let said = answer["message"].as_str().unwrap_or_default();
        assert!(got == status && said.contains(message), "{method} {path}: {got} {answer}");
    }
    let (_, rooms) = world.call("GET", "", Value::Null).await;
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1, "nothing was made: {rooms}");
}

#[tokio::test]
async fn all_problems_of_a_scenario_are_listed() {
    let world = World::start().await;
    let (_, answer) = world.call("PUT", "/x", json!({"reconnect_seconds": -1, "participants": [{"id": "a b"}]})).await;
    let fields: Vec<_> = answer["problems"].as_array().unwrap().iter().map(|problem| &problem["field"]).collect();
    assert_eq!(fields, ["reconnect_seconds", "participants[0].id"]);
}

#[tokio::test]
async fn there_is_an_end_to_the_number_of_rooms() {
    let world = World::with(|config| config.max_rooms = 1).await;
    world.put("a", json!({})).await;
    let (status, answer) = world.call("PUT", "/b", json!({})).await;
    assert_eq!(
        (status, &answer["message"]),
        (StatusCode::CONFLICT, &json!("there are 1 rooms, which is all that may be: delete one"))
    );
    assert_eq!(world.call("PUT", "/a", json!({})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_log_is_waited_for() {
    let world = World::start().await;
    world.put("r", json!({})).await;
    let (_, first) = world.call("GET", "/r/log?wait=10", Value::Null).await;
    assert_eq!((&first["entries"][0]["seq"], &first["entries"][0]["event"]), (&json!(1), &json!("room_created")));
    let ((_, waited), ()) =
        tokio::join!(world.call("GET", "/r/log?after=1&wait=20", Value::Null), world.act("r", json!({"do": "end"})));
    assert_eq!(waited["entries"][0]["event"], "room_ended");
    let (_, nothing) = world.call("GET", "/r/log?after=2", Value::Null).await;
    assert_eq!(nothing, json!({"entries": []}));
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let world = World::start().await;
    let ask = |method: &str, path: &str, headers: &[(header::HeaderName, &str)]| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(Body::from("{}")).unwrap()
    };
    let host = (header::HOST, "127.0.0.1:8080");
    let json_ = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    let evil = (header::ORIGIN, "https://evil.example");
    let own = (header::ORIGIN, "http://127.0.0.1:8080");
    let room = "/sandbox/api/rooms/r";
    for (request, status) in [
        (ask("PUT", room, &[host.clone(), json_.clone(), evil.clone()]), 403),
        (ask("GET", room, &[host.clone(), evil]), 403),
        (ask("PUT", room, &[host.clone(), (header::CONTENT_TYPE, "text/plain"), own.clone()]), 415),
        (ask("PUT", room, std::slice::from_ref(&host)), 415),
        (ask("PUT", room, &[host.clone(), json_.clone(), own]), 201),
        (ask("PUT", room, &[host, json_]), 200),
    ] {
        let shown = format!("{request:?}");
        let (got, answer) = world.request(request).await;
        assert_eq!(got, status, "{shown}: {answer}");
        assert_eq!(answer["message"].is_string(), status >= 400);
    }
}
