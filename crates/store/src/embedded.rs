//! The store of one machine, in an SQLite file.
//!
//! A session is one row: the record as JSON, and beside it what it is found by. The columns are derived from the record
//! at every write, with one exception: `lease_until` may run ahead of the record, because renewals move only the column.
//! Reading a record puts it back, and a commit never moves it backwards for the same lease.

mod deliveries;
mod fleet;
mod keys;
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
use muster_session::{BotId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, KnownWorker, LeaseRenewal, ListQuery,
    LogEntry, OutboxJob, Page, Renewed, SessionStore, StoreError, WorkerRecord,
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

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.database.read(move |c| list::page(c, &tenant, &query)).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.database.read(move |c| list::reached(c, list::DUE, before, limit)).await
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

    async fn replay(&self, bot: BotId, sequence: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        self.database.write(move |c| deliveries::replay(c, bot, sequence, now)).await
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
