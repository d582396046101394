use std::sync::Arc;

use muster_session::{Input, Session, TenantId};
use tokio::task::JoinSet;

use super::Fixture;
use super::ledger::event;
use super::samples::{assert_conflict, assert_missing, at, create, creation, moved, new_session, queued, renamed};
use crate::{Commit, CreateGuard, Created, InboxCount, InboxEntry, InboxOutcome, InboxQuery, SessionStore, StoreError};

/// An entry as it comes in at that time.
pub(super) fn entry(tenant: &str, key: &str, seconds: u64) -> InboxEntry {
    InboxEntry {
        key: key.into(),
        tenant: TenantId::new(tenant),
        source: "source".into(),
        event: "bot.status_change".into(),
        outcome: InboxOutcome::Unknown,
        bot: None,
        received_at: at(seconds),
        produced_at: None,
        detail: "\u{2028} ä".into(),
        body: "{\"b\":  1.0, \"a\": [null] }\n".into(),
    }
}

/// A change that only the test sees, and the webhook that causes it.
fn caused(session: &Session, name: &str, entry: &InboxEntry) -> Commit {
    let renamed = renamed(session, name, entry.received_at);
    Commit { events: vec![event(session.id, 1, entry.received_at)], inbox: Some(entry.clone()), ..renamed }
}

#[track_caller]
fn assert_seen<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Seen)), "expected it to have been seen, got {result:?}");
}

/// 18. The key of an entry is taken once: by a write, which writes nothing if it was taken before, or by `receive`.
pub async fn s18_a_webhook_takes_effect_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let received = async |key: &str| store.received(key).await.expect("received");
    let session = create(&*store, queued("t", at(0))).await;
    let applied = InboxEntry {
        outcome: InboxOutcome::Applied,
        bot: Some(session.id),
        produced_at: Some(at(1)),
        ..entry("t", "source:evt/1 ä", 2)
    };
    assert_eq!(received(&applied.key).await, None);
    let session = store.commit(caused(&session, "once", &applied)).await.expect("commit");
    assert_eq!(received(&applied.key).await.as_ref(), Some(&applied), "as it was");
    let ledger = store.deliveries(session.id).await.expect("ledger");
    assert_eq!(ledger.len(), 1);
    // Again, differently, from whatever version, and for whatever session.
    let again = InboxEntry { body: "again".into(), ..applied.clone() };
    let stale = Session { version: session.version - 1, ..session.clone() };
    for before in [&session, &stale, &queued("t", at(3)).session] {
        assert_seen(store.commit(Commit { jobs: queued("t", at(3)).jobs, ..caused(before, "twice", &again) }).await);
    }
    let mut new = new_session("t");
    new.deduplication_key = Some("booking".into());
    assert_seen(
        store.create(Commit { inbox: Some(again.clone()), ..creation(new, at(3)) }, CreateGuard::default()).await,
    );
    assert_eq!(store.get(session.id).await.expect("get").as_ref(), Some(&session));
    assert_eq!(store.deliveries(session.id).await.expect("ledger"), ledger);
    assert_eq!(store.outbox(at(9), 10).await.expect("outbox").len(), 1, "the one of its creation");
    assert_eq!(store.list(&session.tenant, &super::lookups::query(10)).await.expect("list").sessions.len(), 1);
    assert_eq!(received(&applied.key).await.as_ref(), Some(&applied));
    assert!(!store.receive(again.clone()).await.expect("receive"));
    // A write that is refused for another reason takes no key.
    let fresh = entry("t", "fresh", 4);
    assert_conflict(store.commit(caused(&stale, "stale", &fresh)).await);
    assert_missing(store.commit(caused(&queued("t", at(3)).session, "nobody", &fresh)).await);
    assert_eq!(received("fresh").await, None);
    assert!(store.receive(fresh.clone()).await.expect("receive"));
    assert!(!store.receive(InboxEntry { detail: "again".into(), ..fresh.clone() }).await.expect("receive"));
    assert_eq!(received("fresh").await.as_ref(), Some(&fresh), "the first one stays");
    assert_seen(store.commit(caused(&session, "late", &fresh)).await);
    // A creation takes a key too.
    let first = entry("t", "first", 5);
    let creates = Commit { inbox: Some(first.clone()), ..queued("t", at(5)) };
    let created = store.create(creates, CreateGuard::default()).await.expect("create");
    assert!(matches!(created, Created::New(_)), "{created:?}");
    assert_eq!(received("first").await.as_ref(), Some(&first));
    // Of many at once, one.
    let race = entry("t", "race", 6);
    let mut writers = JoinSet::new();
    for i in 0..20 {
        let (store, commit) = (Arc::clone(&store), caused(&session, &format!("bot {i}"), &race));
        writers.spawn(async move { store.commit(commit).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = writers.join_next().await {
        match answer.expect("a writer failed") {
            Ok(session) => won.push(session),
            lost => assert_seen(lost),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.get(session.id).await.expect("get").as_ref(), Some(&won[0]));
    drop(store);
    let store = fixture.open().await;
    assert_eq!(store.received(&applied.key).await.expect("received"), Some(applied));
    // What a session does for other reasons has nothing to do with it.
    let stopped = store.commit(moved(&won[0], Input::Stop, at(7))).await.expect("commit");
    assert!(store.delete(stopped.id).await.expect("delete"));
    let again = InboxEntry { detail: "again".into(), ..race };
    assert!(!store.receive(again).await.expect("receive"), "it is kept longer than its session");
}

async fn keys(store: &dyn SessionStore, query: InboxQuery) -> Vec<String> {
    let page = store.inbox(&TenantId::new("t"), &InboxQuery { limit: 10, ..query }).await.expect("inbox");
    page.entries.into_iter().map(|entry| entry.key).collect()
}

/// The filters of `inbox`, alone and together.
pub async fn inbox_filters_select(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let add = async |key: &str, source: &str, outcome, seconds| {
        let entry = InboxEntry { source: source.into(), outcome, ..entry("t", key, seconds) };
        assert!(store.receive(entry).await.expect("receive"));
    };
    add("1", "a", InboxOutcome::Applied, 1).await;
    add("2", "b", InboxOutcome::Applied, 2).await;
    add("3", "a", InboxOutcome::Late, 3).await;
    add("4", "a", InboxOutcome::Applied, 4).await;
    assert!(store.receive(entry("other", "5", 5)).await.expect("receive"));
    let found = async |query| keys(&*store, query).await;
    let all = InboxQuery::default;
    let of_a = || InboxQuery { source: Some("a".into()), ..all() };
    let with = |outcome| InboxQuery { outcome: Some(outcome), ..all() };
    assert_eq!(found(all()).await, ["4", "3", "2", "1"]);
    assert_eq!(found(of_a()).await, ["4", "3", "1"]);
    assert_eq!(found(with(InboxOutcome::Applied)).await, ["4", "2", "1"]);
    assert_eq!(found(with(InboxOutcome::NoSession)).await, [""; 0]);
    assert_eq!(found(InboxQuery { from: Some(at(2)), to: Some(at(4)), ..all() }).await, ["3", "2"], "to is out");
    let both = InboxQuery { source: Some("a".into()), ..with(InboxOutcome::Applied) };
    assert_eq!(found(InboxQuery { to: Some(at(4)), ..both.clone() }).await, ["1"]);
    // A page of what is left after every filter, and its next one.
    let page = store.inbox(&TenantId::new("t"), &InboxQuery { limit: 1, ..both.clone() }).await.expect("inbox");
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].key, "4");
    assert!(page.next.is_some());
    assert_eq!(found(InboxQuery { cursor: page.next, ..both }).await, ["1"]);
}

/// The inbox in numbers.
pub async fn the_inbox_is_counted(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let count = async |tenant: &str| {
        let mut counts = store.inbox_counts(&TenantId::new(tenant)).await.expect("count");
        counts.sort_by_key(|count| (count.source.clone(), count.outcome));
        counts
    };
    assert_eq!(count("t").await, []);
    let session = create(&*store, queued("t", at(0))).await;
    let applied = InboxEntry { outcome: InboxOutcome::Applied, ..entry("t", "0", 1) };
    store.commit(caused(&session, "applied", &applied)).await.expect("commit");
    for (key, source, outcome) in [
        ("1", "a", InboxOutcome::Late),
        ("2", "a", InboxOutcome::NoSession),
        ("3", "a", InboxOutcome::Late),
        ("4", "source", InboxOutcome::Applied),
        ("4", "source", InboxOutcome::Applied),
    ] {
        store.receive(InboxEntry { source: source.into(), outcome, ..entry("t", key, 2) }).await.expect("receive");
    }
    store.receive(entry("other", "5", 3)).await.expect("receive");
    let of = |source: &str, outcome, count| InboxCount { source: source.into(), outcome, count };
    let want =
        [of("a", InboxOutcome::Late, 2), of("a", InboxOutcome::NoSession, 1), of("source", InboxOutcome::Applied, 2)];
    assert_eq!(count("t").await, want);
    assert_eq!(count("other").await, [of("source", InboxOutcome::Unknown, 1)]);
    // What is forgotten is not counted.
    while store.forget_received(at(3), 1).await.expect("forget") > 0 {}
    assert_eq!(count("t").await, []);
    assert_eq!(count("other").await, [of("source", InboxOutcome::Unknown, 1)]);
}

/// What is old is forgotten, of all tenants, the oldest first, and its key is free again.
pub async fn the_inbox_is_forgotten_oldest_first(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for (tenant, key, seconds) in [("t", "c", 3), ("other", "a", 1), ("t", "b", 2), ("other", "d", 4), ("t", "e", 5)] {
        assert!(store.receive(entry(tenant, key, seconds)).await.expect("receive"));
    }
    let left = async || {
        let mut left = Vec::new();
        for key in ["a", "b", "c", "d", "e"] {
            left.extend(store.received(key).await.expect("received").map(|entry| entry.key));
        }
        left.concat()
    };
    let forget = async |before, limit| store.forget_received(at(before), limit).await.expect("forget");
    assert_eq!(forget(1, 10).await, 0, "it was not received before that");
    assert_eq!((forget(4, 2).await, left().await), (2, "cde".to_owned()));
    assert_eq!((forget(4, 2).await, left().await), (1, "de".to_owned()));
    assert_eq!(forget(4, 2).await, 0);
    assert_eq!(keys(&*store, InboxQuery::default()).await, ["e"]);
    let again = entry("t", "a", 6);
    assert!(store.receive(again.clone()).await.expect("receive"));
    assert_eq!(store.received("a").await.expect("received"), Some(again));
    assert_eq!((forget(7, 1_000).await, left().await), (3, String::new()));
}
