//! The suite on DynamoDB, as an emulator plays it, and what no emulator plays.

mod setup;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use muster_aws::testing::{Script, emulator};
use muster_session::Input;
use serde_json::json;

use super::*;
use crate::PlaceChange;
use crate::conformance::Fixture;
use crate::conformance::samples::{
    acquire, at, create, creation, done, joining, moved, new_session, queued, renamed, step,
};
use crate::model::{self, Backend};

/// A table of a test's own. It stays until the emulator ends.
struct OwnTable(DynamoSettings);

impl OwnTable {
    fn new() -> Option<Self> {
        let (aws, table) = emulator()?;
        Some(Self(DynamoSettings { aws, table }))
    }

    async fn store(&self) -> DynamoStore {
        setup::migrate(&self.0, false).await.unwrap();
        DynamoStore::open(&self.0).await.unwrap()
    }
}

#[async_trait]
impl Fixture for OwnTable {
    async fn open(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.store().await)
    }
}

crate::store_conformance!(if_there: OwnTable::new());

impl Backend for OwnTable {
    const CASES: u32 = 3;
    const COUNTS: bool = false;
    const IN_ORDER: bool = false;

    fn new() -> Self {
        Self::new().unwrap()
    }
}

#[test]
fn it_behaves_as_lists_do() {
    if OwnTable::new().is_some() {
        model::behaves_as_lists_do::<OwnTable>();
    }
}

/// Everything that is left in a table, apart from the version of the schema.
async fn left(store: &DynamoStore) -> Vec<(String, String)> {
    let items = store.table.client.scan().table_name(&store.table.name).send().await.unwrap().items.unwrap();
    let keys = items.iter().map(|item| Key::of(item).unwrap()).filter(|key| *key != Key::schema());
    keys.map(|key| (key.pk, key.sk)).collect()
}

#[tokio::test]
async fn what_is_deleted_leaves_no_item_behind() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let mut new = new_session("t");
    new.deduplication_key = Some("booking".into());
    let guard = CreateGuard { idempotency_key: Some("key".into()) };
    let Created::New(session) = store.create(creation(new, at(0)), guard).await.unwrap() else { panic!("it is new") };
    let session = step(&store, &session, acquire("w", &session), at(1)).await;
    let session = step(&store, &session, Input::Stop, at(2)).await;
    let lines: Vec<LogEntry> =
        (0..140).map(|i| LogEntry { kind: "chat".into(), key: i.to_string(), at: at(3), data: json!(i) }).collect();
    // More than a transaction takes, some of it known.
    store.append_log(session.id, session.fencing, &lines[..20]).await.unwrap();
    store.append_log(session.id, session.fencing, &lines).await.unwrap();
    assert_eq!(store.log(session.id, "chat", 200).await.unwrap(), lines);
    for delivery in store.pending_deliveries(session.id, 100).await.unwrap() {
        let attempt = Attempt { at: at(4), http_status: Some(200), latency_ms: 1, detail: String::new(), url: None };
        store.record_attempt(delivery.id, attempt, DeliveryStatus::Delivered).await.unwrap();
    }
    let jobs: Vec<u64> = store.outbox(at(1_000), 100).await.unwrap().iter().map(|job| job.id).collect();
    store.outbox_done(&jobs).await.unwrap();
    assert!(left(&store).await.len() > 140);
    assert!(store.delete(session.id).await.unwrap());
    assert_eq!(left(&store).await, []);
}

#[tokio::test]
async fn what_is_settled_expires_by_itself_and_what_is_pending_does_not() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let session = done(&store, at(0)).await;
    let expiring = async || {
        let items = store.table.client.scan().table_name(&store.table.name).send().await.unwrap().items.unwrap();
        items.iter().filter_map(|item| item::maybe_number::<i64>(item, "expires_s")).collect::<Vec<_>>()
    };
    assert!(expiring().await.is_empty());
    let delivery = store.pending_deliveries(session.id, 1).await.unwrap().remove(0);
    let attempt = Attempt { at: at(4), http_status: Some(200), latency_ms: 1, detail: String::new(), url: None };
    store.record_attempt(delivery.id, attempt, DeliveryStatus::Delivered).await.unwrap();
    let expires = expiring().await;
    assert_eq!(expires.len(), 1);
    assert!(expires[0] > session.expires_at.as_millis() / 1_000 + 29 * 86_400, "long after its record");
    assert_eq!(store.resend(&[delivery.id], at(5)).await.unwrap(), 1);
    assert!(expiring().await.is_empty());
}

#[tokio::test]
async fn what_the_table_cannot_take_is_refused_and_named() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let mut large = new_session("t");
    large.request = json!({"filler": "x".repeat(500 << 10)});
    let refused = store.create(creation(large, at(0)), CreateGuard::default()).await;
    let named =
        |error: &StoreError, what: &str| matches!(error, StoreError::TooLarge { detail } if detail.contains(what));
    assert!(matches!(&refused, Err(error) if named(error, "s#record has ")), "{refused:?}");
    let session = create(&store, queued("t", at(0))).await;
    let line = LogEntry { kind: "chat".into(), key: "1".into(), at: at(1), data: json!("x".repeat(500 << 10)) };
    let refused = store.append_log(session.id, session.fencing, &[line]).await;
    assert!(matches!(&refused, Err(error) if named(error, "l#4#chat#1 has ")), "{refused:?}");
    let mut many = renamed(&session, "many", at(1));
    let job = muster_session::job::Job::Deliver { bot: session.id };
    many.jobs = vec![(job, Duration::ZERO); 101];
    let refused = store.commit(many).await;
    assert!(matches!(&refused, Err(error) if named(error, "at most 100")), "{refused:?}");
    assert_eq!(store.get(session.id).await.unwrap(), Some(session), "nothing of it was written");
    // Just within.
    let mut large = new_session("t");
    large.request = json!({"filler": "x".repeat(390 << 10)});
    create(&store, creation(large, at(0))).await;
}

#[tokio::test]
async fn an_index_that_is_behind_shows_nothing_that_is_not_so() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let held = joining(&store, "w", at(0)).await;
    // As if the index had not heard of the renewal: the lease's item says another time than the one it is found by.
    let update = store.table.client.update_item().table_name(&table.0.table);
    let update = update.set_key(Some(Key::lease(held.id).into_item())).update_expression("SET till = :till");
    let till = AttributeValue::N(at(500).as_millis().to_string());
    update.expression_attribute_values(":till", till).send().await.unwrap();
    assert_eq!(store.lease_expired(at(100), 10).await.unwrap(), []);
    // And of a record that is gone.
    let delete = store.table.client.delete_item().table_name(&table.0.table);
    delete.set_key(Some(Key::record(held.id).into_item())).send().await.unwrap();
    assert_eq!(store.lease_expired(at(1_000), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_item_is_said_to_be_corrupt() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let session = create(&store, queued("t", at(0))).await;
    let update = store.table.client.update_item().table_name(&table.0.table);
    let update = update.set_key(Some(Key::record(session.id).into_item())).update_expression("SET rec = :rec");
    update.expression_attribute_values(":rec", item::s("{}")).send().await.unwrap();
    let read = store.get(session.id).await;
    assert!(matches!(&read, Err(StoreError::Corrupt { detail }) if detail.contains("a session")), "{read:?}");
}

fn scripted<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> (Script, DynamoStore) {
    let script = Script::new(answers);
    let table = Table::new(&script.config(), "muster");
    (script, DynamoStore { table, ids: Ids::new() })
}

const THROTTLED: &str =
    r#"{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow down"}"#;

/// As AWS has it, and no emulator.
#[tokio::test]
async fn throttling_is_waited_out_and_counted() {
    let (script, store) = scripted([(400, THROTTLED), (400, THROTTLED), (200, "{}")]);
    store.ping().await.unwrap();
    assert_eq!((script.asked().len(), store.throttled()), (3, 2));
    let (_, store) = scripted(std::iter::repeat_n((400, THROTTLED), 3));
    let given_up = store.ping().await;
    assert!(
        matches!(&given_up, Err(StoreError::Unavailable { detail, .. }) if detail.contains("slow down")),
        "{given_up:?}"
    );
    assert_eq!(store.throttled(), 3);
}

#[tokio::test]
async fn a_transaction_that_others_are_in_the_way_of_is_tried_again() {
    let conflict = r#"{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "x",
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "x"}]}"#;
    let throttled = conflict.replace("TransactionConflict", "ThrottlingError");
    let (script, store) = scripted([(400, conflict), (400, throttled.as_str()), (200, "{}")]);
    let created = store.create(queued("t", at(0)), CreateGuard::default()).await.unwrap();
    assert!(matches!(created, Created::New(_)));
    assert_eq!(script.asked().len(), 3);
    let (_, store) = scripted(std::iter::repeat_n((400, conflict), 100));
    let given_up = store.create(queued("t", at(0)), CreateGuard::default()).await;
    assert!(matches!(&given_up, Err(StoreError::Unavailable { .. })), "{given_up:?}");
}

fn cancelled(reasons: &str) -> String {
    format!(
        r#"{{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "x",
            "CancellationReasons": [{reasons}]}}"#
    )
}

/// What is there already counts too, and only DynamoDB knows how large it is.
#[tokio::test]
async fn what_dynamodb_finds_too_large_is_no_outage() {
    let size = "Item size to update has exceeded the maximum allowed size";
    let refused = cancelled(&format!(r#"{{"Code": "None"}}, {{"Code": "ValidationError", "Message": "{size}"}}"#));
    let whole = format!(r#"{{"__type": "com.amazon.coral.validate#ValidationException", "message": "{size}"}}"#);
    for answer in [&refused, &whole] {
        let (script, store) = scripted([(400, answer.as_str())]);
        let created = store.create(queued("t", at(0)), CreateGuard::default()).await;
        assert!(
            matches!(&created, Err(StoreError::TooLarge { detail }) if detail.contains("Item size to update")),
            "{created:?}"
        );
        assert_eq!(script.asked().len(), 1);
    }
    let other = cancelled(r#"{"Code": "ValidationError", "Message": "The provided key element does not match"}"#);
    let (_, store) = scripted([(400, other.as_str())]);
    let created = store.create(queued("t", at(0)), CreateGuard::default()).await;
    assert!(matches!(&created, Err(StoreError::Unavailable { .. })), "{created:?}");
}

/// Many bots of one tenant at once are no conflict of any of them.
#[tokio::test]
async fn those_that_take_a_place_wait_for_each_other_but_not_for_ever() {
    let take = || Commit { place: PlaceChange::Take { limit: Some(3) }, ..queued("t", at(0)) };
    let create = async |store: &DynamoStore| store.create(take(), CreateGuard::default()).await;
    let contended = cancelled(r#"{"Code": "None"}, {"Code": "TransactionConflict", "Message": "x"}"#);
    let conflicts = |count| std::iter::repeat_n((400, contended.as_str()), count);
    let (script, store) = scripted(conflicts(15).chain([(200, "{}")]));
    let created = create(&store).await.unwrap();
    assert!(matches!(created, Created::New(_)), "{created:?}");
    assert_eq!(script.asked().len(), 16, "longer than for anything else");
    let (_, store) = scripted(conflicts(100));
    let given_up = create(&store).await;
    assert!(matches!(&given_up, Err(StoreError::Unavailable { .. })), "{given_up:?}");
    // Somebody is writing something else of it: what that is decides.
    let full = r#"{"Code": "ConditionalCheckFailed", "Message": "x", "Item": {"taken_n": {"N": "3"}}}"#;
    let busy = cancelled(&format!(r#"{{"Code": "TransactionConflict", "Message": "x"}}, {full}"#));
    let refused = cancelled(&format!(r#"{{"Code": "None"}}, {full}"#));
    let (script, store) = scripted([(400, busy.as_str()), (400, refused.as_str())]);
    let answer = create(&store).await;
    assert!(matches!(&answer, Err(StoreError::Full { taken: 3 })), "{answer:?}");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn a_lease_that_a_transaction_holds_is_renewed_after_it() {
    let conflict = r#"{"__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException", "message": "x"}"#;
    let (script, store) = scripted([(400, conflict), (200, r#"{"Attributes": {"stopping": {"N": "1"}}}"#)]);
    let lease = LeaseRenewal { bot: queued("t", at(0)).session.id, fencing: 1 };
    let renewed = store.renew(&WorkerId::new("w"), &[lease], at(1)).await.unwrap();
    assert_eq!(renewed, [Renewed::Held { stop_requested: true }]);
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_keeps_no_other() {
    const REFUSED: &str = r#"{"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": "x"}"#;
    let lease = |_| LeaseRenewal { bot: queued("t", at(0)).session.id, fencing: 1 };
    let leases: Vec<LeaseRenewal> = (0..3).map(lease).collect();
    let (_, store) = scripted([(400, REFUSED), (200, r#"{"Attributes": {}}"#), (400, REFUSED)]);
    let mut renewed = store.renew(&WorkerId::new("w"), &leases, at(1)).await.unwrap();
    renewed.sort_by_key(|answer| *answer == Renewed::Unknown);
    assert_eq!(renewed, [Renewed::Held { stop_requested: false }, Renewed::Unknown, Renewed::Unknown]);
    let (_, store) = scripted([(400, REFUSED), (400, REFUSED), (400, REFUSED)]);
    let refused = store.renew(&WorkerId::new("w"), &leases, at(1)).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn what_was_not_processed_is_asked_for_again() {
    let rest = r#"{"Responses": {}, "UnprocessedKeys": {"muster": {"Keys": [{"pk": {"S": "a"}, "sk": {"S": "b"}}]}}}"#;
    let (script, store) = scripted([(200, rest), (200, r#"{"Responses": {}}"#)]);
    assert_eq!(record::read_many(&store.table, &[queued("t", at(0)).session.id]).await.unwrap(), []);
    assert_eq!(script.asked().len(), 2);
    let rest =
        r#"{"UnprocessedItems": {"muster": [{"DeleteRequest": {"Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}}]}}"#;
    let (script, store) = scripted([(200, rest), (200, "{}")]);
    store.outbox_done(&[1, 1]).await.unwrap();
    assert_eq!(script.asked().len(), 2);
    assert_eq!(script.asked()[0].matches("DeleteRequest").count(), 1, "each id once");
}

/// A renewal between reading and committing: the longer time is kept, and a decision that the lease is over is not.
#[tokio::test]
async fn a_commit_that_meets_a_renewal_keeps_it() {
    let Some(table) = OwnTable::new() else { return };
    let store = table.store().await;
    let held = joining(&store, "w", at(0)).await;
    let lease = LeaseRenewal { bot: held.id, fencing: held.fencing };
    store.renew(&WorkerId::new("w"), &[lease], at(900)).await.unwrap();
    let over = Commit { lease_seen: held.lease_until(), ..moved(&held, Input::LeaseExpired, at(400)) };
    assert!(matches!(store.commit(over).await, Err(StoreError::Conflict)));
    let written = store.commit(renamed(&held, "renamed", at(2))).await.unwrap();
    assert_eq!(written.lease_until(), Some(at(900)));
}
