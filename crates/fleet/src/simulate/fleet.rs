//! Bots, the line before the workers, and the policy that is asked how many there should be: event by event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use muster_session::{BotId, Timestamp};
use uuid::Uuid;

use super::result::Notes;
use super::workers::{BotNumber, WorkerNumber, Workers};
use super::{Contender, Outcome, Setup};
use crate::fair::{Line, Share};
use crate::scaling::{Memory, Signals, Waiting};
use crate::schedule;
use crate::trace::{Meeting, Trace};

/// Bots that wait for so long after the last meeting wait in vain.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3_600);

/// What happens; of what happens at the same time, the first of these is first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// A call is over.
    Over(BotNumber),
    /// A worker takes bots.
    Ready(WorkerNumber),
    /// A bot is in its call.
    Joined(BotNumber),
    /// A scheduled bot sets out before a worker that is asked for now takes bots.
    Due(BotNumber),
    /// A bot sets out, or is asked for.
    Wanted(BotNumber),
    /// The policy is asked.
    Tick,
}

/// Where a bot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Before { due: bool },
    Waiting { since: Duration },
    Working { worker: WorkerNumber, since: Duration, joined: bool },
    Over,
}

pub(super) struct Fleet<'a> {
    trace: &'a Trace,
    setup: &'a Setup,
    contender: &'a Contender,
    random: fastrand::Rng,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    workers: Workers,
    bots: Vec<Place>,
    running: u32,
    over: usize,
    due: u64,
    queue: VecDeque<BotNumber>,
    held: Vec<VecDeque<BotNumber>>,
    line: Line<u32>,
    memory: Memory,
    notes: Notes,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(trace: &'a Trace, setup: &'a Setup, contender: &'a Contender) -> Self {
        let tenants = (0..trace.tenants.len()).filter_map(|tenant| u32::try_from(tenant).ok());
        let alike = Share { weight: 1, limit: None, taken: 0, held: 0 };
        let mut fleet = Self {
            trace,
            setup,
            contender,
            random: fastrand::Rng::with_seed(setup.seed),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            workers: Workers::new(setup),
            bots: vec![Place::Before { due: false }; trace.meetings.len()],
            running: 0,
            over: 0,
            due: 0,
            queue: VecDeque::new(),
            held: vec![VecDeque::new(); trace.tenants.len()],
            line: Line { capacity: 0, tenants: tenants.map(|tenant| (tenant, alike)).collect() },
            memory: Memory::default(),
            notes: Notes::default(),
        };
        fleet.begin();
        fleet
    }

    /// The fewest workers are there, and it is known when each bot will be wanted.
    fn begin(&mut self) {
        let learned = Some(self.setup.join.1);
        let window = schedule::horizon(self.time(), learned).since(self.time()) + self.setup.launch;
        for (bot, meeting) in (0..).zip(&self.trace.meetings) {
            let id = BotId::from_uuid(Uuid::from_u128(self.random.u128(..)));
            let known = meeting.start.saturating_sub(meeting.booked);
            let sets_out = meeting.start.saturating_sub(schedule::lead(learned, id)).max(known);
            self.events.push(Reverse((sets_out, Event::Wanted(bot))));
            // Nothing is known of a bot that is asked for when its meeting is there.
            let due = meeting.start.saturating_sub(window).max(known);
            if !meeting.booked.is_zero() && due < sets_out {
                self.events.push(Reverse((due, Event::Due(bot))));
            }
        }
        let fewest = self.contender.policy.min_workers;
        for _ in 0..fewest {
            let worker = self.workers.launch(self.now);
            self.workers.ready(worker);
        }
        self.memory.desired = Some(fewest);
        self.events.push(Reverse((Duration::ZERO, Event::Tick)));
    }

    pub(super) fn run(mut self, progress: &mut dyn FnMut(f64)) -> Outcome {
        let last = self.trace.length() + LONGEST_REST;
        let length = self.trace.length().as_secs_f64().max(1.0);
        let mut told = 0.0;
        while self.over < self.bots.len() {
            let Some(Reverse((at, event))) = self.events.pop().filter(|Reverse((at, _))| *at <= last) else { break };
            self.now = at;
            let passed = (at.as_secs_f64() / length).min(1.0);
            if passed - told >= 0.01 {
                told = passed;
                progress(passed);
            }
            match event {
                Event::Over(bot) => self.call_over(bot),
                Event::Ready(worker) => {
                    self.workers.ready(worker);
                    self.move_on();
                }
                Event::Joined(bot) => self.joined(bot),
                Event::Due(bot) => {
                    self.bots[bot as usize] = Place::Before { due: true };
                    self.due += 1;
                }
                Event::Wanted(bot) => self.wanted(bot),
                Event::Tick => self.tick(),
            }
        }
        for bot in (0..).take(self.bots.len()) {
            if self.bots[bot as usize] != Place::Over {
                self.finish(bot);
            }
        }
        let host_time = self.workers.host_time(self.now);
        self.notes.outcome(self.contender.name, self.bots.len(), self.setup.slots(), host_time)
    }

    fn meeting(&self, bot: BotNumber) -> Meeting {
        self.trace.meetings[bot as usize]
    }

    fn end(&self, bot: BotNumber) -> Duration {
        let meeting = self.meeting(bot);
        meeting.start + meeting.duration
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX))
    }

    fn share(&mut self, bot: BotNumber) -> &mut Share {
        let tenant = self.meeting(bot).tenant;
        self.line.tenants.entry(tenant).or_insert(Share { weight: 1, limit: None, taken: 0, held: 0 })
    }

    /// As a create or the scheduler does it: dispatched at once if there is a place, or else in line.
    fn wanted(&mut self, bot: BotNumber) {
        if self.bots[bot as usize] == (Place::Before { due: true }) {
            self.due -= 1;
        }
        self.bots[bot as usize] = Place::Waiting { since: self.now };
        self.line.capacity = self.workers.capacity();
        let tenant = self.meeting(bot).tenant;
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

    /// The line moves as far as there are places, and workers with room take what is in the queue.
    fn move_on(&mut self) {
        loop {
            self.line.capacity = self.workers.capacity();
            while let Some(tenant) = self.line.give() {
                self.queue.extend(self.held[tenant as usize].pop_front());
            }
            let before = self.over;
            while let Some(bot) = self.queue.front().copied() {
                let Some(worker) = self.workers.some_free(&mut self.random) else { break };
                if self.claim(bot, worker) {
                    self.queue.pop_front();
                }
            }
            // Bots whose meeting is over leave places.
            if self.over == before {
                return;
            }
        }
    }

    /// False if the worker had no room after all.
    fn claim(&mut self, bot: BotNumber, worker: WorkerNumber) -> bool {
        if self.now >= self.end(bot) {
            self.share(bot).taken -= 1;
            self.finish(bot);
            return true;
        }
        if !self.workers.admit(worker, bot, self.setup.cpu_of(bot), self.time()) {
            return false;
        }
        self.bots[bot as usize] = Place::Working { worker, since: self.now, joined: false };
        self.running += 1;
        let (least, most) = self.setup.join;
        let join = least + most.saturating_sub(least).mul_f64(self.random.f64());
        self.events.push(Reverse((self.now + join, Event::Joined(bot))));
        self.events.push(Reverse((self.end(bot), Event::Over(bot))));
        true
    }

    fn joined(&mut self, bot: BotNumber) {
        let meeting = self.meeting(bot);
        let time = self.time();
        if let Place::Working { worker, joined, .. } = &mut self.bots[bot as usize] {
            *joined = true;
            self.workers.joined(*worker, bot, time);
            let wait = self.now.saturating_sub(meeting.start);
            self.notes.joined(wait, !meeting.booked.is_zero(), wait > self.setup.patience);
        }
    }

    fn call_over(&mut self, bot: BotNumber) {
        if self.leave(bot) {
            self.move_on();
        }
    }

    /// False if it is with no worker.
    fn leave(&mut self, bot: BotNumber) -> bool {
        let Place::Working { worker, since, .. } = self.bots[bot as usize] else { return false };
        self.workers.release(worker, bot, self.setup.cpu_of(bot), self.now);
        self.notes.bot_time += self.now - since;
        self.share(bot).taken -= 1;
        self.running -= 1;
        self.finish(bot);
        true
    }

    /// Nothing more comes of a bot.
    fn finish(&mut self, bot: BotNumber) {
        let place = std::mem::replace(&mut self.bots[bot as usize], Place::Over);
        if !matches!(place, Place::Working { joined: true, .. }) {
            let meeting = self.meeting(bot);
            self.notes.never_joined(meeting.duration, !meeting.booked.is_zero());
        }
        self.over += 1;
    }

    fn signals(&self) -> Signals {
        let since = self.queue.front().and_then(|bot| match self.bots[*bot as usize] {
            Place::Waiting { since } => Some(since),
            _ => None,
        });
        Signals {
            waiting: Some(Waiting {
                bots: self.queue.len() as u64 + self.line.wanting(),
                oldest: Some(since.map_or(Duration::ZERO, |since| self.now - since)),
            }),
            workers: Some(self.workers.signals()),
            due: Some(self.due),
            launch: self.setup.launch,
        }
    }

    fn tick(&mut self) {
        let waiting = self.queue.len() + self.held.iter().map(VecDeque::len).sum::<usize>();
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        self.notes.sample(self.now, self.workers.count(), self.running, waiting);
        let decision = self.contender.policy.decide(&self.signals(), self.memory, self.time());
        self.memory = decision.memory;
        let (wanted, there) = (decision.desired, self.workers.staying());
        if wanted != there {
            self.notes.change(self.now, wanted > there);
        }
        for _ in there..wanted {
            let worker = self.workers.launch(self.now);
            self.events.push(Reverse((self.now + self.setup.launch, Event::Ready(worker))));
        }
        self.retire(there.saturating_sub(wanted));
        self.move_on();
        self.events.push(Reverse((self.now + self.setup.every, Event::Tick)));
    }

    fn retire(&mut self, count: u32) {
        if count > 0 && self.contender.drains {
            for worker in self.workers.least_busy(count) {
                self.workers.drain(worker, self.now);
            }
            return;
        }
        for _ in 0..count {
            let Some(worker) = self.workers.oldest() else { return };
            for bot in self.workers.drain(worker, self.now) {
                self.notes.killed += 1;
                self.leave(bot);
            }
        }
    }
}
