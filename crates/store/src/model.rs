//! Random operations on a store and on plain lists, compared after each.

mod lists;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lists::Lists;
use muster_session::protocol::Report;
use muster_session::{ArtifactKind, ArtifactState, BotId, EndReason, Input, Session, TenantId, Timestamp, WorkerId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;
use uuid::Uuid;

use crate::conformance::Fixture;
use crate::conformance::samples::{LEASE, START, acquire, creation, new_session, report};
use crate::{
    Attempt, Commit, CreateGuard, Created, DeliveryStatus, LeaseRenewal, ListQuery, LogEntry, Renewed, SessionStore,
    StoreError,
};

#[derive(Clone, Debug)]
enum Op {
    Create(New),
    /// Moves one of the sessions on, where the machine allows it; `stale` with a version that it had before.
    Move {
        which: usize,
        how: usize,
        stale: bool,
    },
    Renew {
        which: usize,
        fencing_off: u64,
        owner: usize,
        seconds: u64,
    },
    Attempt {
        which: usize,
        end: usize,
    },
    Replay {
        which: usize,
        sequence: Option<u64>,
    },
    Log {
        which: usize,
        fencing_off: u64,
        key: u8,
    },
    OutboxDone(usize),
    Delete(usize),
    Advance(u64),
    Reopen,
}

#[derive(Clone, Debug)]
struct New {
    tenant: usize,
    idempotency_key: Option<u8>,
    deduplication_key: Option<u8>,
    meeting: u8,
    platform: usize,
    in_seconds: Option<u64>,
    callback: bool,
    number: f64,
}

const TENANTS: [&str; 2] = ["a", "b"];
const OWNERS: [&str; 2] = ["w1", "w2"];
const PLATFORMS: [&str; 2] = ["Zoom", "GMeet"];

fn op() -> impl Strategy<Value = Op> {
    let which = 0..6usize;
    let key = || proptest::option::of(0..3u8);
    let create = (
        0..2usize,
        key(),
        key(),
        0..2u8,
        0..2usize,
        proptest::option::of(1..400u64),
        any::<bool>(),
        proptest::num::f64::NORMAL,
    );
    prop_oneof![
        4 => create.prop_map(
            |(tenant, idempotency_key, deduplication_key, meeting, platform, in_seconds, callback, number)| {
                Op::Create(New {
                    tenant, idempotency_key, deduplication_key, meeting, platform, in_seconds, callback, number,
                })
            }
        ),
        12 => (which.clone(), any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(which, how, stale)| Op::Move { which, how, stale }),
        6 => (which.clone(), prop_oneof![4 => Just(0u64), 1 => Just(1u64)], 0..8usize, 0..90u64).prop_map(
            |(which, fencing_off, owner, seconds)| Op::Renew { which, fencing_off, owner, seconds }
        ),
        3 => (0..8usize, 0..4usize).prop_map(|(which, end)| Op::Attempt { which, end }),
        1 => (which.clone(), proptest::option::of(1..4u64))
            .prop_map(|(which, sequence)| Op::Replay { which, sequence }),
        3 => (which, prop_oneof![4 => Just(0u64), 1 => Just(1u64)], 0..4u8)
            .prop_map(|(which, fencing_off, key)| Op::Log { which, fencing_off, key }),
        1 => (0..4usize).prop_map(Op::OutboxDone),
        1 => (0..12usize).prop_map(Op::Delete),
        3 => prop_oneof![3 => 1..60u64, 1 => 1..5_000u64].prop_map(Op::Advance),
        1 => Just(Op::Reopen),
    ]
}

/// Makes fixtures for the test.
pub(crate) trait Backend: Fixture {
    /// How many sequences of operations are tried.
    const CASES: u32;
    /// Whether ids of jobs and deliveries count from one. Otherwise they are what they are, though in the order of making.
    const COUNTS: bool = true;
    /// Whether equal times sort in the order of making. Otherwise they sort by the ids of the bots.
    const IN_ORDER: bool = true;

    fn new() -> Self;
}

struct Run<B> {
    backend: B,
    store: Arc<dyn SessionStore>,
    lists: Lists,
}

impl<B: Backend> Run<B> {
    async fn new() -> Self {
        let backend = B::new();
        Self { store: backend.open().await, backend, lists: Lists::new(START, B::IN_ORDER) }
    }

    /// Takes the run apart: the store is closed before it is opened again.
    async fn reopen(self) -> Self {
        let Self { backend, store, lists } = self;
        drop(store);
        Self { store: backend.open().await, backend, lists }
    }

    fn store(&self) -> &dyn SessionStore {
        &*self.store
    }

    async fn step(mut self, op: Op) -> Self {
        match op {
            Op::Reopen => self = self.reopen().await,
            op => self.apply(op).await,
        }
        self.compare().await;
        self
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Create(new) => self.create(new).await,
            Op::Move { which, how, stale } => self.advance_session(which, how, stale).await,
            Op::Renew { which, fencing_off, owner, seconds } => {
                let Some(session) = self.lists.pick(which) else { return };
                let lease =
                    LeaseRenewal { bot: session.id, fencing: session.fencing - fencing_off.min(session.fencing) };
                // Mostly the holder, if there is one.
                let named = OWNERS.get(owner).copied().map(WorkerId::new);
                let holder = || session.lease.as_ref().map(|lease| lease.owner.clone());
                let owner = named.or_else(holder).unwrap_or_else(|| WorkerId::new("nobody"));
                let until = self.lists.now + Duration::from_secs(seconds);
                let answers = self.store().renew(&owner, &[lease], until).await.unwrap();
                assert_eq!(answers, [self.lists.renew(&owner, lease, until)]);
            }
            Op::Attempt { which, end } => {
                let Some(id) = self.lists.deliveries.iter().rev().nth(which).map(|delivery| delivery.id) else {
                    return;
                };
                let now = self.lists.now;
                let status = match end {
                    0 => DeliveryStatus::Delivered,
                    1 => DeliveryStatus::Failed,
                    _ => DeliveryStatus::Pending { next_at: now + Duration::from_secs(300) },
                };
                let attempt = Attempt { at: now, http_status: Some(200), latency_ms: 7, detail: "x".into() };
                self.store().record_attempt(id, attempt.clone(), status).await.unwrap();
                self.lists.record_attempt(id, attempt, status);
            }
            Op::Replay { which, sequence } => {
                let Some(bot) = self.lists.pick(which).map(|session| session.id) else { return };
                let replayed = self.store().replay(bot, sequence, self.lists.now).await.unwrap();
                assert_eq!(replayed, self.lists.replay(bot, sequence));
            }
            Op::Log { which, fencing_off, key } => {
                let Some(session) = self.lists.pick(which) else { return };
                let (bot, fencing) = (session.id, session.fencing - fencing_off.min(session.fencing));
                let line =
                    LogEntry { kind: "note".into(), key: key.to_string(), at: self.lists.now, data: json!(fencing) };
                let appended = match self.store().append_log(bot, fencing, std::slice::from_ref(&line)).await {
                    Ok(()) => true,
                    Err(StoreError::Fenced) => false,
                    Err(error) => panic!("{error}"),
                };
                assert_eq!(appended, self.lists.append_log(bot, fencing, line));
            }
            Op::OutboxDone(count) => {
                let ids: Vec<u64> = self.lists.outbox.iter().take(count).map(|entry| entry.id).collect();
                self.store().outbox_done(&ids).await.unwrap();
                self.lists.outbox.retain(|entry| !ids.contains(&entry.id));
            }
            Op::Delete(which) => {
                let bot = self.lists.pick(which).map_or(BotId::from_uuid(Uuid::nil()), |session| session.id);
                assert_eq!(self.store().delete(bot).await.unwrap(), self.lists.delete(bot));
            }
            Op::Advance(seconds) => self.lists.now = self.lists.now + Duration::from_secs(seconds),
            Op::Reopen => unreachable!("it takes the run apart"),
        }
    }

    async fn create(&mut self, new: New) {
        let now = self.lists.now;
        let mut session = new_session(TENANTS[new.tenant]);
        session.deduplication_key = new.deduplication_key.map(|key| format!("booking {key}"));
        session.meeting.key = format!("meeting {}", new.meeting);
        session.meeting.label = PLATFORMS[new.platform].into();
        session.join_at = new.in_seconds.map(|seconds| now + Duration::from_secs(seconds));
        session.custom_attributes.insert("number".into(), json!(new.number));
        if !new.callback {
            session.callback_url = None;
        }
        let commit = creation(session, now);
        let guard = CreateGuard { idempotency_key: new.idempotency_key.map(|key| format!("key {key}")) };
        let answer = self.store().create(commit.clone(), guard.clone()).await.unwrap();
        let want = self.lists.create(commit, guard);
        let (answer, want) = (described(answer), described(want));
        assert_eq!(answer, want);
        self.adopt(want.1.id).await;
    }

    /// Takes over the ids of what was just made, where the store does not count.
    async fn adopt(&mut self, bot: BotId) {
        if B::COUNTS {
            return;
        }
        let jobs = self.store().outbox(Timestamp::from_millis(i64::MAX), u32::MAX).await.unwrap();
        let deliveries = self.store().deliveries(bot).await.unwrap();
        self.lists.adopt(&jobs, &deliveries);
    }

    async fn advance_session(&mut self, which: usize, how: usize, stale: bool) {
        let Some(mut session) = self.lists.pick(which).cloned() else { return };
        let now = self.lists.now;
        let mut possible: Vec<Input> = inputs(&session, now)
            .into_iter()
            .filter(|input| session.clone().apply(input.clone(), now).is_ok())
            .collect();
        if possible.is_empty() {
            return;
        }
        let outcome = session.apply(possible.swap_remove(how % possible.len()), now).unwrap();
        if stale {
            session.version -= 1;
            let refused = self.store().commit(Commit::new(session, outcome, now)).await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
            return;
        }
        let commit = Commit::new(session, outcome, now);
        let written = self.store().commit(commit.clone()).await.unwrap();
        assert_eq!(written, self.lists.commit(commit));
        self.adopt(written.id).await;
    }

    async fn compare(&self) {
        let (store, lists, now) = (self.store(), &self.lists, self.lists.now);
        for session in &lists.sessions {
            assert_eq!(store.get(session.id).await.unwrap().as_ref(), Some(session));
            let transcript = session.transcripts[0].id;
            assert_eq!(store.find_transcript(&session.tenant, transcript).await.unwrap().as_ref(), Some(session));
        }
        for tenant in TENANTS.map(TenantId::new) {
            let (mut seen, mut query) = (Vec::new(), ListQuery { limit: 2, ..ListQuery::default() });
            loop {
                let page = store.list(&tenant, &query).await.unwrap();
                seen.extend(page.sessions);
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, lists.newest_first(&tenant));
            assert_eq!(store.count_by_state(Some(&tenant)).await.unwrap(), lists.count(&tenant));
        }
        assert_eq!(store.due(now, 3).await.unwrap(), lists.due(3));
        assert_eq!(store.lease_expired(now, 3).await.unwrap(), lists.lease_expired(3));
        assert_eq!(store.overdue(now, 3).await.unwrap(), lists.overdue(3));
        assert_eq!(store.expired(now, 3).await.unwrap(), lists.expired(3));
        assert_eq!(store.outbox(now, 5).await.unwrap(), lists.outbox_due(5));
        assert_eq!(store.bots_with_due_deliveries(now, 3).await.unwrap(), lists.bots_due(3));
        for bot in lists.bots() {
            assert_eq!(store.deliveries(bot).await.unwrap(), lists.deliveries_of(bot, false));
            assert_eq!(store.log(bot, "note", 100).await.unwrap(), lists.log_of(bot));
            assert_eq!(store.pending_deliveries(bot, 100).await.unwrap(), lists.deliveries_of(bot, true));
        }
    }
}

fn described(created: Created) -> (&'static str, Session) {
    match created {
        Created::New(session) => ("new", session),
        Created::Replayed(session) => ("replayed", session),
        Created::Duplicate(session) => ("duplicate", session),
        Created::Conflict(session) => ("conflict", session),
    }
}

/// The inputs that a session meets in its life; most fit only some states.
fn inputs(session: &Session, now: Timestamp) -> Vec<Input> {
    let said = |said: Report| report(session, said);
    let ended =
        |reason: EndReason| said(Report::Ended { at: now, reason, message: reason.message().into(), recorded_ms: 5 });
    let settled = |kind| Input::Settle { kind, state: ArtifactState::Ready };
    let mut inputs = vec![
        Input::Stop,
        Input::Due,
        Input::DeadlinePassed,
        Input::Reschedule { join_at: now + LEASE },
        said(Report::WaitingRoom { at: now }),
        said(Report::Admitted { at: now }),
        said(Report::Recording { at: now }),
        ended(EndReason::HostEnded),
        ended(EndReason::ConnectionLost),
        settled(ArtifactKind::Manifest),
        settled(ArtifactKind::Audio),
        settled(ArtifactKind::Transcript),
        Input::MediaDeleted { objects: 1 },
    ];
    inputs.extend(OWNERS.map(|owner| acquire(owner, session)));
    // As the control role does it: only once its time has come.
    if session.lease_until().is_some_and(|until| until <= now) {
        inputs.push(Input::LeaseExpired);
    }
    inputs
}

/// The test. Prints the seed first.
pub(crate) fn behaves_as_lists_do<B: Backend>() {
    let mut config = Config { cases: B::CASES, failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        config.rng_seed = RngSeed::Fixed(u64::from(since.subsec_nanos()));
    }
    println!("to run this again: PROPTEST_RNG_SEED={}", config.rng_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tested = TestRunner::new(config).run(&proptest::collection::vec(op(), 1..100), |ops| {
        runtime.block_on(async {
            let mut run = Run::<B>::new().await;
            for op in ops {
                run = run.step(op).await;
            }
        });
        Ok(())
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}

/// What the model takes for the answer to a renewal.
fn held(session: &Session) -> Renewed {
    Renewed::Held { stop_requested: session.stop_requested.is_some() }
}
