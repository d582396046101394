//! Webhooks, both ways: what is stored of them, and what takes more than a transaction.

use std::sync::Arc;

use muster_session::event::Event;
use muster_session::{EndpointId, Outcome, Remote};
use serde_json::json;
use uuid::Uuid;

use super::super::*;
use super::{OwnTable, left};
use crate::conformance::samples::{at, create, creation, new_session, queued, url};
use crate::{DeliveryState, InboxOutcome, addresses};

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

/// A write of two events to the bot's own address and to more endpoints than a transaction takes.
fn large(session: Session) -> Commit {
    let outcome = Outcome { events: vec![event(session.id, 1), event(session.id, 2)], jobs: Vec::new() };
    let endpoints = (1..=60).map(endpoint).collect();
    Commit { endpoints, ..Commit::new(session, outcome, at(2)) }
}

/// Sequence and endpoint of each, as they are to be.
fn wanted(commit: &Commit) -> Vec<(u64, Option<EndpointId>)> {
    let of = |event| addresses(event, commit.session.callback_url.as_ref(), &commit.endpoints);
    commit.events.iter().flat_map(|event| of(event).map(|(_, endpoint)| (event.sequence, endpoint))).collect()
}

fn made(deliveries: &[Delivery]) -> Vec<(u64, Option<EndpointId>)> {
    deliveries.iter().map(|delivery| (delivery.event.sequence, delivery.endpoint)).collect()
}

#[tokio::test]
async fn an_event_has_more_addresses_than_a_transaction_takes() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let session = create(&store, queued("t", at(0))).await;
    let commit = large(session.clone());
    let wanted = wanted(&commit);
    store.commit(commit).await.unwrap();
    let pending = store.pending_deliveries(session.id, 1_000).await.unwrap();
    assert_eq!(made(&pending), wanted);
    assert!(left(&store).await.iter().all(|(_, sk)| !sk.starts_with("d#!")), "nothing is still to be made");
    let query = LedgerQuery { endpoint: Some(endpoint(60).id), limit: 10, ..LedgerQuery::default() };
    let found = store.ledger(&session.tenant, &query).await.unwrap().deliveries;
    assert_eq!(found.iter().map(|delivery| delivery.event.sequence).collect::<Vec<_>>(), [2, 1]);
    for delivery in &pending {
        store.record_attempt(delivery.id, attempt(3), DeliveryStatus::Failed).await.unwrap();
    }
    let query = LedgerQuery { state: Some(DeliveryState::Failed), limit: 1_000, ..LedgerQuery::default() };
    assert_eq!(store.ledger(&session.tenant, &query).await.unwrap().deliveries.len(), wanted.len());
    let ids: Vec<u64> = pending.iter().map(|delivery| delivery.id).collect();
    assert_eq!(store.resend(&ids, at(4)).await.unwrap(), wanted.len() as u64);
    store.postpone(&ids, at(50)).await.unwrap();
    assert_eq!(store.bots_with_due_deliveries(at(49), 10).await.unwrap(), []);
}

/// Whoever wrote them died right after. Several find them at once.
#[tokio::test]
async fn deliveries_that_were_not_made_yet_are_made_once_by_whoever_looks() {
    let Some(table) = OwnTable::new() else { return };
    let store = Arc::new(table.store().await);
    let session = create(&*store, queued("t", at(0))).await;
    let commit = large(session.clone());
    let mut writes = write::Writes::new(&store.table.name);
    let fans = deliveries::add(&mut writes, &store.ids, &session, &commit);
    assert_eq!((writes.len(), fans.len()), (2, 2));
    store.table.transact(writes.into_vec()).await.unwrap().unwrap();
    assert_eq!(store.bots_with_due_deliveries(at(2), 10).await.unwrap(), [session.id]);
    assert!(store.delete(session.id).await.unwrap(), "they outlive their record");
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, bot) = (Arc::clone(&store), session.id);
        looks.spawn(async move { store.pending_deliveries(bot, 1_000).await.unwrap() });
    }
    for pending in looks.join_all().await {
        assert_eq!(made(&pending), wanted(&commit));
    }
    for delivery in store.deliveries(session.id).await.unwrap() {
        store.record_attempt(delivery.id, attempt(3), DeliveryStatus::Delivered).await.unwrap();
    }
    let left = left(&store).await;
    assert!(left.iter().all(|(pk, _)| pk.starts_with("outbox#")), "{left:?}");
}

#[tokio::test]
async fn what_went_out_and_came_in_leaves_no_item_behind() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
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

    assert!(store.delete(session.id).await.unwrap());
    assert!(store.delete_endpoint(&tenant, endpoint.id).await.unwrap());
    assert_eq!(store.forget_received(at(9), 10).await.unwrap(), 2);
    for bot in [session.id, subject] {
        for delivery in store.pending_deliveries(bot, 10).await.unwrap() {
            store.record_attempt(delivery.id, attempt(4), DeliveryStatus::Delivered).await.unwrap();
        }
    }
    let jobs: Vec<u64> = store.outbox(at(100), 100).await.unwrap().iter().map(|job| job.id).collect();
    store.outbox_done(&jobs).await.unwrap();
    assert_eq!(left(&store).await, []);
}

#[tokio::test]
async fn deliveries_of_the_release_before_are_read() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let session = create(&store, queued("t", at(0))).await;
    let outcome = Outcome { events: vec![event(session.id, 1)], jobs: Vec::new() };
    store.commit(Commit::new(session.clone(), outcome, at(2))).await.unwrap();
    let known = store.deliveries(session.id).await.unwrap().remove(0);
    let key = Key::delivery(session.id, 1, known.id);
    let update = store.table.client.update_item().table_name(&table.0.table).set_key(Some(key.into_item()));
    update.update_expression("REMOVE made_ms, state_h, list_r").send().await.unwrap();
    let read = store.deliveries(session.id).await.unwrap();
    assert_eq!(read, [Delivery { made_at: at(1), ..known.clone() }], "made when its event happened");
    store.record_attempt(known.id, attempt(3), DeliveryStatus::Failed).await.unwrap();
    assert_eq!(store.resend(&[known.id], at(4)).await.unwrap(), 1);
}

/// The index by time of what is forgotten follows the table.
#[tokio::test]
async fn what_came_in_again_is_not_forgotten_for_what_it_was() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let (first, again) = (received("one", 1), received("one", 9));
    assert!(store.receive(again.clone()).await.unwrap());
    assert!(!inbox::remove(&store.table, &inbox::item(&first)).await.unwrap());
    assert_eq!(store.received("one").await.unwrap(), Some(again));
}
