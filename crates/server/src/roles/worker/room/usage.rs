//! What bots were measured to use: it takes over from what was reserved, is learned from, and ends those that use too much.

use std::time::Duration;

use muster_fleet::admission::Relief;
use muster_fleet::cost::{Cost, CostBook};
use muster_session::EndReason;
use tokio::time::Instant;

use super::{Eviction, Inner, Occupant, Room};
use crate::roles::worker::bots::Gauge;

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
        let Some(seat) = inner.seats.get_mut(&number) else { return };
        seat.gauge = Some(gauge);
        let cpu_millis = seat.last.map(|(then, before)| rate(cpu_time.saturating_sub(before), instant - then));
        seat.last = Some((instant, cpu_time));
        let usage = Cost { memory_bytes, cpu_millis: cpu_millis.unwrap_or(0), ..Cost::default() };
        seat.usage = usage;
        if memory_bytes == 0 && seat.evicted.borrow().is_some() {
            seat.gone = true;
            self.release(&mut inner, number);
        }
        inner.admission.measure(number, usage, now);
    }

    /// Nothing more is held for a bot, and what it cost is learned from, once. But not of one that had more than any may: that
    /// is not what its kind costs.
    pub(super) fn release(&self, inner: &mut Inner, number: u64) {
        let Some(cost) = inner.admission.release(number).filter(|_| !self.simulated) else { return };
        let Some(seat) = inner.seats.get(&number) else { return };
        if seat.evicted.borrow().as_ref().is_some_and(|why| why.reason == EndReason::OverBudget) {
            return;
        }
        inner.book.record(&seat.kind, cost);
        inner.fresh.record(&seat.kind, cost);
        inner.hold_known(self.declared);
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

    /// Ends one when the machine has too little left. It may have room on another.
    pub(in crate::roles::worker) fn relieve(&self) {
        let inner = self.lock();
        // One at a time: what the last one had may not be free yet.
        if inner.seats.values().any(|seat| seat.evicted.borrow().is_some() && !seat.gone) {
            return;
        }
        let Some(Relief { bot: number, used_bytes, reserved_bytes }) = inner.admission.relief() else { return };
        let Some(seat) = inner.seats.get(&number) else { return };
        let (used, reserved) = (megabytes(used_bytes), megabytes(reserved_bytes));
        let message = format!(
            "The machine was about to run out of memory; this bot used {used} MB, and {reserved} MB were reserved for it"
        );
        evict(seat, EndReason::HostOutOfMemory, message);
    }

    /// What was learned and not written down yet; it is taken.
    pub(in crate::roles::worker) fn take_fresh(&self) -> Fresh<'_> {
        Fresh { room: self, costs: std::mem::take(&mut self.lock().fresh) }
    }

    /// What all know now.
    pub(in crate::roles::worker) fn learn(&self, book: CostBook) {
        let mut inner = self.lock();
        inner.book = book;
        let fresh = inner.fresh.clone();
        inner.book.add(&fresh);
        inner.hold_known(self.declared);
        drop(inner);
        self.changed.notify_one();
    }
}

/// What was learned here and is not written down yet. Dropped before it is, it is kept for the next time.
#[derive(Debug)]
pub(in crate::roles::worker) struct Fresh<'a> {
    room: &'a Room,
    pub(in crate::roles::worker) costs: CostBook,
}

impl Fresh<'_> {
    /// It is written down, or there was nothing; `book` is what all know, with it.
    pub(in crate::roles::worker) fn written(mut self, book: CostBook) {
        self.costs = CostBook::default();
        self.room.learn(book);
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        self.room.lock().fresh.add(&self.costs);
    }
}

impl Inner {
    /// What is known of a kind is held for those of it that are here already, too.
    fn hold_known(&mut self, declared: Cost) {
        let Self { admission, book, seats, .. } = self;
        for (number, seat) in seats {
            admission.known(*number, book.learned(&seat.kind, declared).map(|cost| cost.memory_bytes));
        }
    }
}

pub(super) fn evict(seat: &Occupant, reason: EndReason, message: String) {
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
