//! Webhooks, both ways: what is stored of them.

use muster_redis::cmd;
use muster_redis::testing::Prefix;
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Outcome, Remote, Session, TenantId};
use serde_json::json;
use uuid::Uuid;

use super::{RedisStore, open};
use crate::conformance::samples::{at, create, creation, new_session, queued, url};
use crate::{
    Attempt, Commit, DeliveryState, DeliveryStatus, Endpoint, InboxEntry, InboxOutcome, LedgerQuery, SessionStore,
};

fn endpoint(number: u128) -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(number)),
        tenant: TenantId::new("t"),
        version: 0,
        url: url(&format!("https://{number}.example/hook")),
        description: String::new(),
        events: Vec::new(),
        secrets: Vec::new(),
        created_at: at(0),
        failing_since: None,
        disabled: None,
    }
}

fn event(bot: BotId, sequence: u64) -> Event {
    let name = || "bot.x".to_owned();
    Event { bot, sequence, at: at(1), event: name(), bot_event: name(), to: None, body: json!({}) }
}

fn received(key: &str, seconds: u64) -> InboxEntry {
    InboxEntry {
        key: key.into(),
        tenant: TenantId::new("t"),
        source: "elsewhere".into(),
        event: "x".into(),
        outcome: InboxOutcome::Applied,
        bot: None,
        received_at: at(seconds),
        produced_at: None,
        detail: String::new(),
        body: "{}".into(),
    }
}

fn attempt(seconds: u64) -> Attempt {
    Attempt { at: at(seconds), http_status: None, latency_ms: 1, detail: String::new(), url: None }
}

/// A session with so many deliveries.
async fn with_deliveries(store: &RedisStore, count: u64) -> Session {
    let session = create(store, queued("t", at(0))).await;
    let events = (1..=count).map(|sequence| event(session.id, sequence)).collect();
    let outcome = Outcome { events, jobs: Vec::new() };
    store.commit(Commit::new(session, outcome, at(2))).await.unwrap()
}

async fn left(prefix: &Prefix, store: &RedisStore) -> Vec<String> {
    for job in store.outbox(at(100), 100).await.unwrap() {
        store.outbox_done(&[job.id]).await.unwrap();
    }
    let mut left = prefix.keys();
    left.retain(|key| !key.contains(":seq:") && !key.ends_with(":schema") && !key.ends_with(":count"));
    left
}

#[tokio::test]
async fn what_went_out_and_came_in_leaves_no_key_behind() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let tenant = TenantId::new("t");
    let remote = |bot: &str| Some(Remote::theirs("elsewhere", Some(bot.into())));
    let mut new = new_session("t");
    new.remote = remote("1");
    let endpoint = store.put_endpoint(endpoint(1)).await.unwrap();
    let session = create(&store, creation(new, at(0))).await;
    let outcome = Outcome { events: vec![event(session.id, 1)], jobs: Vec::new() };
    let session = Session { remote: remote("2"), ..session };
    let (endpoints, inbox) = ([endpoint.clone()].into(), Some(received("one", 1)));
    let session = store.commit(Commit { endpoints, inbox, ..Commit::new(session, outcome, at(1)) }).await.unwrap();
    assert!(store.receive(received("two", 2)).await.unwrap());
    let subject = BotId::from_uuid(Uuid::from_u128(7));
    store.notify(&tenant, event(subject, 1), std::slice::from_ref(&endpoint), at(2)).await.unwrap();
    let settled = store.pending_deliveries(session.id, 1).await.unwrap().remove(0);
    store.record_attempt(settled.id, attempt(3), DeliveryStatus::Failed).await.unwrap();

    assert!(store.delete(session.id).await.unwrap());
    assert!(store.delete_endpoint(&tenant, endpoint.id).await.unwrap());
    assert_eq!(store.forget_received(at(9), 10).await.unwrap(), 2);
    for bot in [session.id, subject] {
        for delivery in store.pending_deliveries(bot, 10).await.unwrap() {
            store.record_attempt(delivery.id, attempt(4), DeliveryStatus::Delivered).await.unwrap();
        }
    }
    assert_eq!(left(&prefix, &store).await, [""; 0]);
}

#[tokio::test]
async fn deliveries_of_the_release_before_are_read_and_settled() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let session = with_deliveries(&store, 2).await;
    let known = store.deliveries(session.id).await.unwrap();
    let mut connection = prefix.connection();
    for delivery in &known {
        let key = store.key(&format!(":d:{:016}", delivery.id));
        cmd("HDEL").arg(key).arg("c").arg("g").exec(&mut connection).unwrap();
    }
    cmd("DEL").arg(store.key(":deliveries:t")).exec(&mut connection).unwrap();
    let read = store.deliveries(session.id).await.unwrap();
    assert_eq!(read[0], crate::Delivery { made_at: at(1), ..known[0].clone() }, "made when its event happened");
    store.record_attempt(read[0].id, attempt(3), DeliveryStatus::Failed).await.unwrap();
    assert!(store.delete(session.id).await.unwrap());
    store.record_attempt(read[1].id, attempt(3), DeliveryStatus::Failed).await.unwrap();
    assert_eq!(left(&prefix, &store).await, [""; 0]);
}

/// A delivery that a process of the release before removed is only not there.
#[tokio::test]
async fn the_list_of_a_tenant_may_know_of_what_is_gone() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let session = with_deliveries(&store, 2).await;
    let known = store.deliveries(session.id).await.unwrap();
    let key = store.key(&format!(":d:{:016}", known[1].id));
    cmd("DEL").arg(key).exec(&mut prefix.connection()).unwrap();
    let query = LedgerQuery { limit: 10, ..LedgerQuery::default() };
    assert_eq!(store.ledger(&session.tenant, &query).await.unwrap().deliveries, known[..1]);
}

/// More than one script looks at, or takes.
#[tokio::test]
async fn many_deliveries_are_filtered_postponed_and_sent_again() {
    let Some(prefix) = Prefix::new() else { return };
    let store = open(&prefix).await;
    let session = with_deliveries(&store, 620).await;
    let known = store.deliveries(session.id).await.unwrap();
    let ids: Vec<u64> = known.iter().map(|delivery| delivery.id).collect();
    store.postpone(&ids, at(50)).await.unwrap();
    assert_eq!(store.bots_with_due_deliveries(at(49), 10).await.unwrap(), []);
    assert_eq!(store.bots_with_due_deliveries(at(50), 10).await.unwrap(), [session.id]);
    for delivery in known.iter().step_by(155) {
        store.record_attempt(delivery.id, attempt(3), DeliveryStatus::Failed).await.unwrap();
    }
    let state = Some(DeliveryState::Failed);
    let mut query = LedgerQuery { state, limit: 3, ..LedgerQuery::default() };
    let first = store.ledger(&session.tenant, &query).await.unwrap();
    query.cursor = first.next;
    let second = store.ledger(&session.tenant, &query).await.unwrap();
    let seen: Vec<u64> = first.deliveries.iter().chain(&second.deliveries).map(|known| known.event.sequence).collect();
    assert_eq!((&seen[..], second.next), (&[466, 311, 156, 1][..], None));
    assert_eq!(store.resend(&ids, at(4)).await.unwrap(), 4);
    assert_eq!(store.bots_with_due_deliveries(at(4), 10).await.unwrap(), [session.id]);
}
