//! What bots were measured to use: it takes over from what was reserved, is learned from, and ends those that use too much.

use std::time::Duration;

use muster_fleet::cost::{Cost, CostBook};
use muster_session::EndReason;
use tokio::time::Instant;

use super::{Eviction, Inner, Occupant, Room};
use crate::roles::worker::bots::Gauge;

/// Between two samples of a bot that are learned from.
const LEARN_EVERY: Duration = Duration::from_secs(30);

impl Room {
    /// What measures those that can be measured; to be given back with what they read.
    pub(in crate::roles::worker) fn take_gauges(&self) -> Vec<(u64, Box<dyn Gauge>)> {
        let mut inner = self.lock();
        inner.seats.iter_mut().filter_map(|(number, seat)| Some((*number, seat.gauge.take()?))).collect()
    }

    /// What a bot uses: memory now, and CPU time since it began. One that was ended and uses nothing any more holds nothing
    /// more, whatever is still to be written about it.
    pub(in crate::roles::worker) fn measured(
        &self,
        number: u64,
        gauge: Box<dyn Gauge>,
        memory_bytes: u64,
        cpu_time: Duration,
    ) {
        let (now, instant) = (self.clock.now(), Instant::now());
        let mut inner = self.lock();
        let Inner { admission, book, fresh, seats, .. } = &mut *inner;
        let Some(seat) = seats.get_mut(&number) else { return };
        seat.gauge = Some(gauge);
        let cpu_millis = seat.last.map(|(then, before)| rate(cpu_time.saturating_sub(before), instant - then));
        seat.last = Some((instant, cpu_time));
        seat.usage = Cost { memory_bytes, cpu_millis: cpu_millis.unwrap_or(0), ..Cost::default() };
        if memory_bytes == 0 && seat.evicted.borrow().is_some() {
            seat.gone = true;
            admission.release(number);
        }
        admission.measure(number, seat.usage);
        if !self.simulated && admission.is_settled(number, now) && now.since(seat.learned) >= LEARN_EVERY {
            seat.learned = now;
            let cost = admission.cost_of(number, now).unwrap_or_default();
            book.record(&seat.kind, cost);
            fresh.record(&seat.kind, cost);
        }
    }

    /// What the machine has left.
    pub(in crate::roles::worker) fn looked(&self, available_bytes: u64) {
        self.lock().admission.look(available_bytes, self.reserve);
        self.changed.notify_one();
    }

    /// True if the machine has so little left that bots are to be measured at once.
    pub(in crate::roles::worker) const fn is_tight(&self, available_bytes: u64) -> bool {
        available_bytes < self.reserve.saturating_mul(2)
    }

    /// Ends those that have more than one may.
    pub(in crate::roles::worker) fn enforce(&self) {
        let inner = self.lock();
        for number in inner.admission.over(self.bot_limit) {
            let Some(seat) = inner.seats.get(&number) else { continue };
            let (used, limit) = (megabytes(seat.usage.memory_bytes), megabytes(self.bot_limit));
            let message =
                format!("The bot used {used} MB of memory, more than the {limit} MB of worker.bot_memory_limit");
            evict(seat, EndReason::OverBudget, message);
        }
    }

    /// Ends one when the machine has too little left. One that uses no more than was held for it may be tried elsewhere.
    pub(in crate::roles::worker) fn relieve(&self) {
        let inner = self.lock();
        // One at a time: what the last one had may not be free yet.
        if inner.seats.values().any(|seat| seat.evicted.borrow().is_some() && !seat.gone) {
            return;
        }
        let Some(number) = inner.admission.relief() else { return };
        let Some(seat) = inner.seats.get(&number) else { return };
        let used = megabytes(seat.usage.memory_bytes);
        if inner.admission.is_within(number) {
            let message = format!(
                "The machine was about to run out of memory through others; this bot used {used} MB, no more than was held for it"
            );
            evict(seat, EndReason::BotCrashed, message);
        } else {
            let message = format!("The machine was about to run out of memory, of which this bot used {used} MB");
            evict(seat, EndReason::OverBudget, message);
        }
    }

    /// What was learned and not written down yet; it is taken.
    pub(in crate::roles::worker) fn take_fresh(&self) -> CostBook {
        std::mem::take(&mut self.lock().fresh)
    }

    /// What all know now, the taken included.
    pub(in crate::roles::worker) fn learn(&self, book: CostBook) {
        let mut inner = self.lock();
        inner.book = book;
        let fresh = inner.fresh.clone();
        inner.book.add(&fresh);
        drop(inner);
        self.changed.notify_one();
    }

    /// What was taken could not be written down.
    pub(in crate::roles::worker) fn unlearned(&self, taken: &CostBook) {
        self.lock().fresh.add(taken);
    }
}

fn evict(seat: &Occupant, reason: EndReason, message: String) {
    if seat.evicted.borrow().is_none() {
        seat.evicted.send_replace(Some(Eviction { reason, message }));
    }
}

const fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

/// Thousandths of a core.
fn rate(cpu_time: Duration, passed: Duration) -> u64 {
    let millis = cpu_time.as_micros().saturating_mul(1_000).checked_div(passed.as_micros()).unwrap_or(0);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
