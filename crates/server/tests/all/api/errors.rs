use axum::body::Body;
use axum::http::{Method, Request};
use muster_session::job::{Job, Topic};
use serde_json::json;

use super::harness::{Api, KEY, MEET, OPERATOR_KEY, OTHER_KEY};

#[tokio::test]
async fn no_usable_key_is_401_and_a_wrong_one_403() {
    let api = Api::start().await;
    let long = format!("Token {}", "k".repeat(600));
    for (header, status) in [
        (None, 401),
        (Some(""), 401),
        (Some("Token"), 401),
        (Some("Token   "), 401),
        (Some(KEY), 401),
        (Some("Bearer mst_key-of-the-first-tenant"), 401),
        (Some("Basic bXN0Og=="), 401),
        (Some("Token wrong"), 403),
        (Some("Token mst_key-of-the-first-tenantx"), 403),
        (Some(long.as_str()), 403),
        (Some("token mst_key-of-the-first-tenant"), 200),
        (Some("Token  mst_key-of-the-first-tenant"), 200),
    ] {
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        let reply = api.call(Method::GET, "/api/v1/bots", &headers, "").await;
        assert_eq!(reply.status, status, "{header:?}");
        assert_eq!(reply.headers.contains_key("www-authenticate"), status == 401, "{header:?}");
        if status != 200 {
            reply.refusal(status);
        }
    }
}

#[tokio::test]
async fn the_key_is_asked_for_before_anything_is_told() {
    let api = Api::start().await;
    let bot = api.bot().await;
    for path in [format!("/api/v1/bots/{bot}/status"), "/api/v1/bots/nonsense/status".to_owned()] {
        api.call(Method::GET, &path, &[], "").await.refusal(401);
    }
    let reply = api.call(Method::POST, "/api/v1/bots/create_bot", &[], "not json").await;
    reply.refusal(401);
}

#[tokio::test]
async fn another_tenants_bot_cannot_be_told_from_none() {
    let api = Api::start().await;
    let plan = json!({"recording_config": {"transcript": {"provider": {"deepgram": {}}}}});
    let bot = api.bot_with(plan).await;
    let transcript = api.session(bot).await.transcript().unwrap().id;
    let nobody = "01890000-0000-7000-8000-000000000000";
    let auth = format!("Token {OTHER_KEY}");
    for (method, suffix) in [
        (Method::GET, "status"),
        (Method::GET, "detail"),
        (Method::GET, "summary"),
        (Method::GET, "remove_bot"),
        (Method::POST, "remove_bot"),
        (Method::DELETE, "delete"),
        (Method::GET, "get_audio"),
        (Method::GET, "get_video"),
        (Method::GET, "get_audio_streams"),
        (Method::GET, "get_recording_streams"),
        (Method::GET, "get_participants"),
        (Method::GET, "get_speaker_timeline"),
        (Method::GET, "get_chats"),
        (Method::GET, "get_screenshots"),
        (Method::GET, "transcriptions"),
        (Method::POST, "transcribe"),
        (Method::POST, "send_message"),
        (Method::POST, "send_image"),
        (Method::POST, "pause_recording"),
        (Method::POST, "resume_recording"),
        (Method::GET, "events"),
        (Method::POST, "events/replay"),
    ] {
        let mut answers = Vec::new();
        for id in [bot.to_string().as_str(), nobody, "nonsense", "%FF"] {
            let path = format!("/api/v1/bots/{id}/{suffix}");
            let reply = api.call(method.clone(), &path, &[("authorization", &auth)], "{}").await;
            answers.push(reply.refusal(404));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{suffix}: {answers:?}");
    }
    for method in [Method::PATCH, Method::DELETE] {
        let path = format!("/api/v1/calendar/scheduled_bots/{bot}");
        api.call(method, &path, &[("authorization", &auth)], "{}").await.refusal(404);
    }
    let path = format!("/api/v1/transcript/{transcript}/get_transcript");
    assert_eq!(api.get_as_other(&path).await.refusal(404), "There is no such transcript");
    api.get(&path).await.expect(202);
    assert_eq!(api.get_as_other("/api/v1/bots").await.expect(200)["bots"], json!([]));
    assert!(api.session(bot).await.stop_requested.is_none());
}

#[tokio::test]
async fn unknown_routes_and_methods_answer_in_json() {
    let api = Api::start().await;
    for path in ["/", "/api/v1/nothing", "/api/v1/calendar", "/api/v2/bots", "/api/v1/bots/a/b/c"] {
        assert!(api.get(path).await.refusal(404).contains(path));
    }
    let reply = api.post("/api/v1/bots", &json!({})).await;
    assert!(reply.headers.contains_key("allow"));
    assert!(reply.refusal(405).contains("POST"));
    api.get("/api/v1/bots/create_bot").await.refusal(405);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let api = Api::start().await;
    let auth = format!("Token {KEY}");
    let path = "/api/v1/bots/create_bot";
    let big = format!("{{\"meeting_link\":\"{MEET}\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let reply = api.call(Method::POST, path, &[("authorization", &auth)], big).await;
    assert!(reply.refusal(413).contains("65536"));
    let larger = format!("{{\"meeting_link\":\"{MEET}\",\"x\":[0{}]}}", ",0".repeat(33_000));
    api.call(Method::POST, path, &[("authorization", &auth)], larger).await.refusal(413);

    let fits = format!("{{\"meeting_link\":\"{MEET}\",\"x\":\"{}\"}}", "x".repeat(65_000));
    api.call(Method::POST, path, &[("authorization", &auth)], fits).await.expect(201);

    let deep = format!("{{\"meeting_link\":\"{MEET}\",\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let reply = api.call(Method::POST, path, &[("authorization", &auth)], deep).await;
    assert!(reply.refusal(400).contains("recursion"));

    let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("the line went dead"))]);
    let request = Request::post(path).header("authorization", &auth).body(Body::from_stream(broken)).unwrap();
    api.send(request).await.refusal(400);
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_others_replaced() {
    let api = Api::start().await;
    for (id, kept) in [("abc-123_X.y", true), ("", false), ("a b", false), ("x\"y", false)] {
        let reply = api.call(Method::GET, "/healthz", &[("x-request-id", id)], "").await;
        assert_eq!(reply.headers["x-request-id"] == id, kept, "{id:?}");
    }
    let long = "x".repeat(129);
    let reply = api.call(Method::GET, "/nothing", &[("x-request-id", &long)], "").await;
    assert_ne!(reply.headers["x-request-id"], long);
}

#[tokio::test]
async fn liveness_is_unconditional_and_readiness_ends_with_draining() {
    let api = Api::start().await;
    let ready = api.call(Method::GET, "/readyz", &[], "").await.expect(200);
    assert_eq!(ready["ready"], true);
    api.state.shutdown.drain();
    assert_eq!(api.call(Method::GET, "/healthz", &[], "").await.status, 200);
    let reply = api.call(Method::GET, "/readyz", &[], "").await;
    assert!(reply.headers.contains_key("retry-after"));
    let body = reply.expect(503);
    assert_eq!((&body["ready"], &body["draining"], &body["store"]), (&json!(false), &json!(true), &json!(true)));
}

/// Workers and queues are common to all tenants: only the operator sees them.
#[tokio::test]
async fn the_fleet_is_for_the_operator() {
    let api = Api::start().await;
    let auth = format!("Token {KEY}");
    for (method, path) in [
        (Method::GET, "/api/v1/workers"),
        (Method::GET, "/api/v1/workers/costs"),
        (Method::POST, "/api/v1/workers/x/drain"),
        (Method::GET, "/api/v1/dead_letters"),
        (Method::POST, "/api/v1/dead_letters/media/1/requeue"),
    ] {
        let reply = api.call(method, path, &[("authorization", &auth)], "").await;
        assert!(reply.refusal(403).contains("operator"), "{path}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_put_back() {
    let api = Api::start().await;
    let auth = format!("Token {OPERATOR_KEY}");
    let call = async |method, path: &str| api.call(method, path, &[("authorization", &auth)], "").await;
    let letters = async || call(Method::GET, "/api/v1/dead_letters").await.expect(200)["dead_letters"].take();
    assert_eq!(letters().await, json!([]));
    let (queue, second) = (&api.state.queue, std::time::Duration::from_secs(60));
    let bot = api.bot().await;
    let job = Job::Deliver { bot };
    queue.send(&job, std::time::Duration::ZERO, None).await.unwrap();
    let taken = queue.receive(Topic::Deliveries, 1, second, second).await.unwrap();
    queue.dead_letter(&taken[0].receipt, "on purpose").await.unwrap();
    let found = letters().await;
    let letter = &found[0];
    assert_eq!((&letter["topic"], &letter["reason"]), (&json!("deliveries"), &json!("on purpose")));
    assert_eq!(letter["job"], serde_json::to_value(&job).unwrap());
    let path = format!("/api/v1/dead_letters/deliveries/{}/requeue", letter["id"].as_str().unwrap());
    assert_eq!(call(Method::POST, &path).await.status, 200);
    assert_eq!(call(Method::POST, &path).await.status, 404, "once");
    assert_eq!(call(Method::POST, "/api/v1/dead_letters/nothing/1/requeue").await.status, 404);
    assert_eq!(letters().await, json!([]));
    assert_eq!(queue.receive(Topic::Deliveries, 1, second, second).await.unwrap()[0].job, job);
}
