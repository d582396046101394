//! Sessions to store, and short ways to move them on.

use std::time::Duration;

use muster_session::leave::LeavePolicy;
use muster_session::protocol::Report;
use muster_session::{
    BotId, EndReason, Input, MediaPlan, Meeting, NewSession, Outcome, Session, TenantId, Timestamp, TranscriptId,
    TranscriptPlan, WorkerId,
};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::{Commit, CreateGuard, Created, SessionStore, StoreError};

/// Years ahead, so that a service that removes by itself what has expired leaves it alone.
pub(crate) const START: Timestamp = Timestamp::from_millis(2_090_000_000_000);
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// `seconds` after [`START`].
pub(crate) fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

pub(crate) fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

pub(crate) fn new_session(tenant: &str) -> NewSession {
    let id = BotId::from_uuid(Uuid::new_v4());
    NewSession {
        id,
        tenant: TenantId::new(tenant),
        request: json!({"meeting_link": "https://meet.example/a", "unknown": {"kept": [1, 2.5, null, "ä"]}}),
        meeting: Meeting {
            link: "https://meet.example/a".into(),
            platform: "meet".into(),
            label: "GMeet".into(),
            join_url: url("https://meet.example/a"),
            key: format!("meet:{id}"),
        },
        bot_name: "Muster".into(),
        callback_url: Some(url("https://customer.example/hook")),
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan {
            transcript: Some(TranscriptPlan { provider: "whisper".into(), options: json!({}) }),
            ..MediaPlan::default()
        },
        deduplication_key: None,
        rejoin: false,
        remote: None,
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::new_v4()),
        retention: Duration::from_secs(7 * 86_400),
    }
}

/// A queued session, as it is before it is stored.
pub(crate) fn queued(tenant: &str, now: Timestamp) -> Commit {
    creation(new_session(tenant), now)
}

pub(crate) fn creation(new: NewSession, now: Timestamp) -> Commit {
    let (session, outcome) = Session::create(new, now);
    Commit::new(session, outcome, now)
}

/// Stores what must be new.
pub(crate) async fn create(store: &dyn SessionStore, commit: Commit) -> Session {
    match store.create(commit, CreateGuard::default()).await.expect("create") {
        Created::New(session) => session,
        other => panic!("expected a new session, got {other:?}"),
    }
}

/// The record, moved on, and what that causes. Nothing is stored.
pub(crate) fn moved(session: &Session, input: Input, now: Timestamp) -> Commit {
    let mut session = session.clone();
    let outcome = session.apply(input, now).expect("the sample moves as the machine allows");
    Commit::new(session, outcome, now)
}

/// Moves the record on in the store.
pub(crate) async fn step(store: &dyn SessionStore, session: &Session, input: Input, now: Timestamp) -> Session {
    store.commit(moved(session, input, now)).await.expect("commit")
}

/// A record written again with a change that only the test sees.
pub(crate) fn renamed(session: &Session, name: &str, now: Timestamp) -> Commit {
    Commit::new(Session { bot_name: name.into(), ..session.clone() }, Outcome::default(), now)
}

pub(crate) fn acquire(worker: &str, session: &Session) -> Input {
    Input::Acquire { owner: WorkerId::new(worker), ttl: LEASE, attempt: session.attempt + 1 }
}

pub(crate) fn report(session: &Session, report: Report) -> Input {
    Input::Report { fencing: session.fencing, report }
}

/// Queued, acquired, joining, with one webhook sent.
pub(crate) async fn joining(store: &dyn SessionStore, worker: &str, now: Timestamp) -> Session {
    let session = create(store, queued("t", now)).await;
    let session = step(store, &session, acquire(worker, &session), now).await;
    step(store, &session, report(&session, Report::Joining { at: now, simulated: false }), now).await
}

/// Denied before it was in: done at once, with its webhooks pending.
pub(crate) async fn done(store: &dyn SessionStore, now: Timestamp) -> Session {
    let session = joining(store, "w", now).await;
    denied(store, &session, now).await
}

/// One that was joining, done in the same way.
pub(crate) async fn denied(store: &dyn SessionStore, session: &Session, now: Timestamp) -> Session {
    let reason = EndReason::JoinDenied;
    let ended = Report::Ended { at: now, reason, message: reason.message().into(), recorded_ms: 0 };
    let session = step(store, session, report(session, ended), now).await;
    assert!(session.state.is_terminal(), "{:?}", session.state);
    session
}

#[track_caller]
pub(crate) fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict)), "expected a conflict, got {result:?}");
}

#[track_caller]
pub(crate) fn assert_missing<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Missing)), "expected nothing there, got {result:?}");
}

#[track_caller]
pub(crate) fn assert_fenced<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Fenced)), "expected a lost lease, got {result:?}");
}

pub(crate) fn ids(sessions: &[Session]) -> Vec<BotId> {
    sessions.iter().map(|session| session.id).collect()
}
