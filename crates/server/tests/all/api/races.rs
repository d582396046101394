//! A scheduled bot comes due, is rescheduled, removed and taken by a worker at the same time: whatever the order of the calls to
//! the store, there is one result, and everybody is told what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use muster_faults::{Fault, Plan};
use muster_platform::pack::Packs;
use muster_queue::JobQueue;
use muster_queue::memory::MemoryQueue;
use muster_server::api::{self, ApiState};
use muster_server::clock::Clock;
use muster_server::config::{Tier, Tiers};
use muster_server::roles::control::{self, Schedule};
use muster_server::roles::line::View;
use muster_server::roles::{ApplyError, Backend, admit};
use muster_session::job::Job;
use muster_session::{BotId, Input, State, Timestamp, WorkerId};
use muster_store::faulty::FaultyStore;
use muster_store::memory::MemoryStore;
use muster_store::{CreateGuard, SessionStore};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::harness::{KEY, START_MS, add_keys, state};
use crate::tiers::new_session;

/// The calls whose order matters. The others read what nobody here writes.
const CALLS: [&str; 5] = ["due", "get", "get_owned", "commit", "delete"];
const SLOT: Duration = Duration::from_millis(10);

/// When each call of one party is made, in slots; the calls after the last follow at once.
#[derive(Debug)]
struct Turns {
    began: Instant,
    slots: Mutex<std::vec::IntoIter<u32>>,
}

impl Plan for Turns {
    fn next(&self, operation: &'static str) -> Option<Fault> {
        if !CALLS.contains(&operation) {
            return None;
        }
        let slot = self.slots.lock().unwrap().next()?;
        Some(Fault::Delay((self.began + SLOT * slot).saturating_duration_since(Instant::now())))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    /// The leader looks for bots whose time has come.
    Control,
    /// The customer says another time.
    Change,
    /// The customer removes it.
    Cancel,
    /// A worker has its job.
    Worker,
}

impl Party {
    /// Calls that are made in turn.
    const fn calls(self) -> u32 {
        match self {
            Self::Control | Self::Change | Self::Worker => 2,
            Self::Cancel => 3,
        }
    }
}

/// Every order in which these parties' calls can come.
fn orders(parties: &[Party]) -> Vec<Vec<Party>> {
    fn go(left: &BTreeMap<Party, u32>, order: &mut Vec<Party>, all: &mut Vec<Vec<Party>>) {
        if left.values().all(|calls| *calls == 0) {
            all.push(order.clone());
        }
        for (party, _) in left.iter().filter(|(_, calls)| **calls > 0) {
            let mut rest = left.clone();
            *rest.get_mut(party).unwrap() -= 1;
            order.push(*party);
            go(&rest, order, all);
            order.pop();
        }
    }
    let mut all = Vec::new();
    go(&parties.iter().map(|party| (*party, party.calls())).collect(), &mut Vec::new(), &mut all);
    all
}

/// What is the same in all cases.
struct Setup {
    /// Of some backend.
    state: ApiState,
    /// The tenant has a place left.
    free: bool,
    /// The new time: now, or else later.
    now: bool,
}

struct Case<'a> {
    setup: &'a Setup,
    store: MemoryStore,
    queue: JobQueue,
    bot: BotId,
}

impl<'a> Case<'a> {
    async fn new(setup: &'a Setup) -> Self {
        let (store, queue) = (MemoryStore::new(), JobQueue::new(Arc::new(MemoryQueue::new())));
        add_keys(&store).await;
        let soon = Timestamp::from_millis(START_MS) + Duration::from_secs(5);
        let new = new_session("first", Some(soon));
        let case = Self { setup, store, queue, bot: new.id };
        let view = View::new(case.backend(Vec::new()));
        let other = (!setup.free).then(|| new_session("first", None));
        for new in other.into_iter().chain([new]) {
            admit::create(&view, new, CreateGuard::default()).await.unwrap();
        }
        case
    }

    /// As one party has it.
    fn backend(&self, slots: Vec<u32>) -> Backend {
        let plan = Arc::new(Turns { began: Instant::now(), slots: Mutex::new(slots.into_iter()) });
        let store = Arc::new(FaultyStore::new(Arc::new(self.store.clone()), plan));
        let backend = Backend::new(store, self.queue.clone(), Clock::new(|| Timestamp::from_millis(START_MS)));
        Backend { tiers: Tiers::new(Tier { concurrency: Some(1), ..Tier::default() }, []), ..backend }
    }

    async fn ask(&self, backend: &Backend, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let (store, line) = (Arc::clone(&backend.store), View::new(backend.clone()));
        let clock = backend.clock.clone();
        let router = api::router(ApiState { store, line, clock, ..self.setup.state.clone() });
        let request = Request::builder().method(method).uri(format!("/api/v1/{path}"));
        let request = request.header("authorization", format!("Token {KEY}"));
        let response = router.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// Does what the party does; answers how it went, as an HTTP status.
    async fn act(&self, party: Party, slots: Vec<u32>) -> u16 {
        let backend = self.backend(slots);
        let path = format!("calendar/scheduled_bots/{}", self.bot);
        match party {
            Party::Control => {
                control::step(&backend, &mut Schedule::default()).await.unwrap();
                200
            }
            Party::Change => {
                let time = if self.setup.now { "2020-01-01T00:00:00Z" } else { "2026-09-22T09:00:00Z" };
                self.ask(&backend, Method::PATCH, &path, &json!({"scheduled_join_time": time})).await.0
            }
            Party::Cancel => self.ask(&backend, Method::DELETE, &path, &Value::Null).await.0,
            Party::Worker => {
                let ttl = Duration::from_secs(60);
                let input = Input::Acquire { owner: WorkerId::new("w"), ttl, attempt: 1 };
                match backend.apply(self.bot, input).await {
                    Ok(_) => 200,
                    Err(ApplyError::Missing | ApplyError::Rejected(_)) => 404,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    async fn run(&self, order: &[Party]) -> BTreeMap<Party, u16> {
        let mut slots: BTreeMap<Party, Vec<u32>> = BTreeMap::new();
        for (slot, party) in (1..).zip(order) {
            slots.entry(*party).or_default().push(slot);
        }
        let acts = slots.into_iter().map(async |(party, slots)| (party, self.act(party, slots).await));
        futures_util::future::join_all(acts).await.into_iter().collect()
    }

    async fn judge(&self, told: &BTreeMap<Party, u16>, what: &str) {
        let session = self.store.get(self.bot).await.unwrap();
        let of = |party| told.get(&party).copied();
        assert!(told.values().all(|status| matches!(status, 200 | 404)), "{what}: {told:?}");
        // Removed is removed, and not removed is on its way.
        if let Some(cancelled) = of(Party::Cancel) {
            assert_eq!(cancelled == 200, session.is_none(), "{what}: {told:?}: {session:?}");
        }
        let state = session.as_ref().map(|session| session.state);
        match of(Party::Change) {
            Some(200) if self.setup.now => assert_ne!(state, Some(State::Scheduled), "{what}: {told:?}"),
            Some(200) => assert!(matches!(state, None | Some(State::Scheduled)), "{what}: {told:?}: {state:?}"),
            Some(_) => assert_ne!(state, Some(State::Scheduled), "{what}: {told:?}"),
            None => {}
        }
        if of(Party::Worker) == Some(200) {
            assert_eq!(state, Some(State::Joining), "{what}: {told:?}");
        }
        // A place for who is on its way, none for who waits in line, and nobody waits in vain.
        let taken = session.as_ref().is_some_and(muster_session::Session::has_place);
        let held = session.as_ref().is_some_and(|session| session.held);
        assert!(self.setup.free || !taken, "{what}: {session:?}");
        let others = u64::from(!self.setup.free);
        let loads = self.store.loads().await.unwrap();
        let counted = loads.first().map_or((0, 0), |load| (load.taken, load.held));
        assert_eq!(counted, (others + u64::from(taken), u64::from(held)), "{what}: {told:?}: {session:?}");
        let jobs = self.store.outbox(Timestamp::from_millis(i64::MAX), 10).await.unwrap();
        let jobs = jobs.iter().filter(|entry| entry.job == Job::Run { bot: self.bot, attempt: 1 }).count();
        assert!(jobs <= 1 && (jobs == 1 || !taken) && !(held && jobs == 1), "{what}: {jobs} jobs, {session:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_order_has_one_result() {
    use Party::{Cancel, Change, Control, Worker};
    let nothing: Arc<dyn SessionStore> = Arc::new(MemoryStore::new());
    let backend = Backend::new(nothing, JobQueue::new(Arc::new(MemoryQueue::new())), Clock::system());
    let state = state(backend, Arc::new(Packs::builtin()), false);
    let mut cases = 0;
    for parties in [
        &[Control, Change, Worker][..],
        &[Control, Cancel, Worker],
        &[Control, Change, Cancel],
        &[Change, Cancel, Worker],
    ] {
        for (free, now) in [(true, true), (true, false), (false, true), (false, false)] {
            if !now && !parties.contains(&Change) {
                continue;
            }
            let setup = Setup { state: state.clone(), free, now };
            for order in orders(parties) {
                let case = Case::new(&setup).await;
                let told = case.run(&order).await;
                case.judge(&told, &format!("{order:?}, a place is free: {free}, the new time is now: {now}")).await;
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4 * 90 + 2 * 210 + 2 * 4 * 210);
}
