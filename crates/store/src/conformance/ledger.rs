use std::collections::BTreeSet;
use std::time::Duration;

use muster_session::event::Event;
use muster_session::job::Job;
use muster_session::{BotId, Outcome, Session, TenantId, Timestamp};
use serde_json::json;

use super::Fixture;
use super::samples::{assert_missing, at, create, denied, done, joining, queued, url};
use crate::{Attempt, Commit, Delivery, DeliveryStatus, LedgerQuery, LogEntry, SessionStore};

pub(super) const DELIVERED: DeliveryStatus = DeliveryStatus::Delivered;
pub(super) const FAILED: DeliveryStatus = DeliveryStatus::Failed;

pub(super) fn pending_at(next_at: Timestamp) -> DeliveryStatus {
    DeliveryStatus::Pending { next_at }
}

pub(super) fn attempt(seconds: u64, http_status: u16) -> Attempt {
    Attempt {
        at: at(seconds),
        http_status: Some(http_status),
        latency_ms: seconds,
        detail: format!("at {seconds}"),
        url: None,
    }
}

pub(super) fn event(bot: BotId, sequence: u64, now: Timestamp) -> Event {
    // Key order, floats and characters that a careless round trip would change.
    let body = json!({"zeta": 0.1, "alpha": "é\u{2028}/\"", "sequence": sequence, "nested": {"b": 1e300, "a": [null]}});
    Event { bot, sequence, at: now, event: "bot.x".into(), bot_event: "bot.x".into(), to: None, body }
}

/// Adds events to a session.
pub(super) async fn emit(store: &dyn SessionStore, session: &Session, events: Vec<Event>, now: Timestamp) -> Session {
    let outcome = Outcome { events, jobs: Vec::new() };
    store.commit(Commit::new(session.clone(), outcome, now)).await.expect("commit")
}

pub(super) async fn pending(store: &dyn SessionStore, bot: BotId) -> Vec<Delivery> {
    store.pending_deliveries(bot, 1_000).await.expect("pending")
}

pub(super) async fn bots_due(store: &dyn SessionStore, now: Timestamp, limit: u32) -> Vec<BotId> {
    store.bots_with_due_deliveries(now, limit).await.expect("due")
}

pub(super) fn sequences(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.sequence).collect()
}

/// 10. An outbox job stays until it is done, a delivery until it is settled.
pub async fn s10_promises_stay_until_settled(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let first = create(&*store, queued("t", at(5))).await;
    let second = create(&*store, queued("t", at(1))).await;
    let late = Commit {
        jobs: vec![
            (Job::Process { bot: second.id }, Duration::from_secs(60)),
            (Job::Deliver { bot: second.id }, Duration::ZERO),
        ],
        ..Commit::new(second.clone(), Outcome::default(), at(2))
    };
    let second = store.commit(late).await.expect("commit");
    let outbox = async |now, limit| store.outbox(now, limit).await.expect("outbox");
    let jobs = outbox(at(61), 10).await;
    assert_eq!(outbox(at(61), 10).await, jobs, "looking takes nothing away");
    let want = [
        Job::Run { bot: second.id, attempt: 1 },
        Job::Deliver { bot: second.id },
        Job::Run { bot: first.id, attempt: 1 },
    ];
    assert_eq!(jobs.iter().map(|entry| entry.job.clone()).collect::<Vec<_>>(), want, "oldest first");
    assert_eq!(jobs.iter().map(|entry| entry.due).collect::<Vec<_>>(), [at(1), at(2), at(5)]);
    assert_eq!(outbox(at(61), 2).await, jobs[..2]);
    assert_eq!(outbox(at(0), 10).await, []);
    store.outbox_done(&[jobs[0].id, jobs[2].id, u64::MAX, 0]).await.expect("unknown ids are ignored");
    drop(store);
    let store = fixture.open().await;
    let left = store.outbox(at(62), 10).await.expect("outbox");
    assert_eq!(left[0], jobs[1]);
    assert_eq!((left.len(), &left[1].job, left[1].due), (2, &Job::Process { bot: second.id }, at(62)));
    store.outbox_done(&[left[0].id, left[1].id]).await.expect("done");
    assert_eq!(store.outbox(at(62), 10).await.expect("outbox"), []);
    // Ids are deduplication keys elsewhere, so a new job never has the id of one that was.
    create(&*store, queued("t", at(0))).await;
    let fresh = store.outbox(at(0), 10).await.expect("outbox")[0].id;
    assert!(jobs.iter().chain(&left).all(|old| old.id != fresh));

    let session = joining(&*store, "w", at(10)).await;
    let [delivery] = pending(&*store, session.id).await.try_into().expect("one webhook");
    assert_eq!((delivery.status, delivery.failures), (pending_at(at(10)), 0));
    assert_eq!(bots_due(&*store, at(9), 10).await, []);
    assert_eq!(bots_due(&*store, at(10), 10).await, [session.id]);
    store.record_attempt(delivery.id, attempt(11, 500), pending_at(at(20))).await.expect("record");
    assert_eq!(bots_due(&*store, at(19), 10).await, []);
    assert_eq!(bots_due(&*store, at(20), 10).await, [session.id]);
    assert_eq!(pending(&*store, session.id).await.len(), 1, "pending, though not due");
    store.record_attempt(delivery.id, attempt(21, 200), DELIVERED).await.expect("record");
    assert_eq!(pending(&*store, session.id).await, []);
    assert_eq!(bots_due(&*store, at(1_000), 10).await, []);
}

/// 11. Pending deliveries of a bot come in order of their sequence; bots come the longest waiting first.
pub async fn s11_pending_deliveries_come_in_sequence(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let session = emit(&*store, &session, vec![event(bot, 3, at(1)), event(bot, 1, at(1))], at(1)).await;
    let session = emit(&*store, &session, vec![event(bot, 2, at(2)), event(bot, 10, at(2))], at(2)).await;
    assert_eq!(sequences(&pending(&*store, bot).await), [1, 2, 3, 10]);
    let first = &pending(&*store, bot).await[0];
    store.record_attempt(first.id, attempt(3, 500), pending_at(at(500))).await.expect("record");
    assert_eq!(sequences(&pending(&*store, bot).await), [1, 2, 3, 10], "whenever they are due");
    assert_eq!(sequences(&store.pending_deliveries(bot, 2).await.expect("pending")), [1, 2]);
    let unlimited = store.pending_deliveries(bot, u32::MAX).await.expect("pending");
    assert_eq!(unlimited.len(), 4);
    for delivery in &unlimited {
        let sequence = delivery.event.sequence;
        let now = if sequence % 2 == 1 { at(1) } else { at(2) };
        assert_eq!(delivery.event, event(bot, sequence, now), "as it was committed");
        assert_eq!(delivery.tenant, session.tenant);
    }
    let longest = create(&*store, queued("t", at(0))).await;
    emit(&*store, &longest, vec![event(longest.id, 1, at(0)), event(longest.id, 2, at(0))], at(0)).await;
    let shortest = create(&*store, queued("t", at(0))).await;
    emit(&*store, &shortest, vec![event(shortest.id, 1, at(9))], at(9)).await;
    assert_eq!(bots_due(&*store, at(9), 10).await, [longest.id, bot, shortest.id], "each once");
    assert_eq!(bots_due(&*store, at(9), 2).await, [longest.id, bot]);
    assert_eq!(bots_due(&*store, at(8), 10).await, [longest.id, bot]);
}

/// 12. `delete` removes record, keys, log and settled deliveries; pending deliveries stay until settled.
pub async fn s12_a_delete_leaves_only_what_was_promised(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = joining(&*store, "w", at(0)).await;
    let bot = session.id;
    let line = LogEntry { kind: "chat".into(), key: "1".into(), at: at(1), data: json!(1) };
    store.append_log(bot, session.fencing, &[line]).await.expect("append");
    let session = denied(&*store, &session, at(0)).await;
    let deliveries = pending(&*store, bot).await;
    assert!(deliveries.len() >= 3, "{deliveries:?}");
    store.record_attempt(deliveries[0].id, attempt(1, 200), DELIVERED).await.expect("record");
    let neighbour = done(&*store, at(0)).await;
    let theirs = store.deliveries(neighbour.id).await.expect("ledger");
    assert!(store.delete(bot).await.expect("delete"));
    assert!(!store.delete(bot).await.expect("delete"), "it was there once");

    assert_eq!(store.get(bot).await.expect("get"), None);
    assert_eq!(store.log(bot, "chat", 10).await.expect("log"), []);
    assert_eq!(store.find_transcript(&session.tenant, session.transcripts[0].id).await.expect("find"), None);
    assert_eq!(store.expired(at(1_000_000_000), 10).await.expect("expired").len(), 1);
    let left = store.deliveries(bot).await.expect("ledger");
    assert_eq!(left, deliveries[1..], "what is pending is still to be sent");
    let of_all = async || {
        let all = store.ledger(&session.tenant, &LedgerQuery { limit: 100, ..LedgerQuery::default() }).await;
        all.expect("ledger").deliveries.into_iter().map(|delivery| delivery.id).collect::<BTreeSet<_>>()
    };
    let known = |here: &[Delivery]| here.iter().chain(&theirs).map(|delivery| delivery.id).collect::<BTreeSet<_>>();
    assert_eq!(of_all().await, known(&left));
    assert!(bots_due(&*store, at(0), 10).await.contains(&bot));
    store.record_attempt(left[0].id, attempt(2, 500), pending_at(at(9))).await.expect("record");
    assert_eq!(store.deliveries(bot).await.expect("ledger").len(), left.len());
    for delivery in &left {
        store.record_attempt(delivery.id, attempt(10, 200), DELIVERED).await.expect("record");
    }
    assert_eq!(store.deliveries(bot).await.expect("ledger"), [], "and then nothing is left");
    assert_eq!(of_all().await, known(&[]));
    assert_eq!(store.deliveries(neighbour.id).await.expect("ledger"), theirs);
    let jobs = store.outbox(at(0), 10).await.expect("outbox");
    assert_eq!(jobs.iter().filter(|entry| entry.job.bot() == bot).count(), 1, "jobs stay until they are done");
}

/// An event's own address wins over the record's; without any it is not delivered.
pub async fn deliveries_go_to_the_events_own_address_first(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let own = url("https://elsewhere.example/hook?x=1");
    let elsewhere = Event { to: Some(own.clone()), ..event(bot, 2, at(1)) };
    let session = emit(&*store, &session, vec![event(bot, 1, at(1)), elsewhere.clone()], at(1)).await;
    let ledger = store.deliveries(bot).await.expect("ledger");
    assert_eq!(
        ledger.iter().map(|d| d.url.clone()).collect::<Vec<_>>(),
        [session.callback_url.clone().expect("has one"), own.clone()]
    );
    assert_eq!(ledger[1].event, elsewhere);
    let mut silent = queued("t", at(0));
    silent.session.callback_url = None;
    let silent = create(&*store, silent).await;
    let elsewhere = Event { bot: silent.id, ..elsewhere };
    emit(&*store, &silent, vec![event(silent.id, 1, at(1)), elsewhere], at(1)).await;
    let ledger = store.deliveries(silent.id).await.expect("ledger");
    assert_eq!(ledger.iter().map(|d| &d.url).collect::<Vec<_>>(), [&own]);
}

/// Attempts add up in the ledger; resending makes settled deliveries pending again, and counts failures anew.
pub async fn attempts_and_resends_are_recorded(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    emit(&*store, &session, (1..=3).map(|sequence| event(bot, sequence, at(1))).collect(), at(1)).await;
    let made = pending(&*store, bot).await;
    let no_answer = Attempt {
        http_status: None,
        detail: "connection refused".into(),
        url: Some("https://hooks.example.com/moved".parse().expect("a URL")),
        ..attempt(2, 0)
    };
    for (delivery, attempt, status) in [
        (&made[0], no_answer.clone(), pending_at(at(4))),
        (&made[0], attempt(4, 503), pending_at(at(8))),
        (&made[0], attempt(8, 410), FAILED),
        (&made[1], attempt(3, 204), DELIVERED),
    ] {
        store.record_attempt(delivery.id, attempt, status).await.expect("record");
    }
    let ledger = store.deliveries(bot).await.expect("ledger");
    assert_eq!(sequences(&ledger), [1, 2, 3]);
    assert_eq!((ledger[0].status, ledger[0].failures), (FAILED, 3));
    assert_eq!(ledger[0].attempts, [no_answer, attempt(4, 503), attempt(8, 410)]);
    assert_eq!((ledger[1].status, ledger[1].failures, ledger[1].attempts.len()), (DELIVERED, 0, 1));
    assert_eq!((ledger[2].status, ledger[2].attempts.len()), (pending_at(at(1)), 0));
    // A second sender that was not heard does not make it pending again.
    store.record_attempt(made[1].id, attempt(5, 500), pending_at(at(9))).await.expect("record");
    let twice = &store.deliveries(bot).await.expect("ledger")[1];
    assert_eq!((twice.status, twice.attempts.len()), (DELIVERED, 2));
    assert_missing(store.record_attempt(u64::from(u32::MAX), attempt(1, 200), DELIVERED).await);

    let resend = async |ids: &[u64]| store.resend(ids, at(20)).await.expect("resend");
    let nowhere = u64::from(u32::MAX);
    assert_eq!(resend(&[]).await, 0);
    assert_eq!(resend(&[made[2].id]).await, 0, "it still is pending");
    assert_eq!(resend(&[nowhere]).await, 0);
    assert_eq!(resend(&[made[0].id, nowhere, made[2].id]).await, 1);
    let again = &pending(&*store, bot).await[0];
    assert_eq!((again.id, again.status, again.failures, again.attempts.len()), (made[0].id, pending_at(at(20)), 0, 3));
    assert_eq!(pending(&*store, bot).await[1].status, pending_at(at(1)), "what was pending is due as it was");
    assert_eq!(resend(&made.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await, 1, "the other settled one");
    assert_eq!(bots_due(&*store, at(1), 10).await, [bot]);
    assert_eq!(pending(&*store, bot).await.len(), 3);
    let tenants: Vec<TenantId> = pending(&*store, bot).await.into_iter().map(|delivery| delivery.tenant).collect();
    assert_eq!(tenants, vec![session.tenant; 3]);
}

/// Whoever records an attempt until it is heard records it, and what becomes of the delivery, if not only once.
pub async fn an_attempt_is_recorded_at_least_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    emit(&*store, &session, (1..=3).map(|sequence| event(bot, sequence, at(1))).collect(), at(1)).await;
    let made = pending(&*store, bot).await;
    let attempts: Vec<Attempt> = (2..12).map(|seconds| attempt(seconds, 503)).collect();
    for (delivery, last) in made.iter().zip([DELIVERED, FAILED, pending_at(at(99))]) {
        for attempt in &attempts {
            let status = if attempt.at == at(11) { last } else { pending_at(attempt.at) };
            store.record_attempt(delivery.id, attempt.clone(), status).await.expect("record");
        }
        let mut known = store.deliveries(bot).await.expect("ledger");
        let known = known.iter_mut().find(|known| known.id == delivery.id).expect("it is in the ledger");
        let recorded = known.attempts.len();
        known.attempts.dedup();
        assert_eq!((known.status, &known.attempts), (last, &attempts), "in the order of their making");
        let failures = known.failures as usize + usize::from(last == DELIVERED);
        assert!((attempts.len()..=recorded).contains(&failures), "{failures} of {recorded}");
    }
    assert_eq!(sequences(&pending(&*store, bot).await), [3]);
    assert_eq!(bots_due(&*store, at(98), 10).await, []);
    assert_eq!(bots_due(&*store, at(99), 10).await, [bot]);
}
