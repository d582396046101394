//! Random operations on a store and on plain lists, compared after each.

mod lists;
mod op;
mod places;
mod webhooks;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lists::Lists;
use muster_session::protocol::Report;
use muster_session::{
    ArtifactKind, ArtifactState, BotId, EndReason, Input, Remote, Session, TenantId, Timestamp, WorkerId,
};
use op::{Move, New, OWNERS, Op, PLATFORMS, REMOTES, TENANTS, op};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;
use uuid::Uuid;

use crate::conformance::Fixture;
use crate::conformance::samples::{LEASE, START, acquire, new_session, report};
use crate::{
    Commit, CreateGuard, Created, InboxOutcome, LeaseRenewal, ListQuery, LogEntry, PlaceChange, Renewed, SessionStore,
    StoreError,
};

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
            Op::Move(how) => self.advance_session(how).await,
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
            Op::Document { which, stale } => self.document(which, stale).await,
            op => self.webhook(op).await,
        }
    }

    async fn create(&mut self, new: New) {
        let now = self.lists.now;
        let mut session = new_session(TENANTS[new.tenant]);
        session.deduplication_key = new.deduplication_key.map(|key| format!("booking {key}"));
        session.meeting.key = format!("meeting {}", new.meeting);
        session.meeting.label = PLATFORMS[new.platform].into();
        session.remote = new.remote.map(remote);
        session.join_at = new.in_seconds.map(|seconds| now + Duration::from_secs(seconds));
        session.custom_attributes.insert("number".into(), json!(new.number));
        if !new.callback {
            session.callback_url = None;
        }
        let endpoints = self.lists.endpoints_of(&session.tenant);
        let (session, outcome) =
            if new.held { Session::create_held(session, now) } else { Session::create(session, now) };
        let place = PlaceChange::between(false, &session, new.limit);
        let commit = Commit { endpoints, place, ..Commit::new(session, outcome, now) };
        let guard = CreateGuard { idempotency_key: new.idempotency_key.map(|key| format!("key {key}")) };
        let answer = self.store().create(commit.clone(), guard.clone()).await;
        let Some(want) = self.lists.create(commit.clone(), guard) else { return self.assert_full(&commit, answer) };
        let (answer, want) = (described(answer.unwrap()), described(want));
        assert_eq!(answer, want);
        self.adopt(want.1.id).await;
    }

    fn assert_full<T: std::fmt::Debug>(&self, commit: &Commit, answer: Result<T, StoreError>) {
        let places = self.lists.taken_by(&commit.session.tenant);
        assert!(matches!(answer, Err(StoreError::Full { taken }) if taken == places), "{answer:?}");
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

    async fn advance_session(&mut self, Move { which, how, stale, key, limit }: Move) {
        let Some(mut session) = self.lists.pick(which).cloned() else { return };
        let (now, had_place) = (self.lists.now, session.has_place());
        let mut possible: Vec<Input> = inputs(&session, now)
            .into_iter()
            .filter(|input| session.clone().apply(input.clone(), now).is_ok())
            .collect();
        if possible.is_empty() {
            return;
        }
        let outcome = session.apply(possible.swap_remove(how % possible.len()), now).unwrap();
        session.version -= u64::from(stale);
        let commit = Commit {
            place: PlaceChange::between(had_place, &session, limit),
            endpoints: self.lists.endpoints_of(&session.tenant),
            inbox: key.map(|key| self.lists.entry(&session.tenant, key, InboxOutcome::Applied)),
            ..Commit::new(session, outcome, now)
        };
        let seen = commit.inbox.as_ref().is_some_and(|entry| self.lists.is_taken(&entry.key));
        let written = match self.store().commit(commit.clone()).await {
            Err(StoreError::Seen) if seen => return,
            Err(StoreError::Conflict) if stale && !seen => return,
            written => written,
        };
        assert!(!stale && !seen);
        let Some(want) = self.lists.commit(commit.clone()) else { return self.assert_full(&commit, written) };
        assert_eq!(written.unwrap(), want);
        self.adopt(want.id).await;
    }

    async fn compare(&self) {
        let (store, lists, now) = (self.store(), &self.lists, self.lists.now);
        for session in &lists.sessions {
            assert_eq!(store.get(session.id).await.unwrap().as_ref(), Some(session));
            let transcript = session.transcripts[0].id;
            assert_eq!(store.find_transcript(&session.tenant, transcript).await.unwrap().as_ref(), Some(session));
        }
        for tenant in TENANTS.map(TenantId::new) {
            let page = async |cursor| {
                let query = ListQuery { cursor, limit: 2, ..ListQuery::default() };
                let page = store.list(&tenant, &query).await.unwrap();
                (page.sessions, page.next)
            };
            assert_eq!(pages(page).await, lists.newest_first(&tenant));
            assert_eq!(store.count_by_state(Some(&tenant)).await.unwrap(), lists.count(&tenant));
            self.compare_webhooks(&tenant).await;
        }
        for Remote { source, bot, .. } in (0..REMOTES).map(remote) {
            let id = bot.unwrap();
            assert_eq!(store.find_remote(&source, &id).await.unwrap().as_ref(), lists.by_remote(&id));
        }
        self.compare_places().await;
        assert_eq!(store.due(now, 3).await.unwrap(), lists.due(3));
        assert_eq!(store.count_due(now).await.unwrap(), lists.count_due());
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

/// Reads to the end.
async fn pages<T>(mut page: impl AsyncFnMut(Option<String>) -> (Vec<T>, Option<String>)) -> Vec<T> {
    let (mut seen, mut next) = page(None).await;
    while next.is_some() {
        let (more, after) = page(next).await;
        seen.extend(more);
        next = after;
    }
    seen
}

fn remote(which: u8) -> Remote {
    Remote::theirs("source", Some(which.to_string()))
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
        Input::Hold,
        Input::Release,
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
