//! Webhooks, both ways.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use muster_session::event::Event;
use muster_session::{BotId, EndpointId, TenantId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::lists::{Lists, is_pending, next_at};
use super::op::{ENDPOINTS, Op, TENANTS};
use super::{Backend, Run, pages};
use crate::conformance::samples::START;
use crate::{
    Attempt, Delivery, DeliveryStatus, Disabled, Endpoint, InboxCount, InboxEntry, InboxOutcome, InboxQuery,
    LedgerQuery, StoreError,
};

impl<B: Backend> Run<B> {
    pub(super) async fn webhook(&mut self, op: Op) {
        let now = self.lists.now;
        match op {
            Op::Attempt { which, end } => {
                let Some(id) = self.lists.delivery(which) else { return };
                let status = match end {
                    0 => DeliveryStatus::Delivered,
                    1 => DeliveryStatus::Failed,
                    _ => DeliveryStatus::Pending { next_at: now + Duration::from_secs(300) },
                };
                let attempt = Attempt { at: now, http_status: Some(200), latency_ms: 7, detail: "x".into(), url: None };
                self.store().record_attempt(id, attempt.clone(), status).await.unwrap();
                self.lists.record_attempt(id, attempt, status);
            }
            Op::Resend(which) => {
                let ids = self.lists.some_deliveries(&which);
                assert_eq!(self.store().resend(&ids, now).await.unwrap(), self.lists.resend(&ids));
            }
            Op::Postpone { which, seconds } => {
                let (ids, until) = (self.lists.some_deliveries(&which), now + Duration::from_secs(seconds));
                self.store().postpone(&ids, until).await.unwrap();
                self.lists.postpone(&ids, until);
            }
            Op::Notify { tenant, subject } => {
                let (tenant, subject) =
                    (TenantId::new(TENANTS[tenant]), BotId::from_uuid(Uuid::from_u128(subject.into())));
                let event = self.lists.notice(subject);
                let endpoints = self.lists.endpoints_of(&tenant);
                self.store().notify(&tenant, event.clone(), &endpoints, now).await.unwrap();
                self.lists.deliver(&tenant, event, None, &endpoints, now);
                self.adopt(subject).await;
            }
            Op::PutEndpoint { which, stale, disabled, some } => {
                let mut endpoint = self.lists.endpoint(which);
                endpoint.version += u64::from(stale);
                endpoint.disabled = disabled.then(|| Disabled { at: now, reason: "gone".into() });
                endpoint.events = if some { vec!["bot.stopped".into()] } else { Vec::new() };
                let answer = self.store().put_endpoint(endpoint.clone()).await;
                if stale {
                    assert!(matches!(answer, Err(StoreError::Conflict)), "{answer:?}");
                    return;
                }
                assert_eq!(answer.unwrap(), self.lists.put_endpoint(endpoint));
            }
            Op::DeleteEndpoint(which) => {
                let Endpoint { id, tenant, .. } = self.lists.endpoint(which);
                let deleted = self.store().delete_endpoint(&tenant, id).await.unwrap();
                assert_eq!(deleted, self.lists.delete_endpoint(id));
            }
            Op::Receive { tenant, key, outcome } => {
                let entry = self.lists.entry(&TenantId::new(TENANTS[tenant]), key, InboxOutcome::ALL[outcome]);
                let received = self.store().receive(entry.clone()).await.unwrap();
                assert_eq!(received, self.lists.receive(entry));
            }
            Op::Forget { seconds, limit } => {
                let before = now - Duration::from_secs(seconds);
                let forgotten = self.store().forget_received(before, limit).await.unwrap();
                let there = self.inbox_of_all().await;
                assert_eq!(forgotten, self.lists.forget_received(before, limit, &there));
            }
            op => unreachable!("{op:?} is no webhook's"),
        }
    }

    async fn inbox_of(&self, tenant: &TenantId) -> Vec<InboxEntry> {
        let page = async |cursor| {
            let query = InboxQuery { cursor, limit: 7, ..InboxQuery::default() };
            let page = self.store().inbox(tenant, &query).await.unwrap();
            (page.entries, page.next)
        };
        pages(page).await
    }

    async fn inbox_of_all(&self) -> Vec<InboxEntry> {
        let mut all = Vec::new();
        for tenant in TENANTS.map(TenantId::new) {
            all.extend(self.inbox_of(&tenant).await);
        }
        all
    }

    pub(super) async fn compare_webhooks(&self, tenant: &TenantId) {
        let (store, lists) = (self.store(), &self.lists);
        assert_eq!(store.endpoints(tenant).await.unwrap(), lists.endpoints_of(tenant)[..]);
        let page = async |cursor| {
            let query = LedgerQuery { cursor, limit: 9, ..LedgerQuery::default() };
            let page = store.ledger(tenant, &query).await.unwrap();
            (page.deliveries, page.next)
        };
        assert_eq!(pages(page).await, lists.ledger(tenant));
        // Which of two that came in at once is first is the store's to say.
        let mut inbox = self.inbox_of(tenant).await;
        assert!(inbox.is_sorted_by_key(|entry| Reverse(entry.received_at)), "{inbox:?}");
        inbox.sort_by_key(|entry| (Reverse(entry.received_at), entry.key.clone()));
        assert_eq!(inbox, lists.inbox_of(tenant));
        let mut counts = store.inbox_counts(tenant).await.unwrap();
        counts.sort_by_key(|count| (count.source.clone(), count.outcome));
        assert_eq!(counts, lists.inbox_counts(tenant));
    }
}

impl Lists {
    /// One of the deliveries, the latest ones first.
    fn delivery(&self, which: usize) -> Option<u64> {
        self.deliveries.iter().rev().nth(which).map(|delivery| delivery.id)
    }

    /// With one that there is not.
    fn some_deliveries(&self, which: &[usize]) -> Vec<u64> {
        which.iter().map(|which| self.delivery(*which).unwrap_or(u64::from(u32::MAX))).collect()
    }

    /// Makes the deliveries of an event, in the order of its addresses.
    pub(super) fn deliver(
        &mut self,
        tenant: &TenantId,
        event: Event,
        callback_url: Option<&url::Url>,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) {
        let own = event.to.as_ref().or(callback_url).map(|url| (url.clone(), None));
        let takers = endpoints.iter().filter(|endpoint| endpoint.takes(&event));
        for (url, endpoint) in own.into_iter().chain(takers.map(|taker| (taker.url.clone(), Some(taker.id)))) {
            self.deliveries_made += 1;
            self.deliveries.push(Delivery {
                id: self.deliveries_made,
                tenant: tenant.clone(),
                url,
                endpoint,
                made_at: now,
                event: event.clone(),
                status: DeliveryStatus::Pending { next_at: now },
                failures: 0,
                attempts: Vec::new(),
            });
        }
    }

    fn record_attempt(&mut self, id: u64, attempt: Attempt, status: DeliveryStatus) {
        let delivery = self.deliveries.iter_mut().find(|delivery| delivery.id == id).unwrap();
        delivery.attempts.push(attempt);
        if delivery.status != DeliveryStatus::Delivered {
            delivery.status = status;
            delivery.failures += u32::from(status != DeliveryStatus::Delivered);
        }
        let (bot, settled) = (delivery.event.bot, !is_pending(delivery));
        if settled && !self.sessions.iter().any(|session| session.id == bot) {
            self.deliveries.retain(|delivery| delivery.id != id);
        }
    }

    fn resend(&mut self, ids: &[u64]) -> u64 {
        let next_at = self.now;
        let wanted = |delivery: &&mut Delivery| ids.contains(&delivery.id) && !is_pending(delivery);
        let resent = self.deliveries.iter_mut().filter(wanted).map(|delivery| {
            delivery.status = DeliveryStatus::Pending { next_at };
            delivery.failures = 0;
        });
        resent.count() as u64
    }

    fn postpone(&mut self, ids: &[u64], until: Timestamp) {
        for delivery in self.deliveries.iter_mut().filter(|delivery| ids.contains(&delivery.id)) {
            if next_at(delivery).is_some_and(|at| at < until) {
                delivery.status = DeliveryStatus::Pending { next_at: until };
            }
        }
    }

    fn notice(&mut self, subject: BotId) -> Event {
        self.notices += 1;
        let (sequence, at, name) = (self.notices, self.now, || "endpoint.disabled".to_owned());
        Event { bot: subject, sequence, at, event: name(), bot_event: name(), to: None, body: json!({}) }
    }

    /// As it is, or as it would be made.
    fn endpoint(&self, which: usize) -> Endpoint {
        assert!(which < ENDPOINTS);
        let id = EndpointId::from_uuid(Uuid::from_u128(which as u128));
        let new = || Endpoint {
            id,
            tenant: TenantId::new(TENANTS[which % TENANTS.len()]),
            version: 0,
            url: format!("https://{which}.example/").parse().unwrap(),
            description: String::new(),
            events: Vec::new(),
            secrets: Vec::new(),
            created_at: START + Duration::from_secs(which as u64),
            failing_since: None,
            disabled: None,
        };
        self.endpoints.iter().find(|known| known.id == id).cloned().unwrap_or_else(new)
    }

    fn put_endpoint(&mut self, mut endpoint: Endpoint) -> Endpoint {
        endpoint.version += 1;
        self.endpoints.retain(|known| known.id != endpoint.id);
        self.endpoints.push(endpoint.clone());
        endpoint
    }

    fn delete_endpoint(&mut self, id: EndpointId) -> bool {
        let before = self.endpoints.len();
        self.endpoints.retain(|known| known.id != id);
        self.endpoints.len() < before
    }

    pub(super) fn endpoints_of(&self, tenant: &TenantId) -> Arc<[Endpoint]> {
        let mut found: Vec<Endpoint> = self.endpoints.iter().filter(|known| known.tenant == *tenant).cloned().collect();
        found.sort_by_key(|known| known.created_at);
        found.into()
    }

    pub(super) fn entry(&self, tenant: &TenantId, key: u8, outcome: InboxOutcome) -> InboxEntry {
        InboxEntry {
            key: format!("key {key}"),
            tenant: tenant.clone(),
            source: format!("source {}", key % 2),
            event: "x".into(),
            outcome,
            bot: None,
            received_at: self.now,
            produced_at: None,
            detail: String::new(),
            body: "{}".into(),
        }
    }

    pub(super) fn is_taken(&self, key: &str) -> bool {
        self.inbox.iter().any(|known| known.key == key)
    }

    /// False if its key is taken.
    pub(super) fn receive(&mut self, entry: InboxEntry) -> bool {
        let free = !self.is_taken(&entry.key);
        if free {
            self.inbox.push(entry);
        }
        free
    }

    /// Which of several that came in at once is left is the store's to say.
    fn forget_received(&mut self, before: Timestamp, limit: u32, left: &[InboxEntry]) -> u64 {
        let mut old: Vec<Timestamp> =
            self.inbox.iter().map(|entry| entry.received_at).filter(|at| *at < before).collect();
        old.sort_unstable();
        old.truncate(limit as usize);
        let (gone, kept): (Vec<_>, Vec<_>) = self.inbox.drain(..).partition(|entry| !left.contains(entry));
        let mut forgotten: Vec<Timestamp> = gone.iter().map(|entry| entry.received_at).collect();
        forgotten.sort_unstable();
        assert_eq!(forgotten, old, "the oldest");
        self.inbox = kept;
        old.len() as u64
    }

    fn inbox_of(&self, tenant: &TenantId) -> Vec<InboxEntry> {
        let mut found: Vec<InboxEntry> = self.inbox.iter().filter(|entry| entry.tenant == *tenant).cloned().collect();
        found.sort_by_key(|entry| (Reverse(entry.received_at), entry.key.clone()));
        found
    }

    fn inbox_counts(&self, tenant: &TenantId) -> Vec<InboxCount> {
        let mut counts: Vec<InboxCount> = Vec::new();
        for entry in self.inbox_of(tenant) {
            match counts.iter_mut().find(|known| (&known.source, known.outcome) == (&entry.source, entry.outcome)) {
                Some(known) => known.count += 1,
                None => counts.push(InboxCount { source: entry.source, outcome: entry.outcome, count: 1 }),
            }
        }
        counts.sort_by_key(|count| (count.source.clone(), count.outcome));
        counts
    }

    fn ledger(&self, tenant: &TenantId) -> Vec<Delivery> {
        let mut found: Vec<Delivery> =
            self.deliveries.iter().filter(|delivery| delivery.tenant == *tenant).cloned().collect();
        found.sort_by_key(|delivery| Reverse((delivery.made_at, delivery.id)));
        found
    }
}
