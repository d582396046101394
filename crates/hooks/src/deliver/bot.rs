//! The step: everything that is due of one bot.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use muster_session::{BotId, Timestamp};
use muster_store::Delivery;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Calls, Made};
use super::lanes::{self, Lane, Look};
use super::{Deliverer, Error};

/// What lasts so long is postponed in the store, if a receiver is being called.
pub(super) const PARK_AFTER: Duration = Duration::from_secs(1);
/// The same, if all wait their turn: a burst is over by then.
const PARK_WAITING_AFTER: Duration = Duration::from_secs(5);
/// How long before the end of that they are postponed again.
const MARGIN: Duration = Duration::from_secs(5);
/// What is postponed before it begins is so for this many times [`PARK_AFTER`]: not for long, as it holds back what comes behind it
/// in other processes.
const CLAIM: u32 = 3;

/// How a pass hears from outside, and is heard of.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Begin nothing more.
    pub(super) stop: CancellationToken,
    /// Look for more: something was added.
    pub(super) woken: Arc<Notify>,
    /// What is under way is postponed in the store: whoever looks there need not know of it.
    pub(super) parked: Notify,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Something was sent or settled, so it may be worth looking again.
    pub(super) sent: bool,
    /// When to look again as far as is known.
    pub(super) wait: Option<Timestamp>,
}

/// The lanes of a bot that are under way. The first of each is being sent.
struct Pass<'a> {
    deliverer: &'a Deliverer,
    bot: BotId,
    signals: &'a Signals,
    lanes: BTreeMap<Lane, VecDeque<Arc<Delivery>>>,
    /// Tasks, as they have to go on while the pass itself waits for the store: one of them may be in line before it there.
    under_way: JoinSet<(Lane, Result<Made, Error>)>,
    calls: Calls,
    began: Instant,
    /// Something failed here: nothing more is begun.
    failed: Option<Error>,
    park_at: Instant,
    /// What is under way was postponed, and the message has made way.
    parked: bool,
    /// Some of it was postponed for a short time before it began.
    claimed: bool,
    /// Until when it was postponed, each time. What others hold back behind it has the same times, and need not wait for them
    /// once it is settled.
    given: BTreeSet<Timestamp>,
    /// A lane that was postponed came to its end, and others may have held something back behind it.
    look_again: bool,
    passed: Passed,
}

enum Happened {
    Made(Lane, Result<Made, Error>),
    Woken,
    Lasts,
}

impl Deliverer {
    /// Sends what is due, lane beside lane, and what becomes due while any of it lasts. Each attempt is in the ledger before
    /// the next of its lane begins. What is held back is postponed, so that nothing that was looked at is due.
    pub(super) async fn pass(&self, bot: BotId, signals: &Signals) -> Result<Passed, Error> {
        let mut pass = Pass {
            deliverer: self,
            bot,
            signals,
            lanes: BTreeMap::new(),
            under_way: JoinSet::new(),
            calls: Calls::default(),
            began: Instant::now(),
            failed: None,
            park_at: Instant::now() + self.0.park_after,
            parked: false,
            claimed: false,
            given: BTreeSet::new(),
            look_again: false,
            passed: Passed { sent: false, wait: None },
        };
        pass.look().await?;
        while let Some(happened) = pass.next().await {
            let result = match happened {
                Happened::Made(lane, made) => pass.go_on(lane, made).await,
                Happened::Woken => pass.look().await,
                Happened::Lasts => {
                    pass.park().await;
                    Ok(())
                }
            };
            if let Err(error) = result {
                pass.failed.get_or_insert(error);
            }
        }
        pass.failed.map_or(Ok(pass.passed), Err)
    }
}

impl Pass<'_> {
    async fn next(&mut self) -> Option<Happened> {
        let looks = !self.is_stopping();
        let again = looks && self.look_again;
        if self.under_way.is_empty() {
            return again.then_some(Happened::Woken);
        }
        tokio::select! {
            biased;
            made = self.under_way.join_next() => made.map(happened),
            // After all that have ended by now: one look for many.
            () = std::future::ready(()), if again => Some(Happened::Woken),
            () = self.signals.woken.notified(), if looks => Some(Happened::Woken),
            () = tokio::time::sleep_until(self.park_at) => Some(Happened::Lasts),
        }
    }

    fn is_stopping(&self) -> bool {
        self.failed.is_some() || self.signals.stop.is_cancelled()
    }

    /// Begins every lane that has something due and is not under way; to the others it adds what is due in them.
    async fn look(&mut self) -> Result<(), Error> {
        self.look_again = false;
        let pending = self.deliverer.pending(self.bot).await?;
        let now = self.deliverer.now();
        self.given.retain(|until| *until > now);
        let in_hand = self.lanes.values().flatten().map(|delivery| (delivery.id, delivery.failures)).collect();
        let look = lanes::look(pending, &in_hand, &self.given, now);
        self.passed.wait = look.wait;
        let stopping = self.is_stopping();
        if !stopping {
            self.claim(&look, &in_hand, now).await?;
        }
        for (lane, due) in look.ready {
            let due = due.into_iter().map(Arc::new);
            match self.lanes.get_mut(&lane) {
                Some(known) => {
                    let sending = known.pop_front();
                    let id = sending.as_ref().map(|delivery| delivery.id);
                    *known = sending.into_iter().chain(due.filter(|delivery| Some(delivery.id) != id)).collect();
                    self.park_soon();
                }
                None if stopping => self.come_back(now),
                None => {
                    self.park_soon();
                    self.lanes.insert(lane.clone(), due.collect());
                    self.send_first(lane);
                }
            }
        }
        let mut held: BTreeMap<Timestamp, Vec<u64>> = BTreeMap::new();
        for (id, until) in look.held {
            held.entry(until).or_default().push(id);
        }
        for (until, ids) in held {
            self.deliverer.0.store.postpone(&ids, until).await?;
        }
        Ok(())
    }

    /// Postpones what is new and may be taken for due by others while it is tried. Retries may: their message has a key of its
    /// own, so another about the same bot can be at another process. So may everything once the message has made way.
    async fn claim(&mut self, look: &Look, in_hand: &HashMap<u64, u32>, now: Timestamp) -> Result<(), Error> {
        let all = self.parked || self.deliverer.0.postpone_all;
        let ready = look.ready.values().flatten().filter(|delivery| all || delivery.failures > 0);
        let ids: Vec<u64> = ready.map(|delivery| delivery.id).filter(|id| !in_hand.contains_key(id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.claimed = true;
        let until = now + self.deliverer.0.park_after * CLAIM;
        self.given.insert(until);
        Ok(self.deliverer.0.store.postpone(&ids, until).await?)
    }

    fn send_first(&mut self, lane: Lane) {
        let Some(delivery) = self.lanes.get(&lane).and_then(|due| due.front()) else { return };
        let (deliverer, delivery) = (self.deliverer.clone(), Arc::clone(delivery));
        let (stop, calls) = (self.signals.stop.clone(), self.calls.clone());
        self.under_way.spawn(async move { (lane, deliverer.make(&delivery, &stop, &calls).await) });
    }

    /// Goes on in a lane after an attempt in it.
    async fn go_on(&mut self, lane: Lane, made: Result<Made, Error>) -> Result<(), Error> {
        let Some(mut due) = self.lanes.remove(&lane) else { return Ok(()) };
        match made? {
            Made::Settled => {
                self.passed.sent = true;
                due.pop_front();
            }
            Made::Later(until) => {
                let ids: Vec<u64> = due.iter().map(|delivery| delivery.id).collect();
                self.come_back(until);
                return Ok(self.deliverer.0.store.postpone(&ids, until).await?);
            }
            Made::Stopped => {}
        }
        if due.is_empty() {
            self.look_again |= self.parked;
            return Ok(());
        }
        if self.is_stopping() {
            self.come_back(self.deliverer.now());
            return Ok(());
        }
        self.lanes.insert(lane.clone(), due);
        self.send_first(lane);
        Ok(())
    }

    /// Postpones what is under way, so that nobody else takes it for due.
    async fn park(&mut self) {
        if self.calls.none() && !self.claimed && self.began.elapsed() < PARK_WAITING_AFTER {
            self.park_at = Instant::now() + self.deliverer.0.park_after;
            return;
        }
        let ids: Vec<u64> = self.lanes.values().flatten().map(|delivery| delivery.id).collect();
        let pause = self.deliverer.0.timeout + MARGIN * 2;
        let until = self.deliverer.now() + pause;
        // Also if it seems to fail: it may have been done.
        self.given.insert(until);
        match self.deliverer.0.store.postpone(&ids, until).await {
            Ok(()) => {
                self.park_at = Instant::now() + pause - MARGIN;
                (self.parked, self.claimed) = (true, false);
                self.signals.parked.notify_one();
            }
            Err(error) => {
                tracing::warn!(bot = %self.bot, %error, "webhooks that take long could not be postponed");
                self.park_at = Instant::now() + self.deliverer.0.park_after;
            }
        }
    }

    fn park_soon(&mut self) {
        self.park_at = self.park_at.min(Instant::now() + self.deliverer.0.park_after);
    }

    fn come_back(&mut self, at: Timestamp) {
        self.passed.wait = Some(self.passed.wait.map_or(at, |earlier| earlier.min(at)));
    }
}

/// A panic goes on here: the bot is given back, and its message comes again.
fn happened(joined: Result<(Lane, Result<Made, Error>), JoinError>) -> Happened {
    match joined {
        Ok((lane, made)) => Happened::Made(lane, made),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
