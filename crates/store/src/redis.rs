//! The store of many machines, in Redis 7.
//!
//! A session is a hash: the record as JSON, and beside it what it is found by, with sorted sets as indexes. `commit` is one
//! script over record, indexes, deliveries and jobs, so there is no state in between, whoever dies. As in the embedded
//! store, the end of a lease may run ahead of the record, because renewals move only the field; reading puts it back.
//!
//! All keys begin with `{prefix}`: one write touches a session, its tenant's lists and the common indexes, so an
//! installation lives in one slot of a cluster, that is, on one of its nodes. A cluster lets installations share nodes; it
//! does not spread one. The scripts make the names of keys from that tag.
//!
//! No key expires by itself: what is kept for a record stays as long as the record, and the control role deletes records
//! when their time has come. So no policy of eviction that spares such keys takes anything.

mod deliveries;
mod endpoints;
mod filling;
mod fleet;
mod inbox;
mod line;
mod list;
mod rest;
mod scripts;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_redis::{FromRedisValue, Inspection, Link, OpenError, Script, ScriptInvocation, Settings, cmd};
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};

/// Of the layout of keys.
const SCHEMA: u32 = 1;
/// Where the settings come from.
const SECTION: muster_redis::Section = "store";

/// A [`SessionStore`] under a prefix of a Redis server.
#[derive(Debug)]
pub struct RedisStore {
    link: Arc<Link>,
    /// What every key begins with.
    tag: String,
}

impl RedisStore {
    /// Opens the store under the prefix; also answers what may lose data in the way the server is set up, in words for a
    /// log. Any number of processes can have it.
    ///
    /// The server has to be there now. Later it may go and come back: meanwhile calls fail at once with
    /// [`StoreError::Unavailable`].
    pub async fn open(settings: &Settings) -> Result<(Self, Vec<String>), OpenError> {
        let opened = muster_redis::open(settings, SECTION, &schema_key(settings), SCHEMA).await?;
        Ok((Self { link: opened.link, tag: tag(settings) }, opened.warnings))
    }

    /// Looks at the server and at what is under the prefix, and writes nothing.
    pub async fn inspect(settings: &Settings) -> Result<Inspection, OpenError> {
        muster_redis::inspect(settings, SECTION, &schema_key(settings), SCHEMA).await
    }

    /// Milliseconds that this machine's clock is ahead of the server's, negative if it is behind; good to half the time that
    /// a command takes. None if the server may not be asked.
    pub async fn clock_ahead_ms(&self) -> Option<i64> {
        self.link.clock_ahead_ms().await.ok()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }

    async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>) + Send,
    ) -> Result<T, StoreError> {
        let mut script = script.key(&self.tag);
        fill(&mut script);
        Ok(self.link.script(&script).await?)
    }
}

fn tag(settings: &Settings) -> String {
    format!("{{{}}}", settings.prefix)
}

fn schema_key(settings: &Settings) -> String {
    format!("{}:schema", tag(settings))
}

/// For short closures over a script, whose methods answer the script.
fn arguments<F>(fill: F) -> impl FnOnce(&mut ScriptInvocation<'_>) + Send
where
    F: for<'a, 'b> FnOnce(&'b mut ScriptInvocation<'a>) -> &'b mut ScriptInvocation<'a> + Send,
{
    move |script| {
        fill(script);
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        sessions::create(self, commit, guard).await
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        sessions::get(self, bot).await
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        Ok(sessions::get(self, bot).await?.filter(|session| session.tenant == *tenant))
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        Ok(sessions::by_transcript(self, transcript).await?.filter(|session| session.tenant == *tenant))
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        sessions::commit(self, commit).await
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        sessions::renew(self, owner, leases, until).await
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        sessions::by_remote(self, source, id).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        list::page(self, tenant, query).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(self, list::DUE, before, limit).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        list::count_due(self, before).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        line::loads(self).await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        line::held(self, tenant, limit).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        line::held_before(self, tenant, bot).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(self, list::LEASE_EXPIRED, now, limit).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(self, list::OVERDUE, now, limit).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        list::reached(self, list::EXPIRED, now, limit).await
    }

    /// Every state is in the answer, those with no session too.
    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        list::count_by_state(self, tenant).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        sessions::delete(self, bot).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        rest::outbox(self, now, limit).await
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        rest::outbox_done(self, ids).await
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        deliveries::read(self, bot, true, limit).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        deliveries::bots_due(self, now, limit).await
    }

    /// [`StoreError::Missing`] if there is no such delivery. One that is delivered stays so, whatever a second sender of
    /// it reports; the attempt is recorded all the same.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        deliveries::record_attempt(self, delivery, &attempt, status).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        deliveries::read(self, bot, false, u32::MAX).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        deliveries::resend(self, deliveries, now).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        deliveries::postpone(self, deliveries, until).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        deliveries::page(self, tenant, query).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        deliveries::notify(self, tenant, &event, endpoints, now).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        endpoints::put(self, endpoint).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        endpoints::get(self, id).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        endpoints::of_tenant(self, tenant).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        endpoints::delete(self, tenant, id).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        inbox::receive(self, &entry).await
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        inbox::by_key(self, key).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        inbox::page(self, tenant, query).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        inbox::counts(self, tenant).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        inbox::forget(self, before, limit).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        rest::append_log(self, bot, fencing, entries).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        rest::log(self, bot, kind, limit).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        rest::put_key(self, key).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        rest::key_by_hash(self, hash).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        rest::keys(self).await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        rest::delete_key(self, hash).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        fleet::lead(self, name, owner, now, until).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        fleet::beat(self, worker).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        fleet::workers(self).await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        fleet::drain(self, worker).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        fleet::forget(self, worker).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        rest::document(self, name).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        rest::put_document(self, document).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.link.run(&cmd("PING")).await?)
    }
}

impl From<muster_redis::Error> for StoreError {
    fn from(error: muster_redis::Error) -> Self {
        Self::Unavailable { detail: error.to_string(), source: Some(Box::new(error)) }
    }
}
