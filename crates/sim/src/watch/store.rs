//! The store, looked at, with the bugs that are put in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use muster_server::roles::Role;
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};
use muster_store::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, PlaceChange, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};

use super::{nobody_waits_in_vain, places_are_right, written};
use crate::Plant;
use crate::node::{FLEET, worker_id};
use crate::world::{Life, World};

/// The store as the process of one life has it.
#[derive(Debug)]
pub struct WatchedStore {
    world: Arc<World>,
    life: Life,
    /// For [`Plant::NoFencing`]: the tokens that this process once had.
    tokens: Mutex<BTreeMap<BotId, u64>>,
}

impl WatchedStore {
    /// As the process of this life has it.
    #[must_use]
    pub fn new(world: Arc<World>, life: Life) -> Self {
        Self { world, life, tokens: Mutex::default() }
    }

    fn has(&self, plant: Plant) -> bool {
        self.world.plant == Some(plant)
    }

    /// A worker without a fencing check finds every session that it once had as it left it.
    fn without_fencing(&self, mut session: Session) -> Session {
        if self.has(Plant::NoFencing) && session.state.is_live() {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            session.fencing = tokens.get(&session.id).copied().unwrap_or(session.fencing);
        }
        session
    }

    /// The write of a worker without a fencing check keeps the token that is stored.
    fn with_the_token_of(&self, mut commit: Commit, before: Option<&Session>) -> Commit {
        if !self.has(Plant::NoFencing) || FLEET[self.life.node] != Role::Worker {
            return commit;
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let acquires =
            before.is_some_and(|before| before.state == State::Queued) && commit.session.state == State::Joining;
        if acquires && commit.session.lease.as_ref().is_some_and(|lease| lease.owner == worker_id(self.life)) {
            tokens.insert(commit.session.id, commit.session.fencing);
        } else if let Some(before) = before {
            commit.session.fencing = commit.session.fencing.max(before.fencing);
        }
        commit
    }
}

#[async_trait]
impl SessionStore for WatchedStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        let events = commit.events.clone();
        let created = self.world.store.create(commit, guard).await?;
        if let Created::New(session) = &created {
            written(&self.world, self.life, None, session, &events);
            nobody_waits_in_vain(&self.world).await;
            places_are_right(&self.world).await;
        }
        Ok(created)
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        Ok(self.world.store.get(bot).await?.map(|session| self.without_fencing(session)))
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        self.world.store.get_owned(tenant, bot).await
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        self.world.store.find_transcript(tenant, transcript).await
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        let before = self.world.store.get(commit.session.id).await?;
        let mut commit = self.with_the_token_of(commit, before.as_ref());
        if let (true, Some(before)) = (self.has(Plant::DoubleTerminal), &before) {
            (commit.session.version, commit.lease_seen) = (before.version, None);
        }
        if self.has(Plant::KeptPlaces) && commit.place == PlaceChange::Free {
            commit.place = PlaceChange::Keep;
        }
        let events = commit.events.clone();
        let after = self.world.store.commit(commit).await?;
        written(&self.world, self.life, before.as_ref(), &after, &events);
        nobody_waits_in_vain(&self.world).await;
        places_are_right(&self.world).await;
        Ok(after)
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        let answers = self.world.store.renew(owner, leases, until).await?;
        if self.has(Plant::NoFencing) {
            return Ok(vec![Renewed::Held { stop_requested: false }; leases.len()]);
        }
        Ok(answers)
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        self.world.store.find_remote(source, id).await
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        self.world.store.list(tenant, query).await
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.world.store.due(before, limit).await
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.world.store.count_due(before).await
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        self.world.store.loads().await
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.world.store.held(tenant, limit).await
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        self.world.store.held_before(tenant, bot).await
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.world.store.lease_expired(now, limit).await
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.world.store.overdue(now, limit).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.world.store.expired(now, limit).await
    }

    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        self.world.store.count_by_state(tenant).await
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        self.world.store.delete(bot).await
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        let jobs = self.world.store.outbox(now, limit).await?;
        if self.has(Plant::LostOutbox) {
            let ids: Vec<u64> = jobs.iter().map(|job| job.id).collect();
            self.outbox_done(&ids).await?;
        }
        Ok(jobs)
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        self.world.store.outbox_done(ids).await?;
        nobody_waits_in_vain(&self.world).await;
        Ok(())
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.world.store.pending_deliveries(bot, limit).await
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        self.world.store.bots_with_due_deliveries(now, limit).await
    }

    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        self.world.store.record_attempt(delivery, attempt, status).await
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        self.world.store.deliveries(bot).await
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        self.world.store.resend(deliveries, now).await
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        self.world.store.postpone(deliveries, until).await
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        self.world.store.ledger(tenant, query).await
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.world.store.notify(tenant, event, endpoints, now).await
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        self.world.store.put_endpoint(endpoint).await
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        self.world.store.endpoint(id).await
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.world.store.endpoints(tenant).await
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        self.world.store.delete_endpoint(tenant, id).await
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        self.world.store.receive(entry).await
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        self.world.store.received(key).await
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        self.world.store.inbox(tenant, query).await
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        self.world.store.inbox_counts(tenant).await
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.world.store.forget_received(before, limit).await
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.world.store.append_log(bot, fencing, entries).await
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        self.world.store.log(bot, kind, limit).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.world.store.put_key(key).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        self.world.store.key_by_hash(hash).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.world.store.keys().await
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        self.world.store.delete_key(hash).await
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.world.store.lead(name, owner, now, until).await
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        self.world.store.beat(worker).await
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        self.world.store.workers().await
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.world.store.drain_worker(worker).await
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.world.store.forget_worker(worker).await
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        self.world.store.document(name).await
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        self.world.store.put_document(document).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.world.store.ping().await
    }
}
