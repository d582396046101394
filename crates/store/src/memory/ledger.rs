//! The ledger of webhooks.

use std::collections::{BTreeMap, BTreeSet};

use muster_session::event::Event;
use muster_session::{BotId, Session, Timestamp};

use crate::{Attempt, Delivery, DeliveryStatus, StoreError};

/// Deliveries of one bot by sequence and id.
type Ledger = BTreeMap<(u64, u64), Delivery>;

/// Deliveries of all bots.
#[derive(Default)]
pub(super) struct Ledgers {
    of: BTreeMap<BotId, Ledger>,
    made: u64,
    /// Bot and sequence of each delivery by its id.
    places: BTreeMap<u64, (BotId, u64)>,
    /// Bots by the time of their next attempt.
    waiting: BTreeSet<(Timestamp, BotId)>,
}

impl Ledgers {
    /// Makes a pending delivery of every event that has an address.
    pub(super) fn add(&mut self, session: &Session, events: Vec<Event>, now: Timestamp) {
        for event in events {
            let Some(url) = event.to.clone().or_else(|| session.callback_url.clone()) else { continue };
            self.made += 1;
            let (id, bot, sequence) = (self.made, event.bot, event.sequence);
            let (tenant, status) = (session.tenant.clone(), DeliveryStatus::Pending { next_at: now });
            let delivery = Delivery { id, tenant, url, event, status, failures: 0, attempts: Vec::new() };
            self.places.insert(id, (bot, sequence));
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
            self.places.remove(&id);
            self.edit(bot, |ledger| ledger.remove(&place));
        }
        Ok(())
    }

    pub(super) fn replay(&mut self, bot: BotId, sequence: Option<u64>, now: Timestamp) -> u64 {
        let wanted = |known: &&mut Delivery| {
            !is_pending(known) && sequence.is_none_or(|sequence| known.event.sequence == sequence)
        };
        self.edit(bot, |ledger| {
            let replayed = ledger.values_mut().filter(wanted).map(|known| {
                known.status = DeliveryStatus::Pending { next_at: now };
                known.failures = 0;
            });
            replayed.count() as u64
        })
    }

    /// Pending deliveries stay: they were promised.
    pub(super) fn forget_settled(&mut self, bot: BotId) {
        let gone: Vec<(u64, u64)> = self.edit(bot, |ledger| {
            let settled = ledger.extract_if(.., |_, known| !is_pending(known));
            settled.map(|(place, _)| place).collect()
        });
        for (_, id) in gone {
            self.places.remove(&id);
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

fn is_pending(delivery: &Delivery) -> bool {
    matches!(delivery.status, DeliveryStatus::Pending { .. })
}
