//! Endpoints, and webhooks that came in.

use std::collections::BTreeMap;

use muster_session::{EndpointId, TenantId, Timestamp};

use super::{Place, cursor, end};
use crate::codec;
use crate::{Endpoint, InboxCount, InboxEntry, InboxOutcome, InboxPage, InboxQuery, StoreError};

/// Addresses that tenants' webhooks go to.
#[derive(Default)]
pub(super) struct Endpoints(BTreeMap<EndpointId, Endpoint>);

impl Endpoints {
    pub(super) fn put(&mut self, mut endpoint: Endpoint) -> Result<Endpoint, StoreError> {
        let known = self.0.get(&endpoint.id);
        if known.is_some_and(|known| known.tenant != endpoint.tenant)
            || known.map_or(0, |known| known.version) != endpoint.version
        {
            return Err(StoreError::Conflict);
        }
        endpoint.version += 1;
        self.0.insert(endpoint.id, endpoint.clone());
        Ok(endpoint)
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<Endpoint> {
        self.0.get(&id).cloned()
    }

    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Vec<Endpoint> {
        let mut found: Vec<Endpoint> = self.0.values().filter(|endpoint| endpoint.tenant == *tenant).cloned().collect();
        found.sort_by_key(|endpoint| endpoint.created_at);
        found
    }

    pub(super) fn delete(&mut self, tenant: &TenantId, id: EndpointId) -> bool {
        let there = self.0.get(&id).is_some_and(|endpoint| endpoint.tenant == *tenant);
        if there {
            self.0.remove(&id);
        }
        there
    }
}

/// Webhooks that came in, of all tenants.
#[derive(Default)]
pub(super) struct Inbox {
    received: u64,
    /// By when they came in, and among equal ones in the order of coming.
    entries: BTreeMap<Place, InboxEntry>,
    places: BTreeMap<String, Place>,
}

impl Inbox {
    /// False if its key is taken.
    pub(super) fn receive(&mut self, entry: InboxEntry) -> bool {
        if self.has(&entry.key) {
            return false;
        }
        self.received += 1;
        let place = (entry.received_at, self.received);
        self.places.insert(entry.key.clone(), place);
        self.entries.insert(place, entry);
        true
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    pub(super) fn by_key(&self, key: &str) -> Option<InboxEntry> {
        self.entries.get(self.places.get(key)?).cloned()
    }

    pub(super) fn page(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        let end = end(query.to, query.cursor.as_deref())?;
        let newest_first = self.entries.range(..end).rev();
        let found = newest_first.filter(|(_, entry)| entry.tenant == *tenant && is_wanted(entry, query));
        let found = found.map(|(place, entry)| Ok((cursor(*place), entry.clone())));
        let (entries, next) = codec::page(found, query.limit)?;
        Ok(InboxPage { entries, next })
    }

    pub(super) fn counts(&self, tenant: &TenantId) -> Vec<InboxCount> {
        let mut counts = BTreeMap::<(&str, InboxOutcome), u64>::new();
        for entry in self.entries.values().filter(|entry| entry.tenant == *tenant) {
            *counts.entry((&entry.source, entry.outcome)).or_default() += 1;
        }
        let count =
            |((source, outcome), count): ((&str, _), _)| InboxCount { source: source.to_owned(), outcome, count };
        counts.into_iter().map(count).collect()
    }

    pub(super) fn forget(&mut self, before: Timestamp, limit: u32) -> u64 {
        let old = self.entries.extract_if(..(before, 0), |_, _| true).take(limit as usize);
        let forgotten = old.map(|(_, entry)| self.places.remove(&entry.key));
        forgotten.count() as u64
    }
}

fn is_wanted(entry: &InboxEntry, query: &InboxQuery) -> bool {
    query.source.as_ref().is_none_or(|source| entry.source == *source)
        && query.outcome.is_none_or(|outcome| entry.outcome == outcome)
        && query.from.is_none_or(|from| entry.received_at >= from)
}
