//! The ledger of webhooks.

use std::collections::{BTreeMap, BTreeSet};

use muster_session::event::Event;
use muster_session::{BotId, TenantId, Timestamp};
use url::Url;

use super::{Place, cursor, end};
use crate::codec;
use crate::{Attempt, Delivery, DeliveryStatus, Endpoint, LedgerPage, LedgerQuery, StoreError, addresses};

/// Deliveries of one bot by sequence and id.
type Ledger = BTreeMap<(u64, u64), Delivery>;

/// Deliveries of all bots.
#[derive(Default)]
pub(super) struct Ledgers {
    of: BTreeMap<BotId, Ledger>,
    made: u64,
    /// Bot and sequence of each delivery by its id.
    places: BTreeMap<u64, (BotId, u64)>,
    /// Ids by the time of making.
    by_time: BTreeSet<Place>,
    /// Bots by the time of their next attempt.
    waiting: BTreeSet<(Timestamp, BotId)>,
}

impl Ledgers {
    /// Makes a pending delivery of an event for each of its addresses.
    pub(super) fn add(
        &mut self,
        tenant: &TenantId,
        event: &Event,
        (callback_url, endpoints): (Option<&Url>, &[Endpoint]),
        now: Timestamp,
    ) {
        for (url, endpoint) in addresses(event, callback_url, endpoints) {
            self.made += 1;
            let (id, bot, sequence) = (self.made, event.bot, event.sequence);
            let delivery = Delivery {
                id,
                tenant: tenant.clone(),
                url: url.clone(),
                endpoint,
                made_at: now,
                event: event.clone(),
                status: DeliveryStatus::Pending { next_at: now },
                failures: 0,
                attempts: Vec::new(),
            };
            self.places.insert(id, (bot, sequence));
            self.by_time.insert((now, id));
            self.edit(bot, |ledger| ledger.insert((sequence, id), delivery));
        }
    }

    pub(super) fn pending(&self, bot: BotId, limit: u32) -> Vec<Delivery> {
        let pending = self.of.get(&bot).into_iter().flat_map(BTreeMap::values).filter(|known| is_pending(known));
        pending.take(limit as usize).cloned().collect()
    }

    pub(super) fn all(&self, bot: BotId) -> Vec<Delivery> {
        self.of.get(&bot).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn get(&self, id: u64) -> Option<&Delivery> {
        let (bot, sequence) = *self.places.get(&id)?;
        self.of.get(&bot)?.get(&(sequence, id))
    }

    pub(super) fn page(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError> {
        let newest_first = self.by_time.range(..end(query.to, query.cursor.as_deref())?).rev();
        let found = newest_first.filter_map(|place| {
            let known = self.get(place.1).filter(|known| known.tenant == *tenant && is_wanted(known, query))?;
            Some(Ok((cursor(*place), known.clone())))
        });
        let (deliveries, next) = codec::page(found, query.limit)?;
        Ok(LedgerPage { deliveries, next })
    }

    pub(super) fn bots_due(&self, now: Timestamp, limit: u32) -> Vec<BotId> {
        let due = self.waiting.iter().take_while(|(at, _)| *at <= now).take(limit as usize);
        due.map(|(_, bot)| *bot).collect()
    }

    pub(super) fn record_attempt(
        &mut self,
        id: u64,
        attempt: Attempt,
        status: DeliveryStatus,
        has_record: impl FnOnce(BotId) -> bool,
    ) -> Result<(), StoreError> {
        let (bot, sequence) = *self.places.get(&id).ok_or(StoreError::Missing)?;
        let place = (sequence, id);
        let settled = self.edit(bot, |ledger| {
            let known = ledger.get_mut(&place).ok_or(StoreError::Missing)?;
            known.attempts.push(attempt);
            // Two senders may have had it. One of them was heard, and that stands.
            if known.status != DeliveryStatus::Delivered {
                known.failures += u32::from(status != DeliveryStatus::Delivered);
                known.status = status;
            }
            Ok::<_, StoreError>(!is_pending(known))
        })?;
        // It outlived its record only to be settled.
        if settled && !has_record(bot) {
            let gone = self.edit(bot, |ledger| ledger.remove(&place));
            self.forget(gone);
        }
        Ok(())
    }

    pub(super) fn resend(&mut self, ids: &[u64], now: Timestamp) -> u64 {
        let mut resent = 0;
        for id in ids {
            self.change(*id, |known| {
                if !is_pending(known) {
                    known.status = DeliveryStatus::Pending { next_at: now };
                    known.failures = 0;
                    resent += 1;
                }
            });
        }
        resent
    }

    pub(super) fn postpone(&mut self, ids: &[u64], until: Timestamp) {
        for id in ids {
            self.change(*id, |known| {
                if let DeliveryStatus::Pending { next_at } = &mut known.status {
                    *next_at = until.max(*next_at);
                }
            });
        }
    }

    /// Pending deliveries stay: they were promised.
    pub(super) fn forget_settled(&mut self, bot: BotId) {
        let gone: Vec<Delivery> = self.edit(bot, |ledger| {
            let settled = ledger.extract_if(.., |_, known| !is_pending(known));
            settled.map(|(_, known)| known).collect()
        });
        self.forget(gone);
    }

    /// What is in no ledger any more.
    fn forget(&mut self, gone: impl IntoIterator<Item = Delivery>) {
        for known in gone {
            self.places.remove(&known.id);
            self.by_time.remove(&(known.made_at, known.id));
        }
    }

    /// Changes a delivery, if it is there.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Delivery)) {
        if let Some((bot, sequence)) = self.places.get(&id).copied() {
            self.edit(bot, |ledger| ledger.get_mut(&(sequence, id)).map(change));
        }
    }

    /// Changes the ledger of a bot, and keeps up with when that bot waits for.
    fn edit<T>(&mut self, bot: BotId, edit: impl FnOnce(&mut Ledger) -> T) -> T {
        let ledger = self.of.entry(bot).or_default();
        let before = next_attempt(ledger);
        let answer = edit(ledger);
        let after = next_attempt(ledger);
        if ledger.is_empty() {
            self.of.remove(&bot);
        }
        if before != after {
            if let Some(at) = before {
                self.waiting.remove(&(at, bot));
            }
            self.waiting.extend(after.map(|at| (at, bot)));
        }
        answer
    }
}

fn next_attempt(ledger: &Ledger) -> Option<Timestamp> {
    let next_at = |known: &Delivery| match known.status {
        DeliveryStatus::Pending { next_at } => Some(next_at),
        DeliveryStatus::Delivered | DeliveryStatus::Failed => None,
    };
    ledger.values().filter_map(next_at).min()
}

fn is_wanted(delivery: &Delivery, query: &LedgerQuery) -> bool {
    let named = |name: &String| [&delivery.event.event, &delivery.event.bot_event].contains(&name);
    query.state.is_none_or(|state| delivery.status.state() == state)
        && query.endpoint.is_none_or(|endpoint| delivery.endpoint == Some(endpoint))
        && query.event.as_ref().is_none_or(named)
        && query.from.is_none_or(|from| delivery.made_at >= from)
}

fn is_pending(delivery: &Delivery) -> bool {
    matches!(delivery.status, DeliveryStatus::Pending { .. })
}
