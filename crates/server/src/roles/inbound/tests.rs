//! What one process has in hand, and what becomes of what it cannot work on.

use axum::http::HeaderMap;
use muster_hooks::client::Limits;
use muster_hooks::guard::Policy;
use muster_hooks::inbound::{Kind, Source};
use muster_queue::{Enqueue, JobQueue, MemoryQueue};
use muster_session::leave::LeavePolicy;
use muster_session::{
    BotId, MediaPlan, Meeting, NewSession, Remote, Session, State, TenantId, Timestamp, TranscriptId,
};
use muster_store::memory::MemoryStore;
use muster_store::{Commit, CreateGuard};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::clock::Clock;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn hands() -> Hands {
    let clock = Clock::new(|| NOW);
    let backend = Backend::new(Arc::new(MemoryStore::new()), JobQueue::new(Arc::new(MemoryQueue::new())), clock);
    let source = |name: &str, kind| Source::new(name, TenantId::new("t"), kind, &["a-secret"], LEASE).unwrap();
    let sources = Sources::new([source("cloud", Kind::MeetStream), source("zoom", Kind::Zoom)]);
    let client = GuardedClient::new(Policy::default(), Limits::default()).unwrap();
    let words = Words::new(client.clone());
    let setup = InboundSetup { sources, client };
    Hands { backend, setup, words, shutdown: Shutdown::default(), lanes: Lanes::default(), tasks: JoinSet::new() }
}

impl Hands {
    /// Receives one message of these bodies.
    async fn told(&mut self, source: &str, bodies: impl IntoIterator<Item = Value>) {
        let envelope = |body: Value| Envelope {
            source: source.into(),
            bot: None,
            received_at: NOW,
            headers: HeaderMap::new(),
            body: body.to_string().into_bytes(),
        };
        let payload = bodies.into_iter().flat_map(|body| envelope(body).encode()).collect();
        let queue = self.backend.queue.clone();
        queue.raw().enqueue(Topic::Inbound, Enqueue { payload, ..Enqueue::default() }).await.unwrap();
        let received = queue.raw().receive(Topic::Inbound, BATCH, LEASE, Duration::ZERO).await.unwrap();
        self.begin_all(received).await;
    }

    async fn finish(&mut self) {
        while self.lanes.in_hand() > 0 {
            self.finished().await;
        }
    }

    /// Ready, leased and delayed messages.
    async fn queued(&self) -> (u64, u64, u64) {
        let depth = self.backend.queue.depth(Topic::Inbound).await.unwrap();
        (depth.ready, depth.leased, depth.delayed)
    }

    /// A session of its caller's bot, which is to join in an hour.
    async fn scheduled(&self, source: &str, theirs: &str) -> BotId {
        let id = BotId::from_uuid(Uuid::from_u128(7));
        let new = NewSession {
            id,
            tenant: TenantId::new("t"),
            request: json!({}),
            meeting: Meeting {
                link: "https://meet.example/a".into(),
                platform: "sandbox".into(),
                label: "Sandbox".into(),
                join_url: "https://meet.example/a".parse().unwrap(),
                key: "a".into(),
            },
            bot_name: "Notes".into(),
            callback_url: None,
            custom_attributes: serde_json::Map::new(),
            leave: LeavePolicy::default(),
            media: MediaPlan::default(),
            deduplication_key: None,
            rejoin: false,
            remote: Some(Remote::theirs(source, Some(theirs.into()))),
            overflow: None,
            join_at: Some(NOW + Duration::from_secs(3_600)),
            transcript_id: TranscriptId::from_uuid(Uuid::from_u128(8)),
            retention: Duration::from_secs(3_600),
        };
        let (session, outcome) = Session::create(new, NOW);
        let commit = Commit::new(session, outcome, NOW);
        self.backend.store.create(commit, CreateGuard::default()).await.unwrap();
        id
    }

    async fn state(&self, bot: BotId) -> State {
        self.backend.store.get(bot).await.unwrap().unwrap().state
    }
}

fn said(name: &str, number: usize) -> Value {
    json!({"bot_id": "m-1", "event": name, "bot_event": name, "event_id": format!("evt_{number}")})
}

#[tokio::test]
async fn much_that_is_said_of_one_bot_leaves_room_for_what_is_said_of_others() {
    let mut hands = hands();
    hands.told("cloud", (0..IN_HAND).map(|number| said("bot.inmeeting", number))).await;
    let taken = hands.lanes.in_hand();
    assert!(taken < IN_HAND / 4, "{taken}");
    // The rest is on its way back, and this message is held for those in hand.
    assert_eq!(hands.queued().await, (0, 1, 1));
    let mut other = said("bot.inmeeting", IN_HAND);
    other["bot_id"] = "m-2".into();
    hands.told("cloud", [other]).await;
    assert_eq!(hands.lanes.in_hand(), taken + 1);
    hands.finish().await;
    assert_eq!(hands.queued().await, (0, 0, 1));
}

#[tokio::test]
async fn what_means_nothing_waits_for_nothing() {
    let mut hands = hands();
    hands.told("cloud", (0..100).map(|number| said("bot.yawned", number))).await;
    assert_eq!(hands.lanes.in_hand(), 100);
    hands.finish().await;
    assert_eq!(hands.queued().await, (0, 0, 0));
}

#[tokio::test]
async fn what_will_never_take_effect_is_set_aside_and_keeps_no_other() {
    let hands = hands();
    let queue = &hands.backend.queue;
    let webhook = |text: &str| Envelope {
        source: "cloud".into(),
        bot: None,
        received_at: NOW,
        headers: HeaderMap::new(),
        body: text.as_bytes().to_vec(),
    };
    queue.raw().enqueue(Topic::Inbound, Enqueue { payload: b"two".to_vec(), ..Enqueue::default() }).await.unwrap();
    let mut received = queue.raw().receive(Topic::Inbound, 1, LEASE, Duration::ZERO).await.unwrap();
    let two = Held::new(queue.clone(), received.remove(0).receipt, 2);
    two.take_out(webhook("bad"), "it cannot be read").await;
    two.done(Done::Yes).await;
    assert_eq!(hands.queued().await, (1, 0, 0), "the bad one is alone now");
    let alone = queue.raw().receive(Topic::Inbound, 1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((alone.receives, &alone.payload), (1, &webhook("bad").encode()));
    Held::new(queue.clone(), alone.receipt, 1).take_out(webhook("bad"), "it cannot be read").await;
    assert_eq!(hands.queued().await, (0, 0, 0));
    let dead = queue.dead(Topic::Inbound, 10).await.unwrap();
    assert_eq!(dead.iter().map(|(_, _, reason)| reason.as_str()).collect::<Vec<_>>(), ["it cannot be read"]);
}

#[test]
fn only_an_outage_and_a_race_pass() {
    assert!(passes(&StoreError::Unavailable { detail: String::new(), source: None }));
    assert!(passes(&StoreError::Conflict));
    for stays in [StoreError::Corrupt { detail: String::new() }, StoreError::Full { taken: 1 }, StoreError::Fenced] {
        assert!(!passes(&stays), "{stays}");
    }
}

#[tokio::test]
async fn a_bot_elsewhere_may_join_before_its_time() {
    let mut hands = hands();
    let bot = hands.scheduled("cloud", "m-1").await;
    hands.told("cloud", [said("bot.recording", 1)]).await;
    hands.finish().await;
    assert_eq!(hands.state(bot).await, State::Recording);
}

#[tokio::test]
async fn the_end_of_an_earlier_zoom_meeting_is_not_that_of_a_bot_that_is_yet_to_join() {
    let mut hands = hands();
    let bot = hands.scheduled("zoom", "123").await;
    let ended = json!({"event": "meeting.ended", "event_ts": NOW.as_millis(), "payload": {"object": {"id": "123"}}});
    hands.told("zoom", [ended]).await;
    hands.finish().await;
    assert_eq!(hands.state(bot).await, State::Scheduled);
    // What it says of the bot itself counts.
    let joined = json!({"event": "meeting.participant_joined", "event_ts": NOW.as_millis(),
        "payload": {"object": {"id": "123", "participant": {"customer_key": bot}}}});
    hands.told("zoom", [joined]).await;
    hands.finish().await;
    assert_eq!(hands.state(bot).await, State::InMeeting);
}
