//! The leases of a worker: renewed in one batch, and the way a bot hears that it has to go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_session::{BotId, Timestamp, WorkerId};
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
    until: watch::Sender<Timestamp>,
}

/// A held lease; dropping it stops the renewals.
#[derive(Debug)]
pub(super) struct Holding {
    bot: BotId,
    fencing: u64,
    held: Arc<Mutex<BTreeMap<BotId, Held>>>,
    orders: watch::Receiver<Order>,
    until: watch::Receiver<Timestamp>,
}

/// What an attendant hears from the leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Do this.
    Order(Order),
    /// The lease was renewed until then.
    Held(Timestamp),
}

impl Holding {
    /// The next word. Cancel safe. Not to be called again after [`Order::Lost`].
    pub(super) async fn hear(&mut self) -> Word {
        tokio::select! {
            biased;
            changed = self.orders.changed() => match changed {
                Ok(()) => Word::Order(*self.orders.borrow_and_update()),
                // Nobody gives orders any more: the session is held for somebody else.
                Err(_) => Word::Order(Order::Lost),
            },
            Ok(()) = self.until.changed() => Word::Held(*self.until.borrow_and_update()),
        }
    }
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

    /// As it was acquired: with this token, until this time.
    pub(super) fn hold(&self, bot: BotId, fencing: u64, until: Option<Timestamp>) -> Holding {
        let (orders, orders_heard) = watch::channel(Order::Stay);
        let (until, until_heard) = watch::channel(until.unwrap_or(Timestamp::from_millis(0)));
        if let Some(old) = self.lock().insert(bot, Held { fencing, orders, until }) {
            raise(&old.orders, Order::Lost);
        }
        Holding { bot, fencing, held: Arc::clone(&self.held), orders: orders_heard, until: until_heard }
    }

    /// True while this one is held.
    pub(super) fn holds(&self, bot: BotId, fencing: u64) -> bool {
        self.lock().get(&bot).is_some_and(|held| held.fencing == fencing)
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
                Renewed::Held { stop_requested } => {
                    entry.until.send_replace(until);
                    if stop_requested {
                        raise(&entry.orders, Order::Leave);
                    }
                }
                Renewed::Lost => raise(&entry.orders, Order::Lost),
                Renewed::Unknown => tracing::warn!(bot = %lease.bot, "a lease could not be renewed; trying again"),
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
