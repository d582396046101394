//! A bot in another cloud, looked at over HTTP.

use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use muster_queue::{JobQueue, MemoryQueue};
use muster_session::leave::LeavePolicy;
use muster_session::{
    EndReason, MediaPlan, Meeting, NewSession, Observation, Outcome, Remote, TenantId, Timestamp, TranscriptId,
};
use muster_store::memory::MemoryStore;
use muster_store::{Commit, CreateGuard};
use object_store::memory::InMemory;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::clock::Clock;

/// A service that answers every look with this status.
async fn service(status: &Arc<AtomicU16>) -> Url {
    let status = Arc::clone(status);
    let look = move || {
        let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
        std::future::ready((status, axum::Json(json!({"bot_details": {"Status": "InMeeting"}}))))
    };
    let router = Router::new().route("/api/v1/bots/{bot}/detail", get(look));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn setup(service: Url) -> RemoteSetup {
    RemoteSetup {
        source: "cloud".to_owned(),
        client: Client::new(service, "key".to_owned()).unwrap(),
        storage: Arc::new(InMemory::new()),
        guard: Policy::new(["127.0.0.0/8"]).unwrap(),
        public_url: "https://muster.example/".parse().unwrap(),
        link_secret: Arc::from(&b"0123456789abcdef0123456789abcdef"[..]),
        overflow: false,
        at_work: AtWork::default(),
    }
}

/// A bot that was sent there and is in its call.
async fn in_its_call(backend: &Backend) -> BotId {
    let link = "http://127.0.0.1/room";
    let new = NewSession {
        id: BotId::from_uuid(Uuid::now_v7()),
        tenant: TenantId::new("customer"),
        request: json!({}),
        meeting: Meeting {
            link: link.to_owned(),
            platform: "sandbox".to_owned(),
            label: "Sandbox".to_owned(),
            join_url: link.parse().unwrap(),
            key: "room".to_owned(),
        },
        bot_name: "Notes".to_owned(),
        callback_url: None,
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: true,
        remote: Some(Remote::ours("cloud")),
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::now_v7()),
        retention: Duration::from_secs(86_400),
    };
    let (bot, now) = (new.id, backend.clock.now());
    let (session, _) = Session::create(new, now);
    backend.store.create(Commit::new(session, Outcome::default(), now), CreateGuard::default()).await.unwrap();
    let seen = Input::Observe { observation: Observation::InMeeting, at: now };
    for input in [Input::Send, Input::Sent { bot: "m-1".to_owned() }, seen] {
        backend.apply(bot, input).await.unwrap();
    }
    bot
}

#[tokio::test]
async fn a_bot_that_its_service_disowns_ends_and_one_whose_service_is_away_does_not() {
    let status = Arc::new(AtomicU16::new(503));
    let setup = setup(service(&status).await);
    let millis = Arc::new(AtomicI64::new(1_790_000_000_000));
    let told = Arc::clone(&millis);
    let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst)));
    let backend = Backend::new(Arc::new(MemoryStore::new()), JobQueue::new(Arc::new(MemoryQueue::new())), clock);
    let bot = in_its_call(&backend).await;
    let look = async |answer: u16| {
        status.store(answer, Ordering::SeqCst);
        millis.fetch_add(150_000, Ordering::SeqCst);
        let session = backend.store.get(bot).await.unwrap().unwrap();
        let again = setup.look(&backend, &session, "m-1").await.unwrap();
        (again, backend.store.get(bot).await.unwrap().unwrap())
    };
    // Refused for a while, and then it was there after all.
    for answer in [503, 503, 503, 503, 503, 503, 401, 404, 404, 404, 200, 503, 404, 404, 404, 404] {
        let (again, session) = look(answer).await;
        assert_eq!((again, session.state), (Some(LOOK), State::InMeeting), "{answer}");
        assert_eq!(session.remote.unwrap().unheard.is_some(), answer != 200);
    }
    let (again, session) = look(404).await;
    assert_eq!((again, session.state), (None, State::Processing), "what it recorded may be there");
    let end = session.end.unwrap();
    assert_eq!(end.reason, EndReason::RemoteFailed);
    assert!(end.message.contains("404"), "{}", end.message);
}
