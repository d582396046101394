//! The store of one machine, in an SQLite file.
//!
//! A session is one row: the record as JSON, and beside it what it is found by. The columns are derived from the record
//! at every write, with one exception: `lease_until` may run ahead of the record, because renewals move only the column.
//! Reading a record puts it back, and a commit never moves it backwards for the same lease.

mod conditions;
mod deliveries;
mod documents;
mod endpoints;
mod fleet;
mod inbox;
mod keys;
mod ledger;
mod line;
mod list;
mod log;
mod outbox;
mod record;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;
use muster_embedded::{Database, Durability, OpenError, SchemaVersion};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};

/// The file in the data directory.
const FILE: &str = "store.db";

/// A [`SessionStore`] in `store.db` in a data directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Database,
    keys: keys::Known,
}

impl EmbeddedStore {
    /// Opens the store in this data directory, makes it if it is not there, and migrates what an older release wrote.
    /// Blocks meanwhile.
    ///
    /// One process at a time can have it; another is told so by [`OpenError::InUse`].
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, OpenError> {
        let database = Database::open(&dir.join(FILE), durability, schema::MIGRATIONS)?;
        Ok(Self { database, keys: keys::Known::default() })
    }

    /// Looks at the store in `dir`, which may be in use, and changes nothing; none if there is none.
    pub fn inspect(dir: &Path) -> Result<Option<SchemaVersion>, OpenError> {
        muster_embedded::schema_version(&dir.join(FILE), schema::MIGRATIONS)
    }
}

#[async_trait]
impl SessionStore for EmbeddedStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        self.database.write(move |c| sessions::create(c, commit, guard)).await
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.database.read(move |c| sessions::get(c, bot)).await
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        let tenant = tenant.clone();
        self.database.read(move |c| Ok(sessions::get(c, bot)?.filter(|session| session.tenant == tenant))).await
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        let tenant = tenant.clone();
        let find = move |c: &_| {
            let found = sessions::by_transcript(c, transcript)?;
            Ok(found.filter(|session| session.tenant == tenant))
        };
        self.database.read(find).await
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        self.database.write(move |c| sessions::commit(c, commit)).await
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        let (owner, leases) = (owner.clone(), leases.to_vec());
        self.database.write(move |c| sessions::renew(c, &owner, &leases, until)).await
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        let (source, id) = (source.to_owned(), id.to_owned());
        self.database.read(move |c| sessions::by_remote(c, &source, &id)).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.database.read(move |c| list::page(c, &tenant, &query)).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.database.read(move |c| list::reached(c, list::DUE, before, limit)).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database.read(move |c| list::count_due(c, before)).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        self.database.read(line::loads).await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        let tenant = tenant.clone();
        self.database.read(move |c| line::held(c, &tenant, limit)).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        let tenant = tenant.clone();
        self.database.read(move |c| line::held_before(c, &tenant, bot)).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.database.read(move |c| list::reached(c, list::LEASE_EXPIRED, now, limit)).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.database.read(move |c| list::reached(c, list::OVERDUE, now, limit)).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.database.read(move |c| list::reached(c, list::EXPIRED, now, limit)).await
    }

    /// Every state is in the answer, those with no session too.
    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        let tenant = tenant.cloned();
        self.database.read(move |c| list::count_by_state(c, tenant.as_ref())).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        self.database.write(move |c| sessions::delete(c, bot)).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        self.database.read(move |c| outbox::due(c, now, limit)).await
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.database.write(move |c| outbox::done(c, &ids)).await
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.database.read(move |c| deliveries::pending(c, bot, limit)).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        self.database.read(move |c| deliveries::bots_due(c, now, limit)).await
    }

    /// [`StoreError::Missing`] if there is no such delivery. One that is delivered stays so, whatever a second sender of
    /// it reports; the attempt is recorded all the same.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        self.database.write(move |c| deliveries::record_attempt(c, delivery, attempt, status)).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        self.database.read(move |c| deliveries::all(c, bot)).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        let ids = deliveries.to_vec();
        self.database.write(move |c| deliveries::resend(c, &ids, now)).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        let ids = deliveries.to_vec();
        self.database.write(move |c| deliveries::postpone(c, &ids, until)).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.database.read(move |c| ledger::page(c, &tenant, &query)).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (tenant, endpoints) = (tenant.clone(), endpoints.to_vec());
        self.database.write(move |c| deliveries::add(c, &tenant, &event, (None, &endpoints), now)).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        self.database.write(move |c| endpoints::put(c, endpoint)).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.database.read(move |c| endpoints::get(c, id)).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let tenant = tenant.clone();
        self.database.read(move |c| endpoints::of_tenant(c, &tenant)).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        let tenant = tenant.clone();
        self.database.write(move |c| endpoints::delete(c, &tenant, id)).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        self.database.write(move |c| inbox::receive(c, &entry)).await
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        let key = key.to_owned();
        self.database.read(move |c| inbox::by_key(c, &key)).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.database.read(move |c| inbox::page(c, &tenant, &query)).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        let tenant = tenant.clone();
        self.database.read(move |c| inbox::counts(c, &tenant)).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.database.write(move |c| inbox::forget(c, before, limit)).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        let entries = entries.to_vec();
        self.database.write(move |c| log::append(c, bot, fencing, &entries)).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        let kind = kind.to_owned();
        self.database.read(move |c| log::read(c, bot, &kind, limit)).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.keys.change(self.database.write(move |c| keys::put(c, &key))).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let changes = match self.keys.find(hash) {
            Ok(key) => return Ok(Some(key)),
            Err(changes) => changes,
        };
        let hash = hash.to_owned();
        let found = self.database.read(move |c| keys::by_hash(c, &hash)).await?;
        if let Some(key) = &found {
            self.keys.remember(key, changes);
        }
        Ok(found)
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.database.read(keys::all).await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        let hash = hash.to_owned();
        self.keys.change(self.database.write(move |c| keys::delete(c, &hash))).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.database.write(move |c| fleet::lead(c, &name, &owner, now, until)).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        let worker = worker.clone();
        self.database.write(move |c| fleet::beat(c, &worker)).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        self.database.read(fleet::workers).await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let worker = worker.clone();
        self.database.write(move |c| fleet::drain(c, &worker)).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let worker = worker.clone();
        self.database.write(move |c| fleet::forget(c, &worker)).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        let name = name.to_owned();
        self.database.read(move |c| documents::get(c, name)).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        self.database.write(move |c| documents::put(c, document)).await
    }

    /// Goes through the writer, so it also says that writes are taken.
    async fn ping(&self) -> Result<(), StoreError> {
        self.database.write(|c| Ok(c.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}

impl From<muster_embedded::Error> for StoreError {
    fn from(error: muster_embedded::Error) -> Self {
        if error.is_damage() {
            return Self::Corrupt { detail: format!("the file is damaged: {error}") };
        }
        Self::Unavailable { detail: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        muster_embedded::Error::from(error).into()
    }
}
