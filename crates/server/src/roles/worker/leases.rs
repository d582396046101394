//! The leases of a worker: renewed in one batch, and the way a bot hears that it has to go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_session::{BotId, WorkerId};
use muster_store::{LeaseRenewal, Renewed};
use tokio::sync::watch;

use crate::roles::Backend;

/// What a bot's attendant is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Go on.
    Stay,
    /// The caller wants it out.
    Leave,
    /// This worker is going down.
    GoingDown,
    /// The session is somebody else's by now: end the bot, write nothing.
    Lost,
}

#[derive(Clone, Debug)]
pub(super) struct Leases {
    owner: WorkerId,
    ttl: Duration,
    held: Arc<Mutex<BTreeMap<BotId, Held>>>,
}

#[derive(Debug)]
struct Held {
    fencing: u64,
    orders: watch::Sender<Order>,
}

/// A held lease; dropping it stops the renewals.
#[derive(Debug)]
pub(super) struct Holding {
    bot: BotId,
    fencing: u64,
    held: Arc<Mutex<BTreeMap<BotId, Held>>>,
    pub(super) orders: watch::Receiver<Order>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&self.bot).is_some_and(|h| h.fencing == self.fencing) {
            held.remove(&self.bot);
        }
    }
}

impl Leases {
    pub(super) fn new(owner: WorkerId, ttl: Duration) -> Self {
        Self { owner, ttl, held: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, bot: BotId, fencing: u64) -> Holding {
        let (orders, receiver) = watch::channel(Order::Stay);
        if let Some(old) = self.lock().insert(bot, Held { fencing, orders }) {
            raise(&old.orders, Order::Lost);
        }
        Holding { bot, fencing, held: Arc::clone(&self.held), orders: receiver }
    }

    /// How many are held.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.lock().len()).unwrap_or(u32::MAX)
    }

    /// Every bot has to leave: the worker is going down.
    pub(super) fn stop_all(&self) {
        for held in self.lock().values() {
            raise(&held.orders, Order::GoingDown);
        }
    }

    /// Renews for ever. A store that is out of reach is tried again; leases that run out meanwhile are found lost later.
    pub(super) async fn keep(self, backend: Backend, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.renew(&backend).await {
                tracing::warn!(%error, "leases could not be renewed");
            }
        }
    }

    async fn renew(&self, backend: &Backend) -> Result<(), muster_store::StoreError> {
        let asked: Vec<LeaseRenewal> =
            self.lock().iter().map(|(bot, held)| LeaseRenewal { bot: *bot, fencing: held.fencing }).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let until = backend.clock.now() + self.ttl;
        let answers = backend.store.renew(&self.owner, &asked, until).await?;
        let held = self.lock();
        for (lease, answer) in asked.iter().zip(answers) {
            let Some(entry) = held.get(&lease.bot).filter(|h| h.fencing == lease.fencing) else { continue };
            match answer {
                Renewed::Held { stop_requested: false } => {}
                Renewed::Held { stop_requested: true } => raise(&entry.orders, Order::Leave),
                Renewed::Lost => raise(&entry.orders, Order::Lost),
            }
        }
        Ok(())
    }
}

/// Orders only get stronger.
fn raise(orders: &watch::Sender<Order>, order: Order) {
    orders.send_if_modified(|current| {
        let stronger = order > *current;
        if stronger {
            *current = order;
        }
        stronger
    });
}
