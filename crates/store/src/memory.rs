//! The store in memory, for tests and for the simulation.
//!
//! It does what the contract says and nothing by itself: no clock, no threads, no randomness, and nothing is looked up or
//! listed in an order that differs from run to run. A method never waits, so it is done when it is first polled. What it
//! holds outlives whoever has it open: a clone is what another process would open.

mod contents;
mod ledger;
mod line;
mod list;
mod rest;
mod sessions;
#[cfg(test)]
mod tests;
mod webhooks;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use crate::codec::Cursor;
use crate::{
    ApiKey, Attempt, Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxCount,
    InboxEntry, InboxPage, InboxQuery, KnownWorker, LeaseRenewal, LedgerPage, LedgerQuery, ListQuery, LogEntry,
    OutboxJob, Page, Renewed, SessionStore, StoreError, TenantLoad, WorkerRecord,
};
use contents::Contents;

/// A [`SessionStore`] in memory. Clones share what is stored.
#[derive(Clone, Default)]
pub struct MemoryStore {
    contents: Arc<Mutex<Contents>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Contents) -> T) -> T {
        act(&mut self.contents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        self.with(|all| all.create(commit, guard))
    }

    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.get(bot).cloned()))
    }

    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.get(bot).filter(|session| session.tenant == *tenant).cloned()))
    }

    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: TranscriptId,
    ) -> Result<Option<Session>, StoreError> {
        let found = |all: &mut Contents| all.sessions.by_transcript(transcript).cloned();
        Ok(self.with(found).filter(|session| session.tenant == *tenant))
    }

    async fn commit(&self, commit: Commit) -> Result<Session, StoreError> {
        self.with(|all| all.commit(commit))
    }

    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError> {
        Ok(self.with(|all| leases.iter().map(|lease| all.sessions.renew(owner, *lease, until)).collect()))
    }

    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.by_remote(source, id).cloned()))
    }

    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError> {
        self.with(|all| all.sessions.page(tenant, query))
    }

    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.reached(list::DUE, before, limit)))
    }

    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.with(|all| all.sessions.count_due(before)))
    }

    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError> {
        Ok(self.with(|all| all.sessions.line.loads()))
    }

    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.held(tenant, limit)))
    }

    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
        Ok(self.with(|all| all.sessions.held_before(tenant, bot)))
    }

    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.reached(list::LEASE_EXPIRED, now, limit)))
    }

    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.reached(list::OVERDUE, now, limit)))
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError> {
        Ok(self.with(|all| all.sessions.reached(list::EXPIRED, now, limit)))
    }

    /// Every state is in the answer, those with no session too.
    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError> {
        Ok(self.with(|all| all.sessions.count_by_state(tenant)))
    }

    async fn delete(&self, bot: BotId) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.delete(bot)))
    }

    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError> {
        Ok(self.with(|all| all.outbox.due(now, limit)))
    }

    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError> {
        self.with(|all| all.outbox.done(ids));
        Ok(())
    }

    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.with(|all| all.ledgers.pending(bot, limit)))
    }

    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError> {
        Ok(self.with(|all| all.ledgers.bots_due(now, limit)))
    }

    /// [`StoreError::Missing`] if there is no such delivery. One that is delivered stays so, whatever a second sender of
    /// it reports; the attempt is recorded all the same.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError> {
        self.with(|Contents { ledgers, sessions, .. }| {
            ledgers.record_attempt(delivery, attempt, status, |bot| sessions.get(bot).is_some())
        })
    }

    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.with(|all| all.ledgers.all(bot)))
    }

    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError> {
        Ok(self.with(|all| all.ledgers.resend(deliveries, now)))
    }

    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError> {
        self.with(|all| all.ledgers.postpone(deliveries, until));
        Ok(())
    }

    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        self.with(|all| all.ledgers.page(tenant, query))
    }

    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.with(|all| all.ledgers.add(tenant, &event, (None, endpoints), now));
        Ok(())
    }

    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        self.with(|all| all.endpoints.put(endpoint))
    }

    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.with(|all| all.endpoints.get(id)))
    }

    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        Ok(self.with(|all| all.endpoints.of_tenant(tenant)))
    }

    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.endpoints.delete(tenant, id)))
    }

    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.inbox.receive(entry)))
    }

    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError> {
        Ok(self.with(|all| all.inbox.by_key(key)))
    }

    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        self.with(|all| all.inbox.page(tenant, query))
    }

    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError> {
        Ok(self.with(|all| all.inbox.counts(tenant)))
    }

    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(self.with(|all| all.inbox.forget(before, limit)))
    }

    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.with(|all| {
            let held = |session: &&Session| session.fencing == fencing && session.lease.is_some();
            all.sessions.get(bot).filter(held).ok_or(StoreError::Fenced)?;
            all.logs.append(bot, entries);
            Ok(())
        })
    }

    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        Ok(self.with(|all| all.logs.read(bot, kind, limit)))
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.with(|all| all.fleet.put_key(key));
        Ok(())
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.with(|all| all.fleet.key_by_hash(hash)))
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.with(|all| all.fleet.keys()))
    }

    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.fleet.delete_key(hash)))
    }

    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.fleet.lead(name, owner, now, until)))
    }

    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.fleet.beat(worker)))
    }

    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        Ok(self.with(|all| all.fleet.workers()))
    }

    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.fleet.drain(worker)))
    }

    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        Ok(self.with(|all| all.fleet.forget(worker)))
    }

    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError> {
        Ok(self.with(|all| all.documents.get(name)))
    }

    async fn put_document(&self, document: Document) -> Result<Document, StoreError> {
        self.with(|all| all.documents.put(document))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A time, and a number among equal ones.
type Place = (Timestamp, u64);

/// The place before which the newest entry of a page is.
fn end(to: Option<Timestamp>, cursor: Option<&str>) -> Result<Place, StoreError> {
    const AFTER_ALL: Place = (Timestamp::from_millis(i64::MAX), u64::MAX);
    let before = to.map_or(AFTER_ALL, |to| (to, 0));
    let Some(text) = cursor else { return Ok(before) };
    let Cursor { created_at, seq } = Cursor::read(text).ok_or(StoreError::BadCursor)?;
    let seq = u64::try_from(seq).map_err(|_| StoreError::BadCursor)?;
    Ok(before.min((Timestamp::from_millis(created_at), seq)))
}

fn cursor((at, seq): Place) -> Cursor {
    Cursor { created_at: at.as_millis(), seq: seq.cast_signed() }
}
