//! Workers, bots and the line between them, event by event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use muster_session::{BotId, Timestamp};
use uuid::Uuid;

use super::result::Notes;
use super::{Contender, Outcome, Setup};
use crate::admission::Admission;
use crate::fair::{Line, Share};
use crate::scaling::{Memory, Signals, Waiting, WorkerSignal};
use crate::schedule;
use crate::trace::{Meeting, Trace};

/// Of the cores that are held for a bot, in percent: what it uses in a silent call, and when people speak.
const SILENT: u64 = 5;
const TALKING: u64 = 95;
/// Of 100 bots, how many are in silent calls.
const SILENT_CALLS: u32 = 25;

type WorkerNumber = u32;
type BotNumber = u32;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// A bot is over: its call ended.
    Left(BotNumber),
    /// A worker takes bots.
    Ready(WorkerNumber),
    /// A bot is in its call.
    Joined(BotNumber),
    /// A bot is wanted.
    Wanted(BotNumber),
    /// The policy is asked.
    Tick,
}

#[derive(Debug)]
struct Worker {
    since: Duration,
    ready: bool,
    draining: bool,
    admission: Admission<BotNumber>,
    /// Thousandths of a core that its bots use.
    cpu_used: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bot {
    worker: Option<WorkerNumber>,
    claimed: Duration,
    queued: Duration,
}

pub(super) struct Fleet<'a> {
    trace: &'a Trace,
    setup: &'a Setup,
    contender: &'a Contender,
    slots: u32,
    random: fastrand::Rng,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    /// When each bot sets out or is asked for, in order.
    wanted: Vec<Duration>,
    workers: BTreeMap<WorkerNumber, Worker>,
    started: WorkerNumber,
    /// Those that take bots and have room.
    free: BTreeSet<WorkerNumber>,
    ready: u32,
    draining_bots: u64,
    bots: Vec<Bot>,
    running: u32,
    queue: VecDeque<BotNumber>,
    held: Vec<VecDeque<BotNumber>>,
    line: Line<u32>,
    memory: Memory,
    notes: Notes,
    over: usize,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(trace: &'a Trace, setup: &'a Setup, contender: &'a Contender) -> Self {
        let mut fleet = Self {
            trace,
            setup,
            contender,
            slots: setup.slots(),
            random: fastrand::Rng::with_seed(setup.seed),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            wanted: Vec::with_capacity(trace.meetings.len()),
            workers: BTreeMap::new(),
            started: 0,
            free: BTreeSet::new(),
            ready: 0,
            draining_bots: 0,
            bots: vec![Bot::default(); trace.meetings.len()],
            running: 0,
            queue: VecDeque::new(),
            held: vec![VecDeque::new(); trace.tenants.len()],
            line: Line::default(),
            memory: Memory::default(),
            notes: Notes::default(),
            over: 0,
        };
        fleet.plan();
        fleet
    }

    /// When each bot is wanted; at the beginning there are the fewest workers that the policy has.
    fn plan(&mut self) {
        let learned = Some(self.setup.join.1);
        for (number, meeting) in self.trace.meetings.iter().enumerate() {
            let random = self.random.u128(..);
            let at = match meeting.booked.is_zero() {
                true => meeting.start,
                false => {
                    meeting.start.saturating_sub(schedule::lead(learned, BotId::from_uuid(Uuid::from_u128(random))))
                }
            };
            self.wanted.push(at);
            self.events.push(Reverse((at, Event::Wanted(number as BotNumber))));
        }
        self.wanted.sort_unstable();
        for tenant in 0..self.trace.tenants.len() {
            self.line.tenants.insert(tenant as u32, Share { weight: 1, limit: None, taken: 0, held: 0 });
        }
        for _ in 0..self.contender.policy.min_workers {
            let worker = self.launch();
            self.ready(worker);
        }
        self.memory.desired = Some(self.contender.policy.min_workers);
        self.events.push(Reverse((Duration::ZERO, Event::Tick)));
    }

    pub(super) fn run(mut self, progress: &mut dyn FnMut(f64)) -> Outcome {
        let length = self.trace.length().max(Duration::from_secs(1));
        let mut told = 0.0;
        while self.over < self.bots.len() {
            let Some(Reverse((at, event))) = self.events.pop() else { break };
            self.now = at;
            let passed = at.as_secs_f64() / length.as_secs_f64();
            if passed - told >= 0.01 {
                told = passed;
                progress(passed.min(1.0));
            }
            match event {
                Event::Left(bot) => self.left(bot),
                Event::Ready(worker) => self.ready(worker),
                Event::Joined(bot) => self.joined(bot),
                Event::Wanted(bot) => self.wanted(bot),
                Event::Tick => self.tick(),
            }
        }
        for worker in std::mem::take(&mut self.workers).into_values() {
            self.notes.host_time += self.now - worker.since;
        }
        self.notes.outcome(self.contender.name, self.bots.len(), self.slots)
    }

    fn meeting(&self, bot: BotNumber) -> &Meeting {
        &self.trace.meetings[bot as usize]
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX))
    }

    fn share(&mut self, bot: BotNumber) -> &mut Share {
        let tenant = self.meeting(bot).tenant;
        self.line.tenants.entry(tenant).or_insert(Share { weight: 1, limit: None, taken: 0, held: 0 })
    }

    /// As a create or the scheduler does it: at once if there is a place, or else in line.
    fn wanted(&mut self, bot: BotNumber) {
        let tenant = self.meeting(bot).tenant;
        self.bots[bot as usize].queued = self.now;
        self.line.capacity = self.capacity();
        let own = *self.share(bot);
        if own.taken < self.line.at_once(&tenant, own) {
            self.share(bot).taken += 1;
            self.queue.push_back(bot);
        } else {
            self.share(bot).held += 1;
            self.held[tenant as usize].push_back(bot);
        }
        self.move_on();
    }

    fn capacity(&self) -> u64 {
        u64::from(self.ready) * u64::from(self.slots) + self.draining_bots
    }

    /// The line moves as far as there are places, and workers with room take what waits.
    fn move_on(&mut self) {
        loop {
            self.line.capacity = self.capacity();
            while let Some(tenant) = self.line.give() {
                if let Some(bot) = self.held[tenant as usize].pop_front() {
                    self.queue.push_back(bot);
                }
            }
            let mut moved = false;
            while let Some((bot, worker)) = self.next_claim() {
                moved |= !self.claim(bot, worker);
            }
            if !moved {
                return;
            }
        }
    }

    fn next_claim(&mut self) -> Option<(BotNumber, WorkerNumber)> {
        let bot = *self.queue.front()?;
        // Whoever asks first: any of them.
        let some = self.random.u32(0..self.started.max(1));
        let worker = self.free.range(some..).next().or_else(|| self.free.first()).copied()?;
        self.queue.pop_front();
        Some((bot, worker))
    }

    /// False if there is nothing to join any more.
    fn claim(&mut self, bot: BotNumber, number: WorkerNumber) -> bool {
        let meeting = *self.meeting(bot);
        if self.now >= meeting.start + meeting.duration {
            self.notes.missed += 1;
            self.share(bot).taken -= 1;
            self.over += 1;
            return false;
        }
        let (time, uses) = (self.time(), self.uses(bot));
        let Some(worker) = self.workers.get_mut(&number) else { return true };
        let admitted = worker.admission.reserve(bot, self.setup.cost, time);
        debug_assert!(admitted.is_ok(), "{number} had no room: {admitted:?}");
        worker.cpu_used += uses;
        if worker.admission.check(self.setup.cost, time).is_err() {
            self.free.remove(&number);
        }
        self.bots[bot as usize].worker = Some(number);
        self.bots[bot as usize].claimed = self.now;
        self.running += 1;
        let (least, most) = self.setup.join;
        let join = least + (most - least).mul_f64(self.random.f64());
        self.events.push(Reverse((self.now + join, Event::Joined(bot))));
        self.events.push(Reverse((self.now.max(meeting.start + meeting.duration), Event::Left(bot))));
        true
    }

    /// Thousandths of a core.
    fn uses(&self, bot: BotNumber) -> u64 {
        let silent = bot.wrapping_mul(2_654_435_761) % 100 < SILENT_CALLS;
        self.setup.cost.cpu_millis * if silent { SILENT } else { TALKING } / 100
    }

    fn joined(&mut self, bot: BotNumber) {
        let meeting = *self.meeting(bot);
        if self.bots[bot as usize].worker.is_none() || self.now >= meeting.start + meeting.duration {
            return;
        }
        let wait = self.now.saturating_sub(meeting.start);
        self.notes.waits_ms.push(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self.notes.missed += u64::from(wait > self.setup.patience);
    }

    fn left(&mut self, bot: BotNumber) {
        let Some(number) = self.bots[bot as usize].worker.take() else { return };
        self.let_go(bot, number);
        let Some(worker) = self.workers.get(&number) else { return };
        if worker.draining && worker.admission.bots() == 0 {
            self.gone(number);
        } else if worker.ready && !worker.draining {
            self.free.insert(number);
        }
        self.move_on();
    }

    fn let_go(&mut self, bot: BotNumber, number: WorkerNumber) {
        let uses = self.uses(bot);
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.admission.release(bot);
            worker.cpu_used -= uses;
            self.draining_bots -= u64::from(worker.draining);
        }
        self.notes.bot_time += self.now - self.bots[bot as usize].claimed;
        self.share(bot).taken -= 1;
        self.running -= 1;
        self.over += 1;
    }

    fn launch(&mut self) -> WorkerNumber {
        let number = self.started;
        self.started += 1;
        let admission = Admission::new(self.setup.budget);
        let worker = Worker { since: self.now, ready: false, draining: false, admission, cpu_used: 0 };
        self.workers.insert(number, worker);
        number
    }

    fn ready(&mut self, number: WorkerNumber) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        worker.ready = true;
        self.ready += 1;
        self.free.insert(number);
        self.move_on();
    }

    /// A worker is not wanted any more.
    fn retire(&mut self, number: WorkerNumber) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        self.free.remove(&number);
        self.ready -= u32::from(worker.ready);
        worker.draining = true;
        let bots = worker.admission.bots();
        self.draining_bots += bots as u64;
        if bots == 0 {
            self.gone(number);
        } else if !self.contender.drains {
            let theirs: Vec<BotNumber> = (0..self.bots.len() as BotNumber)
                .filter(|bot| self.bots[*bot as usize].worker == Some(number))
                .collect();
            for bot in theirs {
                self.bots[bot as usize].worker = None;
                self.notes.killed += 1;
                self.let_go(bot, number);
            }
            self.gone(number);
        }
    }

    fn gone(&mut self, number: WorkerNumber) {
        if let Some(worker) = self.workers.remove(&number) {
            self.notes.host_time += self.now - worker.since;
        }
    }

    fn signals(&self) -> Signals {
        let percent = |part: u64, whole: u64| u8::try_from(part * 100 / whole.max(1)).unwrap_or(u8::MAX);
        let signal = |worker: &Worker| {
            let bots = worker.admission.bots() as u64;
            WorkerSignal {
                slots: self.slots,
                running: u32::try_from(bots).unwrap_or(u32::MAX),
                cpu_percent: Some(percent(worker.cpu_used, self.setup.cpu_millis)),
                memory_percent: Some(percent(bots * self.setup.cost.memory_bytes, self.setup.budget.memory_bytes)),
                draining: worker.draining,
            }
        };
        let horizon = self.now + self.setup.launch + self.setup.every;
        let before = |at: Duration| self.wanted.partition_point(|wanted| *wanted <= at) as u64;
        let oldest = self.queue.front().map_or(Duration::ZERO, |bot| self.now - self.bots[*bot as usize].queued);
        Signals {
            waiting: Some(Waiting { bots: self.queue.len() as u64 + self.line.wanting(), oldest }),
            workers: Some(self.workers.values().filter(|worker| worker.ready).map(signal).collect()),
            due: Some(before(horizon) - before(self.now)),
            launch: self.setup.launch,
        }
    }

    fn tick(&mut self) {
        let waiting = self.queue.len() + self.held.iter().map(VecDeque::len).sum::<usize>();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.notes.sample(self.now, count(self.workers.len()), self.running, count(waiting));
        let decision = self.contender.policy.decide(&self.signals(), self.memory, self.time());
        self.memory = decision.memory;
        let wanted = decision.desired;
        let there = count(self.workers.values().filter(|worker| !worker.draining).count());
        if wanted != there {
            self.notes.change(self.now, wanted > there);
        }
        for _ in there..wanted {
            let worker = self.launch();
            self.events.push(Reverse((self.now + self.setup.launch, Event::Ready(worker))));
        }
        for _ in wanted..there {
            self.retire_one();
        }
        self.move_on();
        self.events.push(Reverse((self.now + self.setup.every, Event::Tick)));
    }

    /// The one with the fewest bots, if workers drain; whichever something else picks, if they do not.
    fn retire_one(&mut self) {
        let candidates = || self.workers.iter().filter(|(_, worker)| !worker.draining);
        let victim = match self.contender.drains {
            true => candidates().min_by_key(|(number, worker)| (worker.admission.bots(), Reverse(**number))),
            false => candidates().min_by_key(|(number, _)| **number),
        };
        if let Some(number) = victim.map(|(number, _)| *number) {
            self.retire(number);
        }
    }
}
