use std::sync::Arc;

use muster_faults::{Fault, Nth};
use muster_session::Session;

use super::FaultyStore;
use crate::conformance::samples::{at, create, queued, renamed};
use crate::memory::MemoryStore;
use crate::{SessionStore, StoreError};

struct Met {
    store: MemoryStore,
    plan: Arc<Nth>,
    session: Session,
    answer: Result<Session, StoreError>,
}

/// A commit that meets a fault, and what is behind it.
async fn commit_under(fault: Fault) -> Met {
    let store = MemoryStore::new();
    let session = create(&store, queued("t", at(0))).await;
    let plan = Arc::new(Nth::new(1, fault).of("commit"));
    let faulty = FaultyStore::new(Arc::new(store.clone()), Arc::clone(&plan) as _);
    assert_eq!(faulty.get(session.id).await.unwrap().as_ref(), Some(&session), "other methods are not touched");
    let answer = faulty.commit(renamed(&session, "renamed", at(1))).await;
    Met { store, plan, session, answer }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write_and_a_refusal_does_not() {
    for (fault, written, says) in [
        (Fault::LostAnswer, true, "the answer was lost"),
        (Fault::Refuse, false, "connection refused"),
        (Fault::Throttle, false, "too many requests"),
    ] {
        let met = commit_under(fault).await;
        assert!(
            matches!(&met.answer, Err(StoreError::Unavailable { detail, .. }) if detail == says),
            "{:?}",
            met.answer
        );
        let stored = met.store.get(met.session.id).await.unwrap().unwrap();
        let want = if written { (2, "renamed") } else { (1, met.session.bot_name.as_str()) };
        assert_eq!((stored.version, stored.bot_name.as_str()), want, "{fault:?}");
        assert_eq!(met.plan.made(), 1, "it came once, at the call it was planned for");
    }
}

#[tokio::test]
async fn a_duplicate_is_made_twice_and_answered_by_the_second() {
    let met = commit_under(Fault::Duplicate).await;
    assert!(matches!(met.answer, Err(StoreError::Conflict)), "the first was written: {:?}", met.answer);
    assert_eq!(met.store.get(met.session.id).await.unwrap().unwrap().version, 2);
}

/// Every method goes through the plan, by its own name.
#[tokio::test]
async fn every_method_can_fail() {
    let source = include_str!("../faulty.rs");
    let operations: Vec<&str> =
        source.split("self.call(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let contract = include_str!("../contract.rs");
    let contract = contract.split("pub trait SessionStore").nth(1).unwrap().split("\n}\n").next().unwrap();
    let methods: Vec<&str> = contract.split("async fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
    assert!(methods.len() > 30, "{methods:?}");
    assert_eq!(operations, methods);
}
