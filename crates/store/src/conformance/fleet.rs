use std::sync::Arc;

use muster_session::WorkerId;
use serde_json::json;
use tokio::task::JoinSet;

use super::Fixture;
use super::samples::{assert_conflict, at};
use crate::{Document, Ending, KnownWorker, WorkerRecord};

/// 13. One owner of a name leads at a time, until the time that was last asked for.
pub async fn s13_one_owner_leads_at_a_time(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let lead = async |name, owner, now, until| store.lead(name, owner, at(now), at(until)).await.expect("lead");
    assert!(lead("control", "a", 0, 10).await);
    assert!(!lead("control", "b", 9, 19).await, "it is taken");
    assert!(lead("other", "b", 9, 19).await, "names have nothing to do with each other");
    assert!(lead("control", "a", 5, 15).await, "its owner keeps it");
    assert!(!lead("control", "b", 14, 24).await, "a refusal before changed nothing, and it was kept");
    assert!(lead("control", "b", 15, 25).await, "its time is over");
    assert!(!lead("control", "a", 16, 26).await);
    assert!(lead("control", "b", 17, 17).await, "given up");
    assert!(lead("control", "a", 17, 27).await);
    // Of many at once, one.
    let all = (0..20).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.lead("race", &i.to_string(), at(0), at(10)).await.expect("lead") })
    });
    let mut leaders = 0;
    for one in all.collect::<Vec<_>>() {
        leaders += u32::from(one.await.expect("it ran"));
    }
    assert_eq!(leaders, 1);
    drop(store);
    let store = fixture.open().await;
    assert!(!store.lead("control", "b", at(26), at(36)).await.expect("lead"), "it outlives the process");
}

/// 14. Workers are known from their first beat until they are forgotten; they hear that they are to take no more bots.
pub async fn s14_workers_are_known_by_their_beats(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let record = |id: &str, running, seconds| WorkerRecord {
        id: WorkerId::new(id),
        host: "host".into(),
        version: "1.2.3".into(),
        capacity: 8,
        running,
        room: Some(8 - running),
        cpu_percent: Some(3),
        memory_percent: None,
        launch_ms: Some(700),
        idle_since: (running == 0).then(|| at(seconds)),
        bots: json!({"cpu": running}),
        simulated: running > 1,
        ending: if running > 1 { Ending::Replaced } else { Ending::Stays },
        started_at: at(0),
        seen_at: at(seconds),
        beat_ms: Some(2_000),
    };
    let (a, b) = (WorkerId::new("a"), WorkerId::new("b"));
    assert_eq!(store.workers().await.expect("workers"), []);
    assert!(!store.drain_worker(&a).await.expect("drain"), "nobody knows it");
    assert!(!store.beat(&record("b", 0, 1)).await.expect("beat"));
    assert!(!store.beat(&record("a", 1, 2)).await.expect("beat"), "it was not known when it was asked");
    assert!(store.drain_worker(&a).await.expect("drain"));
    for seconds in 3..5 {
        assert!(store.beat(&record("a", 2, seconds)).await.expect("beat"));
        assert!(!store.beat(&record("b", 3, seconds)).await.expect("beat"));
    }
    let want = |id, running, draining| KnownWorker { record: record(id, running, 4), draining };
    assert_eq!(store.workers().await.expect("workers"), [want("a", 2, true), want("b", 3, false)]);
    assert!(store.forget_worker(&a).await.expect("forget"));
    assert!(!store.forget_worker(&a).await.expect("forget"));
    assert_eq!(store.workers().await.expect("workers"), [want("b", 3, false)]);
    assert!(!store.beat(&record("a", 0, 5)).await.expect("beat"), "what was asked is forgotten too");
    assert!(store.forget_worker(&b).await.expect("forget"));
}

/// 24. `put_document` writes if the version is the stored one, and nothing otherwise.
pub async fn s24_documents_compare_and_swap(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let get = async |name: &str| store.document(name).await.expect("get");
    let made = |name: &str, version, body| Document { name: name.into(), version, body };
    assert_eq!(get("costs").await, None);
    assert_conflict(store.put_document(made("costs", 1, json!(0))).await);
    let body = json!({"p95": 1.5, "names": ["ä", null], "nested": {"1": -7}});
    let first = store.put_document(made("costs", 0, body.clone())).await.expect("put");
    assert_eq!(first, made("costs", 1, body));
    assert_eq!(get("costs").await.as_ref(), Some(&first));
    assert_eq!(get("cost").await, None);
    assert_conflict(store.put_document(made("costs", 0, json!(0))).await);
    assert_conflict(store.put_document(made("costs", 2, json!(0))).await);
    assert_eq!(get("costs").await.as_ref(), Some(&first));
    // Of many at once, one.
    let mut writers = JoinSet::new();
    for i in 0..20 {
        let (store, next) = (Arc::clone(&store), made("costs", 1, json!(i)));
        writers.spawn(async move { store.put_document(next).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = writers.join_next().await {
        match answer.expect("a writer failed") {
            Ok(document) => won.push(document),
            lost => assert_conflict(lost),
        }
    }
    let [second] = &won[..] else { panic!("one wins: {won:?}") };
    assert_eq!((second.version, get("costs").await.as_ref()), (2, Some(second)));
    // Each name has its own, of any size that is allowed.
    let large = made("the:line#now", 0, json!({"text": "x".repeat(199_000)}));
    let large = store.put_document(large).await.expect("put");
    assert_eq!((large.version, get("the:line#now").await.as_ref()), (1, Some(&large)));
    drop(store);
    let store = fixture.open().await;
    let get = async |name: &str| store.document(name).await.expect("get");
    assert_eq!((get("costs").await.as_ref(), get("the:line#now").await.as_ref()), (Some(second), Some(&large)));
    let third = store.put_document(made("costs", 2, serde_json::Value::Null)).await.expect("put");
    assert_eq!((third.version, get("costs").await.as_ref()), (3, Some(&third)));
}
