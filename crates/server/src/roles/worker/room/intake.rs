//! When a bot is taken: what is received is what fits, but for the dearer kinds, which go back.

use std::time::Duration;

use muster_fleet::admission::Limit;
use muster_fleet::cost::Cost;
use muster_session::Timestamp;

use super::{Inner, Room, whole};

/// Longest that room is kept for a bot that did not fit, while others would.
const PATIENCE: Duration = Duration::from_secs(30);

impl Room {
    /// Waits until a bot of the cheapest known kind fits, or one like that which did not. Cancel safe.
    pub(in crate::roles::worker) async fn has_room(&self) {
        let mut full = None;
        loop {
            let changed = self.changed.notified();
            match self.check() {
                Ok(()) => break,
                Err(limit) if full != Some(limit) => {
                    tracing::info!(%limit, "full: no bot is taken until there is room");
                    full = Some(limit);
                }
                Err(_) => {}
            }
            match self.patience() {
                Some(left) => {
                    let _ = tokio::time::timeout(left, changed).await;
                }
                None => changed.await,
            }
        }
        if full.is_some() {
            tracing::info!("there is room for a bot again");
        }
    }

    pub(super) fn check(&self) -> Result<(), Limit> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.needed = inner.needed.filter(|(_, until)| *until > now);
        inner.admission.check(inner.next_cost(self.declared, now), now)
    }

    /// How long room is still kept for one that did not fit.
    fn patience(&self) -> Option<Duration> {
        let until = self.lock().needed?.1;
        // Later by one, as clocks round.
        Some(until.since(self.clock.now()) + Duration::from_millis(1))
    }

    /// A bot of this cost did not fit: for a while none is taken before one of that cost fits. One that never will is waited
    /// for by nobody.
    pub(in crate::roles::worker) fn keep_room_for(&self, cost: Cost) {
        let until = self.clock.now() + PATIENCE;
        if !self.is_too_small_for(cost) {
            self.lock().needed = Some((cost, until));
        }
    }
}

impl Inner {
    /// What has to fit before a bot is taken.
    pub(super) fn next_cost(&self, declared: Cost, now: Timestamp) -> Cost {
        let needed = self.needed.map_or(Cost::default(), |(cost, _)| cost);
        self.to_hold(self.book.lowest(declared).max(needed).min(whole(self.admission.budget())), declared, now)
    }

    /// What is to be held for a bot of this cost. If it does not fit on an empty machine, it is no more memory than is declared:
    /// what its kind was measured to have may be more than the machine has, and none would ever run that could show that it is
    /// less.
    pub(super) fn to_hold(&self, cost: Cost, declared: Cost, now: Timestamp) -> Cost {
        match self.admission.bots() == 0 && self.admission.check(cost, now).is_err() {
            true => Cost { memory_bytes: cost.memory_bytes.min(declared.memory_bytes), ..cost },
            false => cost,
        }
    }
}
