//! A store behind which things go wrong as planned: what a caller sees of a network, of a throttled backend, and of
//! libraries that try again by themselves.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_faults::Plan;
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};

/// A [`SessionStore`] whose calls meet the faults of a [`Plan`]. The plan is asked by the name of the method.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    store: Arc<dyn SessionStore>,
    plan: Arc<dyn Plan>,
}

impl FaultyStore {
    /// What is between the caller and `store` goes as planned.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, plan: Arc<dyn Plan>) -> Self {
        Self { store, plan }
    }

    async fn call<T, F>(&self, operation: &'static str, make: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        muster_faults::call(&*self.plan, operation, unavailable, make).await
    }
}

fn unavailable(detail: &'static str) -> StoreError {
    StoreError::Unavailable { detail: detail.to_owned(), source: None }
}

#[async_trait]
impl SessionStore for FaultyStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        self.call("create", || self.store.create(commit.clone(), guard.clone())).await
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.call("get", || self.store.get(bot)).await
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.call("get_owned", || self.store.get_owned(tenant, bot)).await
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        self.call("find_transcript", || self.store.find_transcript(tenant, transcript)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        self.call("commit", || self.store.commit(commit.clone())).await
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        self.call("renew", || self.store.renew(owner, leases, until)).await
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        self.call("find_remote", || self.store.find_remote(source, id)).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        self.call("list", || self.store.list(tenant, query)).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.call("due", || self.store.due(before, limit)).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.call("count_due", || self.store.count_due(before)).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        self.call("loads", || self.store.loads()).await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.call("held", || self.store.held(tenant, limit)).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        self.call("held_before", || self.store.held_before(tenant, bot)).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.call("lease_expired", || self.store.lease_expired(now, limit)).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.call("overdue", || self.store.overdue(now, limit)).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.call("expired", || self.store.expired(now, limit)).await
    }

    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        self.call("count_by_state", || self.store.count_by_state(tenant)).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        self.call("delete", || self.store.delete(bot)).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        self.call("outbox", || self.store.outbox(now, limit)).await
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        self.call("outbox_done", || self.store.outbox_done(ids)).await
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.call("pending_deliveries", || self.store.pending_deliveries(bot, limit)).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        self.call("bots_with_due_deliveries", || self.store.bots_with_due_deliveries(now, limit)).await
    }

    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        self.call("record_attempt", || self.store.record_attempt(delivery, attempt.clone(), status)).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        self.call("deliveries", || self.store.deliveries(bot)).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        self.call("resend", || self.store.resend(deliveries, now)).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        self.call("postpone", || self.store.postpone(deliveries, until)).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        self.call("ledger", || self.store.ledger(tenant, query)).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.call("notify", || self.store.notify(tenant, event.clone(), endpoints, now)).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        self.call("put_endpoint", || self.store.put_endpoint(endpoint.clone())).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.call("endpoint", || self.store.endpoint(id)).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.call("endpoints", || self.store.endpoints(tenant)).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        self.call("delete_endpoint", || self.store.delete_endpoint(tenant, id)).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        self.call("receive", || self.store.receive(entry.clone())).await
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        self.call("received", || self.store.received(key)).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        self.call("inbox", || self.store.inbox(tenant, query)).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        self.call("inbox_counts", || self.store.inbox_counts(tenant)).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.call("forget_received", || self.store.forget_received(before, limit)).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.call("append_log", || self.store.append_log(bot, fencing, entries)).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        self.call("log", || self.store.log(bot, kind, limit)).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.call("put_key", || self.store.put_key(key)).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.call("key_by_hash", || self.store.key_by_hash(hash)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.call("keys", || self.store.keys()).await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        self.call("delete_key", || self.store.delete_key(hash)).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.call("lead", || self.store.lead(name, owner, now, until)).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        self.call("beat", || self.store.beat(worker)).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        self.call("workers", || self.store.workers()).await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.call("drain_worker", || self.store.drain_worker(worker)).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.call("forget_worker", || self.store.forget_worker(worker)).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.call("document", || self.store.document(name)).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        self.call("put_document", || self.store.put_document(document.clone())).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("ping", || self.store.ping()).await
    }
}
