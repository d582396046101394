use std::sync::Arc;
use std::time::Duration;

use muster_session::protocol::Report;
use muster_session::{BotId, Input, State, WorkerId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Fixture;
use super::samples::{
    LEASE, acquire, assert_fenced, at, create, denied, joining, moved, queued, renamed, report, step,
};
use crate::{Commit, LeaseRenewal, LogEntry, Renewed, SessionStore, StoreError};

const HELD: Renewed = Renewed::Held { stop_requested: false };

fn lease(session: &muster_session::Session) -> LeaseRenewal {
    LeaseRenewal { bot: session.id, fencing: session.fencing }
}

async fn lease_end(store: &dyn SessionStore, bot: BotId) -> Option<muster_session::Timestamp> {
    store.get(bot).await.expect("get").expect("it is there").lease_until()
}

/// 6. `renew` extends leases without changing versions; one that is somebody else's is lost, and not touched.
pub async fn s06_renewals_change_no_version(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (owner, other) = (WorkerId::new("w"), WorkerId::new("other"));
    let first = joining(&*store, "w", at(0)).await;
    let second = joining(&*store, "w", at(0)).await;
    let foreign = joining(&*store, "other", at(0)).await;
    let unowned = create(&*store, queued("t", at(0))).await;
    let stale = LeaseRenewal { fencing: first.fencing + 1, ..lease(&first) };
    let nowhere = LeaseRenewal { bot: BotId::from_uuid(Uuid::new_v4()), fencing: 1 };
    let asked = [lease(&foreign), lease(&second), stale, lease(&unowned), nowhere, lease(&first)];
    let answers = store.renew(&owner, &asked, at(500)).await.expect("renew");
    assert_eq!(answers, [Renewed::Lost, HELD, Renewed::Lost, Renewed::Lost, Renewed::Lost, HELD], "in the order asked");
    assert_eq!(lease_end(&*store, first.id).await, Some(at(500)));
    assert_eq!(lease_end(&*store, foreign.id).await, Some(at(0) + LEASE), "not touched");
    assert_eq!(store.get(unowned.id).await.expect("get"), Some(unowned));
    assert_eq!(store.renew(&owner, &[], at(500)).await.expect("renew"), []);
    // Nothing else of the record changed, and a list shows it too.
    let mut want = first.clone();
    want.lease.as_mut().expect("it is held").until = at(500);
    assert_eq!(store.get(first.id).await.expect("get"), Some(want.clone()));
    let page = store.list(&first.tenant, &super::lookups::query(10)).await.expect("list");
    assert!(page.sessions.contains(&want));
    // What was renewed does not run out at its old time.
    let expired = store.lease_expired(at(100), 10).await.expect("lease_expired");
    assert_eq!(super::samples::ids(&expired), [foreign.id]);
    // An older renewal that arrives late takes nothing back.
    assert_eq!(store.renew(&owner, &[lease(&first)], at(400)).await.expect("renew"), [HELD]);
    assert_eq!(lease_end(&*store, first.id).await, Some(at(500)));
    // A record read before the renewal still commits, and does not shorten the lease either.
    let written = store.commit(renamed(&first, "renamed", at(2))).await.expect("commit");
    assert_eq!(written.lease_until(), Some(at(500)));
    assert_eq!(store.get(first.id).await.expect("get"), Some(written.clone()));
    // Whoever read the record before a renewal may not decide that the lease is over.
    let late = Commit { lease_seen: Some(at(400)), ..moved(&written, Input::LeaseExpired, at(501)) };
    assert!(matches!(store.commit(late).await, Err(StoreError::Conflict)));
    assert_eq!(store.get(first.id).await.expect("get"), Some(written.clone()));
    let late = Commit { lease_seen: Some(at(500)), ..renamed(&written, "renamed again", at(3)) };
    let written = store.commit(late).await.expect("commit");
    // Another acquisition has a lease of its own, however long the old one would have been.
    let requeued = step(&*store, &written, Input::LeaseExpired, at(501)).await;
    assert_eq!((requeued.state, requeued.lease_until()), (State::Queued, None));
    assert_eq!(store.renew(&owner, &[lease(&first)], at(900)).await.expect("renew"), [Renewed::Lost]);
    assert_eq!(lease_end(&*store, first.id).await, None);
    let again = step(&*store, &requeued, acquire("other", &requeued), at(4)).await;
    assert_eq!(lease_end(&*store, first.id).await, Some(at(4) + LEASE));
    assert_eq!(store.renew(&owner, &[lease(&again)], at(900)).await.expect("renew"), [Renewed::Lost]);
    assert_eq!(store.renew(&other, &[lease(&first)], at(900)).await.expect("renew"), [Renewed::Lost]);
    assert_eq!(store.renew(&other, &[lease(&again)], at(900)).await.expect("renew"), [HELD]);
}

/// A stop request is in the answer of the next renewal, and of every one after it.
pub async fn stop_requests_reach_the_renewal(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let owner = WorkerId::new("w");
    let (asked, left) = (joining(&*store, "w", at(0)).await, joining(&*store, "w", at(0)).await);
    let stopping = step(&*store, &asked, Input::Stop, at(1)).await;
    assert!(stopping.state.is_live(), "{:?}", stopping.state);
    for i in 2..4 {
        let until = at(i) + Duration::from_secs(30);
        let answers = store.renew(&owner, &[lease(&asked), lease(&left)], until).await.expect("renew");
        assert_eq!(answers, [Renewed::Held { stop_requested: true }, HELD]);
    }
    // The bot goes on reporting meanwhile.
    let admitted = step(&*store, &stopping, report(&stopping, Report::Admitted { at: at(4) }), at(4)).await;
    let answers = store.renew(&owner, &[lease(&admitted)], at(60)).await.expect("renew");
    assert_eq!(answers, [Renewed::Held { stop_requested: true }]);
}

/// 15. `append_log` writes for whoever holds the session's lease, and for nobody else.
pub async fn s15_a_lost_lease_logs_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let line = |key: &str| LogEntry { kind: "note".into(), key: key.into(), at: at(1), data: key.into() };
    let append = async |bot, fencing, key: &str| store.append_log(bot, fencing, &[line(key)]).await;
    let log = async |bot| store.log(bot, "note", 100).await.expect("log");
    let waiting = create(&*store, queued("t", at(0))).await;
    assert_fenced(append(waiting.id, waiting.fencing, "early").await);
    assert_eq!(log(waiting.id).await, []);
    let held = joining(&*store, "old", at(0)).await;
    let bot = held.id;
    append(bot, held.fencing, "a").await.expect("append");
    for token in [held.fencing - 1, held.fencing + 1, u64::MAX] {
        assert_fenced(append(bot, token, "b").await);
    }
    // The token counts, not the time: nobody has taken it over yet.
    let held = store.commit(renamed(&held, "renamed", at(500))).await.expect("commit");
    append(bot, held.fencing, "b").await.expect("append");
    assert_eq!(log(bot).await, [line("a"), line("b")]);
    // Many lines are on their way when the lease is lost: those that come later are refused.
    let mut late = JoinSet::new();
    for i in 0..20 {
        let (store, line) = (Arc::clone(&store), line(&format!("late {i}")));
        late.spawn(async move { store.append_log(bot, held.fencing, &[line]).await });
    }
    let requeued = step(&*store, &held, Input::LeaseExpired, at(501)).await;
    let written = log(bot).await;
    while let Some(answer) = late.join_next().await {
        match answer.expect("a writer failed") {
            Ok(()) => {}
            lost => assert_fenced(lost),
        }
    }
    assert_eq!(log(bot).await, written);
    for token in [held.fencing, requeued.fencing] {
        assert_fenced(append(bot, token, "c").await);
    }
    let again = step(&*store, &requeued, acquire("new", &requeued), at(502)).await;
    assert_fenced(append(bot, held.fencing, "c").await);
    append(bot, again.fencing, "d").await.expect("append");
    assert_eq!(log(bot).await, [written, vec![line("d")]].concat());
    // Over: it is nobody's.
    let ended = denied(&*store, &again, at(503)).await;
    for token in [again.fencing, ended.fencing] {
        assert_fenced(append(bot, token, "e").await);
    }
    store.delete(bot).await.expect("delete");
    assert_fenced(append(bot, again.fencing, "f").await);
    assert_eq!(log(bot).await, []);
}
