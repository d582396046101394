//! What fits on this machine: a seat is taken before a bot is claimed, and given back when nothing of it is left.

mod intake;
mod usage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_fleet::admission::{Admission, Budget, Host, Limit};
use muster_fleet::cost::{BROWSER_SHM_BYTES, Cost, CostBook};
use muster_platform::browser;
use muster_runtime::machine::Machine;
use muster_session::{BotId, EndReason, Session, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::bots::Gauge;
use crate::clock::Clock;
use crate::config::WorkerConfig;

/// A simulated bot is a small process without a browser.
const SIMULATED: Cost = Cost { memory_bytes: 16_000_000, cpu_millis: 5, descriptors: 16, shm_bytes: 0 };
/// So much of the machine's memory has to be left, whoever uses the rest, or a bot is ended: a part of it within bounds.
const RESERVE_SHARE: u64 = 25;
const RESERVE_BYTES: std::ops::RangeInclusive<u64> = 64_000_000..=1_000_000_000;

/// Why a bot has to be gone.
#[derive(Clone, Debug)]
pub(super) struct Eviction {
    pub(super) reason: EndReason,
    /// With figures.
    pub(super) message: String,
}

/// The room of a worker, and who takes it.
#[derive(Debug)]
pub(super) struct Room {
    clock: Clock,
    simulated: bool,
    declared: Cost,
    /// A bot with more bytes than this has to go.
    bot_limit: u64,
    /// So many bytes have to be left on the machine.
    reserve: u64,
    /// None in a simulation, where there is none to be looked at.
    machine: Option<Machine>,
    inner: Mutex<Inner>,
    /// There may be room where there was none.
    changed: Notify,
    bots: watch::Sender<u32>,
}

#[derive(Debug)]
struct Inner {
    admission: Admission<u64>,
    /// What is known of costs, and of that what was not written down yet.
    book: CostBook,
    fresh: CostBook,
    seats: BTreeMap<u64, Occupant>,
    next: u64,
    /// What the last bot needed that did not fit, and until when nobody else is let in before one that needs as much.
    needed: Option<(Cost, Timestamp)>,
    idle_since: Option<Timestamp>,
}

#[derive(Debug)]
struct Occupant {
    bot: BotId,
    kind: String,
    gauge: Option<Box<dyn Gauge>>,
    /// When it was measured last, and its CPU time then.
    last: Option<(Instant, Duration)>,
    usage: Cost,
    evicted: watch::Sender<Option<Eviction>>,
    /// It was ended, and nothing of it is left.
    gone: bool,
}

/// What a worker says of its room.
#[derive(Debug)]
pub(super) struct Outlook {
    /// How many more bots it takes.
    pub(super) room: u32,
    pub(super) limit: Limit,
    pub(super) cpu_percent: Option<u8>,
    pub(super) memory_percent: Option<u8>,
    pub(super) idle_since: Option<Timestamp>,
    /// The largest ones.
    pub(super) bots: Vec<(BotId, String, Cost)>,
}

impl Room {
    pub(super) fn new(config: &WorkerConfig, machine: Option<Machine>, clock: Clock) -> Arc<Self> {
        let shm = machine.is_some() && browser::uses_shm();
        let declared = match config.simulated {
            true => SIMULATED,
            false => Cost { shm_bytes: if shm { BROWSER_SHM_BYTES } else { 0 }, ..config.declared() },
        };
        let host = machine.as_ref().map_or(UNBOUNDED, |machine| {
            let size = machine.size();
            Host {
                memory_bytes: size.memory_bytes,
                cpu_millis: size.cpu_millis,
                descriptors: size.descriptors,
                shm_bytes: size.shm_bytes,
            }
        });
        let budget = Budget::of(host, config.max_concurrent_bots, config.memory_headroom, declared);
        let reserve = (host.memory_bytes / RESERVE_SHARE).clamp(*RESERVE_BYTES.start(), *RESERVE_BYTES.end());
        let inner = Inner {
            admission: Admission::new(budget),
            book: CostBook::default(),
            fresh: CostBook::default(),
            seats: BTreeMap::new(),
            next: 0,
            needed: None,
            idle_since: Some(clock.now()),
        };
        Arc::new(Self {
            simulated: config.simulated,
            declared,
            bot_limit: config.bot_memory_limit,
            reserve,
            machine,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            bots: watch::Sender::new(0),
            clock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The budget, and how many bots of what is declared fit into it.
    pub(super) fn budget(&self) -> (Budget, u32, Limit) {
        let budget = *self.lock().admission.budget();
        let (bots, limit) = budget.fits(self.declared);
        (budget, bots, limit)
    }

    pub(super) const fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// How many seats are taken, whenever that changes.
    pub(super) fn bots(&self) -> watch::Receiver<u32> {
        self.bots.subscribe()
    }

    /// A seat for the bot of a session; without room for it, what it would cost.
    pub(super) fn reserve(self: &Arc<Self>, session: &Session) -> Result<Seat, Cost> {
        let kind = kind(session);
        let now = self.clock.now();
        let mut inner = self.lock();
        // On a machine with fewer cores than it wants it is slow; memory is what it dies of.
        let mut cost = inner.book.cost(&kind, self.declared);
        cost.cpu_millis = cost.cpu_millis.min(inner.admission.budget().cpu_millis);
        let cost = inner.to_hold(cost, self.declared, now);
        let number = inner.next;
        if let Err(limit) = inner.admission.reserve(number, cost, now) {
            tracing::info!(bot = %session.id, kind, %limit, "no room for a bot of this kind; it goes back");
            return Err(cost);
        }
        inner.next += 1;
        let known = inner.book.learned(&kind, self.declared);
        inner.admission.known(number, known.map(|cost| cost.memory_bytes));
        (inner.needed, inner.idle_since) = (None, None);
        let (evicted, eviction) = watch::channel(None);
        let occupant =
            Occupant { bot: session.id, kind, gauge: None, last: None, usage: Cost::default(), evicted, gone: false };
        inner.seats.insert(number, occupant);
        self.bots.send_replace(count(&inner));
        Ok(Seat { number, eviction, room: Arc::clone(self) })
    }

    /// True if a bot of this cost never fits, however empty the machine is.
    pub(super) fn is_too_small_for(&self, cost: Cost) -> bool {
        self.lock().admission.budget().fits(cost).0 == 0
    }

    fn leave(&self, number: u64) {
        let mut inner = self.lock();
        self.release(&mut inner, number);
        inner.seats.remove(&number);
        if inner.seats.is_empty() {
            inner.idle_since = Some(self.clock.now());
        }
        self.bots.send_replace(count(&inner));
        self.changed.notify_one();
    }

    /// How full it is now.
    pub(super) fn outlook(&self) -> Outlook {
        let now = self.clock.now();
        let inner = self.lock();
        let budget = *inner.admission.budget();
        // By the dearest kind, so that not too many count on it; but one if any is taken, and none if none is.
        let next = inner.book.highest(self.declared).min(whole(&budget));
        let (room, limit) = inner.admission.binding(next, now);
        let (room, limit) = match inner.admission.check(inner.next_cost(self.declared, now), now) {
            Ok(()) => (room.max(1), limit),
            Err(limit) => (0, limit),
        };
        let used = inner.admission.used(now);
        let cpu = inner.seats.values().map(|seat| seat.usage.cpu_millis).fold(0, u64::saturating_add);
        let cost = |(number, seat): (&u64, &Occupant)| {
            (seat.bot, seat.kind.clone(), inner.admission.cost_of(*number, now).unwrap_or_default())
        };
        let looked_at = self.machine.is_some();
        Outlook {
            room,
            limit,
            cpu_percent: looked_at.then(|| percent(cpu, budget.cpu_millis)),
            memory_percent: looked_at.then(|| percent(used.memory_bytes, budget.memory_bytes)),
            idle_since: inner.idle_since,
            bots: inner.seats.iter().map(cost).collect(),
        }
    }
}

/// Enough of everything.
const UNBOUNDED: Host = Host {
    memory_bytes: u64::MAX / 128,
    cpu_millis: u64::MAX / 128,
    descriptors: u64::MAX / 128,
    shm_bytes: u64::MAX / 128,
};

fn whole(budget: &Budget) -> Cost {
    Cost {
        memory_bytes: budget.memory_bytes,
        cpu_millis: budget.cpu_millis,
        descriptors: budget.descriptors,
        shm_bytes: budget.shm_bytes,
    }
}

/// Which bots cost alike: one that sends sound or words away while the call runs costs more than one that records.
fn kind(session: &Session) -> String {
    let media = &session.media;
    let live = media.live_audio.is_some() || media.live_transcription.is_some() || media.streaming.is_some();
    format!("{}/{}", session.meeting.platform, if live { "live" } else { "audio" })
}

fn count(inner: &Inner) -> u32 {
    u32::try_from(inner.seats.len()).unwrap_or(u32::MAX)
}

fn percent(part: u64, whole: u64) -> u8 {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(100);
    u8::try_from(percent).unwrap_or(u8::MAX)
}

/// What is held for one bot; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    eviction: watch::Receiver<Option<Eviction>>,
    room: Arc<Room>,
}

impl Seat {
    /// The bot is there, and this measures it.
    pub(super) fn measured_by(&self, gauge: Box<dyn Gauge>) {
        if let Some(seat) = self.room.lock().seats.get_mut(&self.number) {
            seat.gauge = Some(gauge);
            seat.last = Some((Instant::now(), Duration::ZERO));
        }
    }

    /// The bot was let into its call: what it uses is what it costs.
    pub(super) fn admitted(&self) {
        let now = self.room.clock.now();
        self.room.lock().admission.admitted(self.number, now);
    }

    /// The kernel ended the bot because it had more than any may, before that was measured.
    pub(super) fn over_budget(&self, message: &str) {
        if let Some(seat) = self.room.lock().seats.get(&self.number) {
            usage::evict(seat, EndReason::OverBudget, message.to_owned());
        }
    }

    /// Waits until the bot has to be gone at once. Cancel safe.
    pub(super) async fn evicted(&mut self) -> Eviction {
        match self.eviction.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.leave(self.number);
    }
}

#[cfg(test)]
pub(super) mod tests;
