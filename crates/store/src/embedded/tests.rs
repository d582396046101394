//! The suite on the embedded store, and what only it promises.

mod crash;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use muster_embedded::{Database, Durability, Error, OpenError};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Input, State, TenantId, Timestamp};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{EmbeddedStore, FILE, inbox, ledger, line, list, schema};
use crate::codec::to_json;
use crate::conformance::Fixture;
use crate::conformance::samples::{at, create, moved, queued};
use crate::model::{self, Backend};
use crate::{DeliveryState, InboxOutcome, InboxQuery, LedgerQuery, ListQuery, PlaceChange, SessionStore, StoreError};

struct Directory {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("data"), _dir: dir }
    }
}

#[async_trait]
impl Fixture for Directory {
    async fn open(&self) -> Arc<dyn SessionStore> {
        Arc::new(EmbeddedStore::open(&self.path, Durability::Normal).unwrap())
    }
}

crate::store_conformance!(Directory::new());

impl Backend for Directory {
    const CASES: u32 = 40;

    fn new() -> Self {
        Self::new()
    }
}

#[test]
fn it_behaves_as_lists_do() {
    model::behaves_as_lists_do::<Directory>();
}

#[tokio::test]
async fn one_process_at_a_time() {
    let dir = Directory::new();
    let _store = dir.open().await;
    let refused = EmbeddedStore::open(&dir.path, Durability::Normal).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
}

/// How SQLite means to run a statement, a line for each step.
fn plan(c: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    for index in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(index, 1)?;
    }
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(row.get("detail")?);
    }
    Ok(steps)
}

/// Contract 9, and pages too: found and ordered by an index, however large the table is.
#[tokio::test]
async fn lookups_and_pages_neither_scan_nor_sort() {
    let dir = Directory::new();
    let store = EmbeddedStore::open(&dir.path, Durability::Normal).unwrap();
    let page = |states: &[State], cursor: Option<&str>| {
        let query = ListQuery {
            states: states.to_vec(),
            platform: Some("zoom".into()),
            from: Some(Timestamp::default()),
            cursor: cursor.map(str::to_owned),
            limit: 10,
            ..ListQuery::default()
        };
        list::page_sql(&TenantId::new("t"), &query).unwrap().0
    };
    let deliveries = |state: Option<DeliveryState>, cursor: Option<&str>| {
        let query = LedgerQuery {
            state,
            endpoint: Some(EndpointId::from_uuid(Uuid::nil())),
            event: Some("bot.done".into()),
            from: Some(Timestamp::default()),
            to: Some(Timestamp::default()),
            cursor: cursor.map(str::to_owned),
            limit: 10,
        };
        ledger::page_sql(&TenantId::new("t"), &query).unwrap().0
    };
    let received = |cursor: Option<&str>| {
        let query = InboxQuery {
            source: Some("source".into()),
            outcome: Some(InboxOutcome::Late),
            cursor: cursor.map(str::to_owned),
            ..InboxQuery::default()
        };
        inbox::page_sql(&TenantId::new("t"), &query).unwrap().0
    };
    let statements = [
        deliveries(None, None),
        deliveries(Some(DeliveryState::Failed), None),
        deliveries(Some(DeliveryState::Failed), Some("5-5")),
        deliveries(Some(DeliveryState::Delivered), Some("5-5")),
        received(None),
        received(Some("5-5")),
        list::reached_sql(list::DUE),
        list::reached_sql(list::LEASE_EXPIRED),
        list::reached_sql(list::OVERDUE),
        list::reached_sql(list::EXPIRED),
        page(&[], None),
        page(&[], Some("5-5")),
        page(&[State::Queued], Some("5-5")),
        page(&State::ALL, None),
        page(&State::ALL, Some("5-5")),
    ];
    for sql in statements {
        let text = sql.clone();
        let steps = store.database.read(move |c| plan(c, &text)).await.unwrap();
        assert!(steps.iter().any(|step| step.contains("USING INDEX")), "{sql}: {steps:?}");
        for step in &steps {
            assert!(!step.contains("TEMP B-TREE") && !step.contains("SCAN"), "{sql}: {steps:?}");
        }
    }
}

/// Contract 23 and 25, however many sessions wait for their time to come: none of them is looked at for the others.
#[tokio::test]
async fn the_line_and_what_is_due_are_answered_without_the_sessions() {
    let dir = Directory::new();
    let store = EmbeddedStore::open(&dir.path, Durability::Normal).unwrap();
    let steps = async |sql: String| store.database.read(move |c| plan(c, &sql)).await.unwrap();
    assert_eq!(steps(line::LOADS.into()).await, ["SCAN tenant_load"], "of all tenants");
    for (sql, index) in [
        (list::COUNT_DUE.to_owned(), "session USING COVERING INDEX session_by_due"),
        (list::reached_sql(list::DUE), "session USING INDEX session_by_due"),
        (line::HELD.into(), "line USING PRIMARY KEY"),
        (line::HELD_BEFORE.into(), "line USING PRIMARY KEY"),
        (line::WAITS.into(), "line USING PRIMARY KEY"),
    ] {
        let steps = steps(sql.clone()).await;
        assert!(steps.iter().any(|step| step.contains(index)), "{sql}: {steps:?}");
        for step in &steps {
            assert!(!step.contains("TEMP B-TREE") && !step.contains("SCAN"), "{sql}: {steps:?}");
        }
    }
}

/// Nothing was counted of what a release before wrote: its sessions have no place to give back.
#[tokio::test]
async fn sessions_of_an_older_release_have_no_place() {
    let dir = Directory::new();
    let old = Database::open(&dir.path.join(FILE), Durability::Normal, &schema::MIGRATIONS[..3]).unwrap();
    let crate::Commit { session, .. } = queued("t", at(0));
    let (id, record) = (session.id.to_string(), to_json(&session));
    let write = move |c: &Connection| -> Result<usize, Error> {
        let sql = "INSERT INTO session (id, tenant, version, state, platform, created_at, meeting_key, fencing,
                       stop_requested, record) VALUES (?1, 't', 1, 'queued', 'gmeet', 0, '', 0, 0, ?2)";
        Ok(c.execute(sql, params![id, record])?)
    };
    old.write(write).await.unwrap();
    drop(old);
    let store = dir.open().await;
    let old = store.get(session.id).await.unwrap().unwrap();
    let mut stopped = moved(&old, Input::Stop, at(1));
    stopped.place = PlaceChange::between(old.has_place(), &stopped.session, Some(1));
    store.commit(stopped).await.unwrap();
    assert_eq!(store.loads().await.unwrap(), []);
    create(&*store, crate::Commit { place: PlaceChange::Take { limit: Some(1) }, ..queued("t", at(2)) }).await;
    assert_eq!(store.loads().await.unwrap()[0].taken, 1);
}

/// There are few that failed, among many: they have an index of their own.
#[tokio::test]
async fn failed_deliveries_are_found_without_the_others() {
    let dir = Directory::new();
    let store = EmbeddedStore::open(&dir.path, Durability::Normal).unwrap();
    let failed = LedgerQuery { state: Some(DeliveryState::Failed), limit: 10, ..LedgerQuery::default() };
    let (sql, _) = ledger::page_sql(&TenantId::new("t"), &failed).unwrap();
    let steps = store.database.read(move |c| plan(c, &sql)).await.unwrap();
    assert!(steps.iter().any(|step| step.contains("INDEX delivery_failed")), "{steps:?}");
}

/// What a release before wrote has no time of its making: the event's is the nearest.
#[tokio::test]
async fn deliveries_of_an_older_release_are_in_the_ledger() {
    let dir = Directory::new();
    let old = Database::open(&dir.path.join(FILE), Durability::Normal, &schema::MIGRATIONS[..2]).unwrap();
    let bot = BotId::from_uuid(Uuid::new_v4());
    let event = Event {
        bot,
        sequence: 1,
        at: at(7),
        event: "bot.x".into(),
        bot_event: "bot.x".into(),
        to: None,
        body: serde_json::json!({}),
    };
    let write = move |c: &Connection| -> Result<usize, Error> {
        let sql = "INSERT INTO delivery (bot, tenant, sequence, url, status, event)
                   VALUES (?1, 't', 1, 'https://customer.example/', 'failed', ?2)";
        Ok(c.execute(sql, params![bot.to_string(), to_json(&event)])?)
    };
    old.write(write).await.unwrap();
    drop(old);
    let store = dir.open().await;
    let page = store.ledger(&TenantId::new("t"), &LedgerQuery { limit: 10, ..LedgerQuery::default() }).await.unwrap();
    let [delivery] = &page.deliveries[..] else { panic!("{page:?}") };
    assert_eq!((delivery.event.bot, delivery.made_at, delivery.endpoint), (bot, at(7), None));
    assert_eq!(store.resend(&[delivery.id], at(9)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_said_to_be_corrupt() {
    let dir = Directory::new();
    let store = EmbeddedStore::open(&dir.path, Durability::Normal).unwrap();
    let session = create(&store, queued("t", at(0))).await;
    let spoil = |c: &Connection| -> Result<usize, Error> { Ok(c.execute("UPDATE session SET record = '{}'", [])?) };
    assert_eq!(store.database.write(spoil).await.unwrap(), 1);
    let read = store.get(session.id).await;
    assert!(matches!(&read, Err(StoreError::Corrupt { detail }) if detail.contains("a session")), "{read:?}");
}

/// A key that was found is not looked for again, and yet is never what it no longer is.
#[tokio::test]
async fn a_key_is_what_it_was_changed_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), Durability::Normal).unwrap();
    let key = |name: &str| crate::ApiKey {
        hash: "h".into(),
        tenant: muster_session::TenantId::new("t"),
        name: name.into(),
        prefix: "p".into(),
        created_at: at(0),
    };
    for name in ["first", "second"] {
        store.put_key(&key(name)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(store.key_by_hash("h").await.unwrap(), Some(key(name)));
        }
    }
    // A change that was given up may have been made all the same.
    let given_up = store.delete_key("h");
    tokio::select! { biased; _ = given_up => {} () = std::future::ready(()) => {} }
    store.ping().await.unwrap();
    let stored = store.keys().await.unwrap().pop();
    assert_eq!(store.key_by_hash("h").await.unwrap(), stored);
    store.delete_key("h").await.unwrap();
    assert_eq!(store.key_by_hash("h").await.unwrap(), None);
}
