//! The store in one table of Amazon DynamoDB.
//!
//! | Items | pk | sk |
//! | --- | --- | --- |
//! | record, lease of a session | `bot#ID` | `s#record`, `s#lease` |
//! | its deliveries, in order of sequence | `bot#ID` | `d#SEQUENCE#ID` |
//! | deliveries that are to be made of an event with very many addresses | `bot#ID` | `d#!SEQUENCE#ID` |
//! | its log, a line each | `bot#ID` | `l#LENGTH#KIND#KEY` |
//! | whose a transcript, an id elsewhere, a delivery, a key is | `transcript#ID`, `remote#…`, `delivery#ID`, `idempotency#…`, `deduplication#…` | `at` |
//! | endpoints, by id and with those of their tenant | `endpoint#ID`, `endpoints#TENANT` | `at`, `ID` |
//! | webhooks that came in | `inbox#KEY` | `at` |
//! | jobs that wait to be enqueued | `outbox#SHARD` | `ID`, which sorts by when it is due |
//! | API keys | `keys` | `HASH` |
//! | workers | `workers` | `ID` |
//! | who leads | `lead#NAME` | `at` |
//! | what a tenant has of the fleet; who waits in its line, by age | `load#SHARD`, `line#TENANT` | `TENANT`, `TIME#ID` |
//! | documents | `document#NAME` | `at` |
//! | version of the schema | `meta` | `schema` |
//!
//! What has to agree is written in one transaction, with conditions on what was read; a token that the SDK gives each keeps
//! one that is sent twice from happening twice. A transaction has at most 100 items and 4 MB, an item at most 400 KB: a write
//! beyond that is refused before it is sent, and says which item it is. Only webhooks may be more: what does not fit is written
//! as one item for each event, and made deliveries right after, or by whoever looks first (see `fan`).
//!
//! # What is read how
//!
//! Whatever has a key is read from the table, consistently: records, deliveries of a bot, logs, keys, endpoints, the outbox,
//! places and lines of tenants, documents (contract 5). Pages of a list, of the ledger and of the inbox, the lookups of the
//! control role, bots with due deliveries and counts of sessions go through indexes, which follow the table by some
//! milliseconds. An index only says which records to look at: each is then read consistently and left out if it is no longer
//! what the index said. So what is answered is true; what was written a moment ago may be missing, and comes
//! with the next look. Every index is spread over eight shards, asked side by side and merged, so that no partition takes
//! all the load.
//!
//! Requests that DynamoDB throttles are repeated with growing pauses and counted ([`DynamoStore::throttled`]); so are
//! transactions that others are in the way of. Whoever takes or frees a place waits for the others of its tenant that do, for
//! some seconds at most.
//!
//! The index by state also has deliveries and webhooks that came in, by tenant and time; that by retirement has webhooks that
//! came in by age. Their partitions have names of their own, so what looks for sessions does not meet them.
//!
//! Equal times sort by id, which for new bots is the order of their making. Time to live removes only settled deliveries
//! that should have gone with their record 30 days before, as after a crash in the middle of a deletion, and webhooks that came
//! in 400 days before.

mod deliveries;
mod documents;
mod endpoints;
mod fan;
mod fleet;
mod ids;
mod inbox;
mod item;
mod keys;
mod ledger;
mod line;
mod list;
mod log;
mod merge;
mod migrate;
mod outbox;
mod record;
mod sessions;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use muster_aws::{AwsSettings, SetupError};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};
use ids::Ids;
use item::Key;
use table::Table;

/// For the first byte of an answer. DynamoDB answers within milliseconds or not at all.
const ANSWER: Duration = Duration::from_secs(5);

/// Which table, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoSettings {
    /// Region, address, credentials.
    pub aws: AwsSettings,
    /// Name of the table.
    pub table: String,
}

/// A [`SessionStore`] in a table of Amazon DynamoDB. Any number of processes can have it.
#[derive(Debug)]
pub struct DynamoStore {
    table: Table,
    ids: Ids,
}

impl DynamoStore {
    /// Connects and checks that the table is there with its indexes, its time to live and the schema that this release
    /// knows. Changes nothing, and gives up within seconds.
    pub async fn open(settings: &DynamoSettings) -> Result<Self, SetupError> {
        let config = settings.aws.load_checked(ANSWER, &migrate::USE).await?;
        let looking = Table::new(&muster_aws::brief(&config), &settings.table);
        migrate::verify(&looking).await?;
        Ok(Self { table: looking.with(&config), ids: Ids::new() })
    }

    /// Makes table, indexes and time to live if they are missing; a dry run only says what it would do. Says each step before
    /// it is done; none means that there is nothing to do. Waits until what it makes can be used, which for an index of a
    /// large table takes minutes. No data is touched.
    pub async fn migrate(
        settings: &DynamoSettings,
        dry_run: bool,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), SetupError> {
        let config = settings.aws.load_checked(ANSWER, &migrate::MAKE).await?;
        migrate::migrate(&Table::new(&muster_aws::brief(&config), &settings.table), dry_run, tell).await
    }

    /// Milliseconds that this machine's clock is ahead of the service's, negative if it is behind; good to about a second.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.table.clock_ahead_ms()
    }

    /// Answers so far that asked for fewer requests, those that were waited out included.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.table.throttled()
    }
}

#[async_trait]
impl SessionStore for DynamoStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        sessions::create(&self.table, &self.ids, commit, guard).await
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        record::read(&self.table, bot).await
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        Ok(record::read(&self.table, bot).await?.filter(|session| session.tenant == *tenant))
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        let Some(at) = self.table.get(Key::transcript(transcript)).await? else { return Ok(None) };
        self.get_owned(tenant, item::parse("the bot of a transcript", item::text(&at, "bot")?)?).await
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        sessions::commit(&self.table, &self.ids, commit).await
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        sessions::renew(&self.table, owner, leases, until).await
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        let Some(at) = self.table.get(Key::remote(source, id)).await? else { return Ok(None) };
        self.get(item::parse("the bot of a bot elsewhere", item::text(&at, "bot")?)?).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        list::page(&self.table, tenant, query).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(&self.table, &list::DUE, before, limit).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        list::count(&self.table, &list::DUE, before).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        line::loads(&self.table).await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        line::held(&self.table, tenant, limit).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        line::held_before(&self.table, tenant, bot).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(&self.table, &list::LEASE_EXPIRED, now, limit).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(&self.table, &list::OVERDUE, now, limit).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(&self.table, &list::EXPIRED, now, limit).await
    }

    /// Every state is in the answer, those with no session too. Reads an index entry for every session counted.
    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        list::count_by_state(&self.table, tenant).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        sessions::delete(&self.table, bot).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        outbox::due(&self.table, now, limit).await
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        outbox::done(&self.table, ids).await
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        deliveries::pending(&self.table, &self.ids, bot, limit).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        deliveries::bots_due(&self.table, now, limit).await
    }

    /// [`StoreError::Missing`] if there is no such delivery. One that is delivered stays so, whatever a second sender of
    /// it reports; the attempt is recorded all the same.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        deliveries::record_attempt(&self.table, delivery, attempt, status).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        deliveries::all(&self.table, &self.ids, bot).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        deliveries::resend(&self.table, deliveries, now).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        deliveries::postpone(&self.table, deliveries, until).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        ledger::page(&self.table, tenant, query).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        deliveries::notify(&self.table, &self.ids, tenant, &event, endpoints, now).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        endpoints::put(&self.table, endpoint).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        endpoints::get(&self.table, id).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        endpoints::of_tenant(&self.table, tenant).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        endpoints::delete(&self.table, tenant, id).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        inbox::receive(&self.table, &entry).await
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        inbox::by_key(&self.table, key).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        inbox::page(&self.table, tenant, query).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        inbox::counts(&self.table, tenant).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        inbox::forget(&self.table, before, limit).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        log::append(&self.table, &self.ids, bot, fencing, entries).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        log::read(&self.table, bot, kind, limit).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        keys::put(&self.table, key).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        keys::by_hash(&self.table, hash).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        keys::all(&self.table).await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        keys::delete(&self.table, hash).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        fleet::lead(&self.table, name, owner, now, until).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        fleet::beat(&self.table, worker).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        fleet::workers(&self.table).await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        fleet::drain(&self.table, worker).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        fleet::forget(&self.table, worker).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        documents::get(&self.table, name).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        documents::put(&self.table, document).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.table.get(Key::schema()).await.map(drop)
    }
}
