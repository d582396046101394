use std::sync::Arc;

use muster_session::{Input, NewSession, Session, TenantId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Fixture;
use super::samples::{acquire, assert_conflict, at, create, creation, ids, moved, new_session, queued, renamed, step};
use crate::{Commit, CreateGuard, Created, PlaceChange, SessionStore, StoreError, TenantLoad};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name)
}

fn load(name: &str, taken: u64, held: u64) -> TenantLoad {
    TenantLoad { tenant: tenant(name), taken, held }
}

async fn loads(store: &dyn SessionStore) -> Vec<TenantLoad> {
    store.loads().await.expect("loads")
}

fn taking(commit: Commit, limit: Option<u64>) -> Commit {
    Commit { place: PlaceChange::Take { limit }, ..commit }
}

/// A session moved on, with what that does to the places of its tenant.
fn placed(session: &Session, input: Input, seconds: u64, limit: Option<u64>) -> Commit {
    let commit = moved(session, input, at(seconds));
    let place = PlaceChange::between(session.has_place(), &commit.session, limit);
    Commit { place, ..commit }
}

#[track_caller]
fn assert_full<T: std::fmt::Debug>(result: Result<T, StoreError>, places: u64) {
    assert!(matches!(result, Err(StoreError::Full { taken }) if taken == places), "expected {places}, got {result:?}");
}

/// 22. Of any number of writes that take a place no more succeed than there are places left, and the others write nothing.
pub async fn s22_no_more_places_are_taken_than_there_are(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(loads(&*store).await, []);
    let mut calls = JoinSet::new();
    for i in 0..20 {
        let store = Arc::clone(&store);
        let mut new = new_session("t");
        new.deduplication_key = Some(format!("booking {i}"));
        let guard = CreateGuard { idempotency_key: Some(format!("key {i}")) };
        let commit = taking(creation(new, at(0)), Some(3));
        calls.spawn(async move { (commit.clone(), guard.clone(), store.create(commit, guard).await) });
    }
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    while let Some(ended) = calls.join_next().await {
        match ended.expect("a call failed") {
            (commit, guard, Ok(Created::New(session))) => made.push((commit, guard, session)),
            (commit, guard, Err(StoreError::Full { taken: 3 })) => refused.push((commit, guard)),
            (.., other) => panic!("expected new or full, got {other:?}"),
        }
    }
    assert_eq!((made.len(), refused.len()), (3, 17));
    assert_eq!(loads(&*store).await, [load("t", 3, 0)]);
    assert_eq!(store.outbox(at(9), 100).await.expect("outbox").len(), 3);
    for (refused, _) in &refused {
        assert_eq!(store.get(refused.session.id).await.expect("get"), None);
    }
    // What was made before is answered as ever, and takes no place.
    let (commit, guard, winner) = made.remove(0);
    let again = |commit: &Commit| {
        let mut again = commit.clone();
        again.session.id = muster_session::BotId::from_uuid(Uuid::new_v4());
        again
    };
    let answer = store.create(again(&commit), guard).await.expect("create");
    assert!(matches!(&answer, Created::Replayed(session) if *session == winner), "{answer:?}");
    let answer = store.create(again(&commit), CreateGuard::default()).await.expect("create");
    assert!(matches!(answer, Created::Duplicate(_)), "{answer:?}");
    let same_id = NewSession { id: winner.id, ..new_session("t") };
    assert_conflict(store.create(taking(creation(same_id, at(1)), Some(3)), CreateGuard::default()).await);
    // Another limit, or none, and another tenant.
    let (waits, guard) = refused.remove(0);
    assert_full(store.create(taking(queued("t", at(1)), Some(0)), CreateGuard::default()).await, 3);
    assert_full(store.create(taking(queued("u", at(1)), Some(0)), CreateGuard::default()).await, 0);
    create(&*store, taking(queued("u", at(1)), Some(1))).await;
    let fourth = create(&*store, taking(queued("t", at(1)), Some(4))).await;
    let fifth = create(&*store, taking(queued("t", at(1)), None)).await;
    assert_eq!(loads(&*store).await, [load("t", 5, 0), load("u", 1, 0)]);

    // Places given back can be taken, and are by a commit as they are by a create.
    for session in [&fourth, &fifth] {
        store.commit(placed(session, Input::Stop, 2, None)).await.expect("commit");
    }
    let mut later = new_session("t");
    later.join_at = Some(at(50));
    let later = create(&*store, creation(later, at(1))).await;
    let due = placed(&later, Input::Due, 50, Some(3));
    assert_full(store.commit(due.clone()).await, 3);
    assert_eq!(store.get(later.id).await.expect("get").as_ref(), Some(&later));
    assert_eq!(store.outbox(at(99), 100).await.expect("outbox").len(), 6, "and no job is made");
    let mut stale = due.clone();
    stale.session.version += 1;
    assert_conflict(store.commit(stale).await);
    let acquired = store.commit(placed(&winner, acquire("w", &winner), 3, Some(0))).await.expect("it has its place");
    assert_eq!(loads(&*store).await, [load("t", 3, 0), load("u", 1, 0)]);
    assert!(store.delete(acquired.id).await.expect("delete"), "and leaves it");
    let due = store.commit(due).await.expect("commit");
    assert_full(store.create(waits.clone(), guard.clone()).await, 3);
    store.commit(placed(&due, Input::Stop, 51, None)).await.expect("commit");
    drop(store);
    let store = fixture.open().await;
    assert_eq!(loads(&*store).await, [load("t", 2, 0), load("u", 1, 0)], "counts outlive the process");
    let answer = store.create(waits, guard).await.expect("create");
    assert!(matches!(answer, Created::New(_)), "its keys were not bound: {answer:?}");

    // There are never less than none.
    let old = create(&*store, queued("v", at(1))).await;
    let free = Commit { place: PlaceChange::Free, ..placed(&old, Input::Stop, 2, None) };
    let freed = store.commit(free).await.expect("commit");
    assert!(store.delete(freed.id).await.expect("delete"));
    assert_eq!(loads(&*store).await, [load("t", 3, 0), load("u", 1, 0)]);
    create(&*store, taking(queued("v", at(3)), Some(1))).await;
    assert_full(store.create(taking(queued("v", at(3)), Some(1)), CreateGuard::default()).await, 1);
}

/// 22. Who took no place, as one of a release that counted none, gives none back; and the record says who did.
pub async fn s22_only_what_was_counted_is_given_back(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let counted = create(&*store, taking(queued("t", at(0)), None)).await;
    let uncounted = [create(&*store, queued("t", at(1))).await, create(&*store, queued("t", at(2))).await];
    let read = store.get(counted.id).await.expect("get").expect("it is there");
    assert!(counted.place && read.place && !uncounted[0].place);
    let acquired = store.commit(placed(&uncounted[0], acquire("w", &uncounted[0]), 3, Some(0))).await;
    assert!(!acquired.expect("it asks for no place").place);
    store.commit(placed(&uncounted[1], Input::Stop, 3, None)).await.expect("commit");
    assert!(store.delete(uncounted[0].id).await.expect("delete"));
    assert_eq!(loads(&*store).await, [load("t", 1, 0)]);
    let freed = store.commit(placed(&counted, Input::Stop, 4, None)).await.expect("commit");
    assert!(!freed.place);
    assert!(store.delete(freed.id).await.expect("delete"));
    assert_eq!(loads(&*store).await, []);
}

/// 23. The line is known right after each write: who waits, how many, and who is before whom.
pub async fn s23_the_line_is_known_and_in_order(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let hold = |new: NewSession, seconds| {
        let (session, outcome) = Session::create_held(new, at(seconds));
        Commit::new(session, outcome, at(seconds))
    };
    let held = async |store: &dyn SessionStore, name: &str| ids(&store.held(&tenant(name), 100).await.expect("held"));
    let before = async |store: &dyn SessionStore, name: &str, of: &Session| {
        store.held_before(&tenant(name), of.id).await.expect("before")
    };
    assert_eq!(held(&*store, "t").await, []);
    let third = create(&*store, hold(new_session("t"), 9)).await;
    let first = create(&*store, hold(new_session("t"), 3)).await;
    let other = create(&*store, hold(new_session("u"), 1)).await;
    let mut equal = [new_session("t"), new_session("t")];
    equal.sort_by_key(|new| std::cmp::Reverse(new.id));
    let [second_b, second_a] = equal;
    let second_b = create(&*store, hold(second_b, 5)).await;
    let second_a = create(&*store, hold(second_a, 5)).await;
    let running = create(&*store, taking(queued("t", at(0)), Some(1))).await;
    assert_eq!(held(&*store, "t").await, [first.id, second_a.id, second_b.id, third.id]);
    assert_eq!(held(&*store, "u").await, [other.id]);
    assert_eq!(held(&*store, "v").await, []);
    assert_eq!(store.held(&tenant("t"), 2).await.expect("held"), [first.clone(), second_a.clone()]);
    assert_eq!(loads(&*store).await, [load("t", 1, 4), load("u", 0, 1)]);
    for (i, of) in [&first, &second_a, &second_b, &third].into_iter().enumerate() {
        assert_eq!(before(&*store, "t", of).await, Some(i as u64));
    }
    assert_eq!(before(&*store, "u", &other).await, Some(0));
    for (name, of) in [("u", &first), ("t", &other), ("t", &running), ("v", &first), ("t", &gone(&first))] {
        assert_eq!(before(&*store, name, of).await, None);
    }
    // One that was scheduled comes in line by its age, not by when it was to join.
    let mut later = new_session("t");
    later.join_at = Some(at(50));
    let later = create(&*store, creation(later, at(4))).await;
    assert_eq!(before(&*store, "t", &later).await, None);
    let later = store.commit(placed(&later, Input::Hold, 50, Some(0))).await.expect("no place is asked for");
    assert_eq!(held(&*store, "t").await, [first.id, later.id, second_a.id, second_b.id, third.id]);
    // Whoever waits waits on, whatever else changes.
    let first = store.commit(renamed(&first, "renamed", at(51))).await.expect("commit");
    assert_eq!(store.held(&tenant("t"), 1).await.expect("held"), std::slice::from_ref(&first));
    assert_eq!(loads(&*store).await, [load("t", 1, 5), load("u", 0, 1)]);
    // One without a place to go to waits on, too.
    let release = |of: &Session, limit| placed(of, Input::Release, 52, Some(limit));
    assert_full(store.commit(release(&first, 1)).await, 1);
    assert_eq!((before(&*store, "t", &first).await, before(&*store, "t", &later).await), (Some(0), Some(1)));
    let first = store.commit(release(&first, 2)).await.expect("commit");
    assert_eq!((before(&*store, "t", &first).await, before(&*store, "t", &later).await), (None, Some(0)));
    assert_eq!(loads(&*store).await, [load("t", 2, 4), load("u", 0, 1)]);
    // Out of the line without ever having had a place: stopped, run elsewhere, removed.
    store.commit(placed(&later, Input::Stop, 53, None)).await.expect("commit");
    step(&*store, &second_a, Input::HandOver { source: "elsewhere".into() }, at(53)).await;
    assert!(store.delete(second_b.id).await.expect("delete"));
    store.commit(placed(&first, acquire("w", &first), 54, None)).await.expect("commit");
    drop(store);
    let store = fixture.open().await;
    assert_eq!(held(&*store, "t").await, [third.id]);
    assert_eq!(loads(&*store).await, [load("t", 2, 1), load("u", 0, 1)]);
    assert!(store.delete(other.id).await.expect("delete"));
    assert_eq!(loads(&*store).await, [load("t", 2, 1)]);
}

fn gone(session: &Session) -> Session {
    Session { id: muster_session::BotId::from_uuid(Uuid::new_v4()), ..session.clone() }
}

/// 25. What is due is counted as it is found.
pub async fn s25_what_is_due_is_counted(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let count = async |seconds| store.count_due(at(seconds)).await.expect("count");
    assert_eq!(count(1_000).await, 0);
    let mut scheduled = Vec::new();
    for seconds in [300, 100, 200, 200] {
        let mut new = new_session("t");
        new.join_at = Some(at(seconds));
        scheduled.push(create(&*store, creation(new, at(0))).await);
    }
    create(&*store, queued("t", at(0))).await;
    for (seconds, due) in [(99, 0), (100, 1), (200, 3), (299, 3), (300, 4), (1_000, 4)] {
        assert_eq!(count(seconds).await, due, "{seconds}");
        assert_eq!(store.due(at(seconds), 10).await.expect("due").len() as u64, due);
    }
    step(&*store, &scheduled[1], Input::Due, at(100)).await;
    step(&*store, &scheduled[2], Input::Reschedule { join_at: at(400) }, at(100)).await;
    assert_eq!((count(200).await, count(300).await, count(400).await), (1, 2, 3));
    assert!(store.delete(scheduled[3].id).await.expect("delete"));
    assert_eq!((count(200).await, count(400).await), (0, 2));
}
