//! A client that behaves as our callers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};
use tokio::time::Instant;

use crate::faulty::FaultyStore;
use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};

/// Longest time of trying again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries again while the store is unavailable. Where a write may have been carried out before, it looks at what is there,
/// and takes what it meant to write for its own. It doubts only if a call was carried out unheard meanwhile, so that it
/// covers up nothing else.
#[derive(Debug)]
pub(super) struct Insistent {
    store: FaultyStore,
    /// How many calls were carried out without the caller's knowledge.
    unheard: Arc<AtomicU64>,
}

impl Insistent {
    pub(super) fn new(store: FaultyStore, unheard: Arc<AtomicU64>) -> Self {
        Self { store, unheard }
    }

    async fn insist<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt().await {
                Err(StoreError::Unavailable { .. }) if Instant::now() < deadline => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    }

    /// The answer, and whether it may be about what an earlier try has done.
    async fn doubt<T, F>(&self, attempt: impl FnMut() -> F + Send) -> (Result<T, StoreError>, bool)
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let before = self.unheard.load(Ordering::SeqCst);
        let answer = self.insist(attempt).await;
        (answer, self.unheard.load(Ordering::SeqCst) > before)
    }

    /// For what answers whether it was there: it was, if it was there before and an earlier try may have removed it.
    async fn remove<F>(&self, there: bool, attempt: impl FnMut() -> F + Send) -> Result<bool, StoreError>
    where
        F: Future<Output = Result<bool, StoreError>> + Send,
    {
        let (answer, doubt) = self.doubt(attempt).await;
        Ok(answer? || (there && doubt))
    }

    /// The record, if it is the one that was to be written; renewals of its lease apart.
    async fn written(&self, commit: Commit, version: u64, refused: StoreError) -> Result<Session, StoreError> {
        let mut wanted = Session { version, ..commit.session };
        commit.place.note(&mut wanted);
        let Some(stored) = self.get(wanted.id).await? else { return Err(refused) };
        if let (Some(lease), Some(until)) = (&mut wanted.lease, stored.lease_until()) {
            lease.until = until;
        }
        if stored == wanted { Ok(stored) } else { Err(refused) }
    }
}

#[async_trait]
impl SessionStore for Insistent {
    /// A record with the id that it chose is its own.
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        match self.doubt(|| self.store.create(commit.clone(), guard.clone())).await {
            (Ok(Created::Replayed(session) | Created::Duplicate(session)), true) if session.id == commit.session.id => {
                Ok(Created::New(session))
            }
            (Err(refused @ (StoreError::Conflict | StoreError::Seen)), true) => {
                self.written(commit, 1, refused).await.map(Created::New)
            }
            (answer, _) => answer,
        }
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.insist(|| self.store.get(bot)).await
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.insist(|| self.store.get_owned(tenant, bot)).await
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        self.insist(|| self.store.find_transcript(tenant, transcript)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        match self.doubt(|| self.store.commit(commit.clone())).await {
            (Err(refused @ (StoreError::Conflict | StoreError::Seen)), true) => {
                let version = commit.session.version + 1;
                self.written(commit, version, refused).await
            }
            (answer, _) => answer,
        }
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        self.insist(|| self.store.renew(owner, leases, until)).await
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        self.insist(|| self.store.find_remote(source, id)).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        self.insist(|| self.store.list(tenant, query)).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.insist(|| self.store.due(before, limit)).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.insist(|| self.store.count_due(before)).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        self.insist(|| self.store.loads()).await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.insist(|| self.store.held(tenant, limit)).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        self.insist(|| self.store.held_before(tenant, bot)).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.insist(|| self.store.lease_expired(now, limit)).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.insist(|| self.store.overdue(now, limit)).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.insist(|| self.store.expired(now, limit)).await
    }

    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        self.insist(|| self.store.count_by_state(tenant)).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        let there = self.get(bot).await?.is_some();
        self.remove(there, || self.store.delete(bot)).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        self.insist(|| self.store.outbox(now, limit)).await
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        self.insist(|| self.store.outbox_done(ids)).await
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.insist(|| self.store.pending_deliveries(bot, limit)).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        self.insist(|| self.store.bots_with_due_deliveries(now, limit)).await
    }

    /// Again until it is heard, so at least once.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        self.insist(|| self.store.record_attempt(delivery, attempt.clone(), status)).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        self.insist(|| self.store.deliveries(bot)).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        self.insist(|| self.store.resend(deliveries, now)).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        self.insist(|| self.store.postpone(deliveries, until)).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        self.insist(|| self.store.ledger(tenant, query)).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.insist(|| self.store.notify(tenant, event.clone(), endpoints, now)).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        match self.doubt(|| self.store.put_endpoint(endpoint.clone())).await {
            (Err(StoreError::Conflict), true) => {
                let wanted = Endpoint { version: endpoint.version + 1, ..endpoint };
                let stored = self.endpoint(wanted.id).await?;
                if stored.as_ref() == Some(&wanted) { Ok(wanted) } else { Err(StoreError::Conflict) }
            }
            (answer, _) => answer,
        }
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.insist(|| self.store.endpoint(id)).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.insist(|| self.store.endpoints(tenant)).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        let there = self.endpoint(id).await?.is_some_and(|endpoint| endpoint.tenant == *tenant);
        self.remove(there, || self.store.delete_endpoint(tenant, id)).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        match self.doubt(|| self.store.receive(entry.clone())).await {
            (Ok(false), true) => Ok(self.received(&entry.key).await?.as_ref() == Some(&entry)),
            (answer, _) => answer,
        }
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        self.insist(|| self.store.received(key)).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        self.insist(|| self.store.inbox(tenant, query)).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        self.insist(|| self.store.inbox_counts(tenant)).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.insist(|| self.store.forget_received(before, limit)).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.insist(|| self.store.append_log(bot, fencing, entries)).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        self.insist(|| self.store.log(bot, kind, limit)).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.insist(|| self.store.put_key(key)).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.insist(|| self.store.key_by_hash(hash)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.insist(|| self.store.keys()).await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        let there = self.key_by_hash(hash).await?.is_some();
        self.remove(there, || self.store.delete_key(hash)).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.insist(|| self.store.lead(name, owner, now, until)).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        self.insist(|| self.store.beat(worker)).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        self.insist(|| self.store.workers()).await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.insist(|| self.store.drain_worker(worker)).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let there = self.workers().await?.iter().any(|known| known.record.id == *worker);
        self.remove(there, || self.store.forget_worker(worker)).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.insist(|| self.store.document(name)).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        match self.doubt(|| self.store.put_document(document.clone())).await {
            (Err(StoreError::Conflict), true) => {
                let wanted = Document { version: document.version + 1, ..document };
                let stored = self.document(&wanted.name).await?;
                if stored.as_ref() == Some(&wanted) { Ok(wanted) } else { Err(StoreError::Conflict) }
            }
            (answer, _) => answer,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.insist(|| self.store.ping()).await
    }
}
