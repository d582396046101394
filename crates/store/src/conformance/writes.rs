use std::sync::Arc;

use muster_session::job::Job;
use muster_session::{BotId, Input, TenantId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Fixture;
use super::samples::{
    acquire, assert_conflict, assert_missing, at, create, creation, joining, moved, new_session, queued, renamed, step,
};
use crate::{ApiKey, Attempt, Commit, CreateGuard, Created, DeliveryStatus, LeaseRenewal, LogEntry, Renewed};

/// 1. An `Ok` from a writing method means that the write survives.
pub async fn s01_acknowledged_writes_survive(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = joining(&*store, "w", at(0)).await;
    let lease = LeaseRenewal { bot: session.id, fencing: session.fencing };
    let owner = session.lease.as_ref().expect("it was acquired").owner.clone();
    let renewed = store.renew(&owner, &[lease], at(1_000)).await.expect("renew");
    assert_eq!(renewed, [Renewed::Held { stop_requested: false }]);
    let line = LogEntry { kind: "chat".into(), key: "1".into(), at: at(1), data: serde_json::json!({"text": "hi"}) };
    store.append_log(session.id, session.fencing, std::slice::from_ref(&line)).await.expect("append");
    let pending = store.pending_deliveries(session.id, 10).await.expect("pending");
    let attempt = Attempt { at: at(2), http_status: Some(500), latency_ms: 3, detail: "no".into(), url: None };
    let status = DeliveryStatus::Pending { next_at: at(9) };
    store.record_attempt(pending[0].id, attempt.clone(), status).await.expect("record");
    let key = ApiKey {
        hash: "h".into(),
        tenant: TenantId::new("t"),
        name: "n".into(),
        prefix: "p".into(),
        created_at: at(0),
    };
    store.put_key(&key).await.expect("put");
    let gone = create(&*store, queued("t", at(0))).await;
    assert!(store.delete(gone.id).await.expect("delete"));
    let jobs = store.outbox(at(0), 10).await.expect("outbox");
    store.outbox_done(&[jobs[1].id]).await.expect("done");
    drop(store);

    let store = fixture.open().await;
    let mut want = session.clone();
    want.lease.as_mut().expect("it was acquired").until = at(1_000);
    assert_eq!(store.get(session.id).await.expect("get"), Some(want));
    assert_eq!(store.log(session.id, "chat", 10).await.expect("log"), [line]);
    let delivery = store.deliveries(session.id).await.expect("deliveries").remove(0);
    assert_eq!((delivery.status, delivery.attempts), (status, vec![attempt]));
    assert_eq!(store.keys().await.expect("keys"), [key]);
    assert_eq!(store.get(gone.id).await.expect("get"), None);
    assert_eq!(store.outbox(at(0), 10).await.expect("outbox"), jobs[..1]);
}

/// 2. Of any number of parallel creates with one idempotency key exactly one makes a bot.
pub async fn s02_one_idempotency_key_makes_one_bot(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let guard = CreateGuard { idempotency_key: Some("key".into()) };
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (store, guard) = (Arc::clone(&store), guard.clone());
        calls.spawn(async move { store.create(queued("t", at(0)), guard).await.expect("create") });
    }
    let (mut new, mut replayed) = (Vec::new(), Vec::new());
    while let Some(answer) = calls.join_next().await {
        match answer.expect("a call failed") {
            Created::New(session) => new.push(session),
            Created::Replayed(session) => replayed.push(session),
            other => panic!("expected new or replayed, got {other:?}"),
        }
    }
    assert_eq!((new.len(), replayed.len()), (1, 99));
    let winner = &new[0];
    assert_eq!(winner.version, 1);
    assert!(replayed.iter().all(|session| session == winner), "the losers get the winner's record");
    let jobs = store.outbox(at(0), 1_000).await.expect("outbox");
    assert_eq!(jobs.len(), 1, "and one job was made");
    assert_eq!(jobs[0].job, Job::Run { bot: winner.id, attempt: 1 });

    // The record as it is now, not as it was; other keys and tenants are not touched.
    let moved_on = step(&*store, winner, acquire("w", winner), at(1)).await;
    let again = store.create(queued("t", at(2)), guard.clone()).await.expect("create");
    assert!(matches!(&again, Created::Replayed(session) if *session == moved_on), "{again:?}");
    let other = store.create(queued("other", at(2)), guard.clone()).await.expect("create");
    assert!(matches!(other, Created::New(_)), "{other:?}");
    // It is looked at before the deduplication key.
    let mut both = new_session("t");
    both.deduplication_key = Some("booking".into());
    create(&*store, creation(both.clone(), at(2))).await;
    both.id = BotId::from_uuid(Uuid::new_v4());
    let answer = store.create(creation(both, at(3)), guard.clone()).await.expect("create");
    assert!(matches!(answer, Created::Replayed(_)), "{answer:?}");
    // Free again once the record is gone.
    store.delete(winner.id).await.expect("delete");
    let fresh = store.create(queued("t", at(4)), guard).await.expect("create");
    assert!(matches!(fresh, Created::New(_)), "{fresh:?}");
    // An id is there once.
    let Created::New(fresh) = fresh else { unreachable!("it was looked at above") };
    let mut same_id = new_session("t");
    same_id.id = fresh.id;
    assert_conflict(store.create(creation(same_id, at(5)), CreateGuard::default()).await);
}

/// 3. A deduplication key binds to the meeting of the record that first used it, per tenant.
pub async fn s03_deduplication_keys_bind_to_a_meeting(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let booked = |tenant: &str, meeting: &str| {
        let mut new = new_session(tenant);
        new.deduplication_key = Some("booking".into());
        new.meeting.key = meeting.into();
        creation(new, at(0))
    };
    let ask = |commit: Commit| store.create(commit, CreateGuard::default());
    let Created::New(first) = ask(booked("t", "a")).await.expect("create") else { panic!("it is the first") };
    let first = step(&*store, &first, Input::Stop, at(1)).await;
    let same = ask(booked("t", "a")).await.expect("create");
    assert!(matches!(&same, Created::Duplicate(session) if *session == first), "{same:?}");
    let another = ask(booked("t", "b")).await.expect("create");
    assert!(matches!(&another, Created::Conflict(session) if *session == first), "{another:?}");
    let elsewhere = ask(booked("other", "b")).await.expect("create");
    assert!(matches!(elsewhere, Created::New(_)), "{elsewhere:?}");
    // Neither answer left anything behind.
    assert_eq!(store.list(&TenantId::new("t"), &super::lookups::query(10)).await.expect("list").sessions.len(), 1);
    store.delete(first.id).await.expect("delete");
    let free = ask(booked("t", "b")).await.expect("create");
    assert!(matches!(free, Created::New(_)), "{free:?}");
}

/// 4. `commit` writes record, events and jobs if the version is the stored one, and nothing otherwise.
pub async fn s04_commits_compare_and_swap(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    // Many at once, all from the same version: one wins.
    let mut writers = JoinSet::new();
    for i in 0..20 {
        let (store, commit) = (Arc::clone(&store), renamed(&session, &format!("bot {i}"), at(1)));
        writers.spawn(async move { store.commit(commit).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = writers.join_next().await {
        match answer.expect("a writer failed") {
            Ok(session) => won.push(session),
            lost => assert_conflict(lost),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(won[0].version, 2);
    assert_eq!(store.get(session.id).await.expect("get").as_ref(), Some(&won[0]));
    // A loser's events and jobs are not written either: this one would be stopped, and say so.
    let before = (store.outbox(at(9), 10).await.expect("outbox"), store.deliveries(session.id).await.expect("ledger"));
    let late = moved(&session, Input::Stop, at(2));
    assert!(!late.events.is_empty());
    assert_conflict(store.commit(late).await);
    let after = (store.outbox(at(9), 10).await.expect("outbox"), store.deliveries(session.id).await.expect("ledger"));
    assert_eq!(before, after);
    // A version from the future is no better than one from the past.
    let mut future = won[0].clone();
    future.version += 1;
    assert_conflict(store.commit(renamed(&future, "future", at(2))).await);
    let stopped = moved(&won[0], Input::Stop, at(3));
    let events = stopped.events.clone();
    let stopped = store.commit(stopped).await.expect("commit");
    assert_eq!(stopped.version, 3);
    let ledger = store.deliveries(session.id).await.expect("ledger");
    assert_eq!(ledger.into_iter().map(|delivery| delivery.event).collect::<Vec<_>>(), events);
    let stranger = queued("t", at(0));
    assert_missing(store.commit(stranger).await);
    // A worker whose session was taken over has an old version, and cannot write.
    let held = joining(&*store, "old", at(0)).await;
    let requeued = step(&*store, &held, Input::LeaseExpired, at(60)).await;
    step(&*store, &requeued, acquire("new", &requeued), at(61)).await;
    assert_conflict(store.commit(renamed(&held, "still here", at(62))).await);
}
