//! Between the processes and the memory: looks at every write, and checks the invariants.

mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_queue::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
use muster_server::roles::Role;
use muster_session::event::Event;
use muster_session::job::{Job, Topic};
use muster_session::{BotId, EndReason, Session, State, TenantId, Timestamp};
use muster_store::{SessionStore as _, TenantLoad};

use crate::Plant;
use crate::node::{FLEET, worker_id};
use crate::world::{Life, World};

pub use store::WatchedStore;

/// What was seen of a session.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As it was written last.
    pub session: Session,
    /// How many events it told.
    sequence: u64,
    /// When the last of them was.
    at: Timestamp,
    /// It told its terminal event.
    terminal: bool,
    /// It told `bot.done`.
    done: bool,
}

impl Seen {
    const fn new(session: Session) -> Self {
        Self { session, sequence: 0, at: Timestamp::from_millis(0), terminal: false, done: false }
    }

    /// Takes in the events of one write. Invariants: sequence and time never go backwards; exactly one terminal event, then
    /// at most artifact events, then exactly one `bot.done`.
    fn tell(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            let name = event.event.as_str();
            if event.sequence != self.sequence + 1 || event.at < self.at {
                return Err(format!("event {} {name} comes after event {}", event.sequence, self.sequence));
            }
            let artifact = ["manifest.", "audio.", "transcription."].iter().any(|kind| name.starts_with(kind));
            let lawful = match name {
                "bot.stopped" => !self.terminal,
                "bot.done" => self.terminal && !self.done,
                _ if artifact => self.terminal && !self.done,
                _ => !self.terminal,
            };
            if !lawful {
                return Err(format!("{name} comes with a terminal told: {}, done told: {}", self.terminal, self.done));
            }
            self.terminal |= name == "bot.stopped";
            self.done |= name == "bot.done";
            (self.sequence, self.at) = (event.sequence, event.at);
        }
        Ok(())
    }
}

/// Checks a write that was made: `before` is the record that it replaced.
fn written(world: &World, life: Life, before: Option<&Session>, after: &Session, events: &[Event]) {
    let bot = after.id;
    world.tell(|| {
        let names: Vec<&str> = events.iter().map(|event| event.bot_event.as_str()).collect();
        format!("{life} writes {bot} v{}: {} {names:?}", after.version, after.state.as_str())
    });
    let told = {
        let mut state = world.state();
        let seen = state.sessions.entry(bot).or_insert_with(|| Seen::new(after.clone()));
        seen.session = after.clone();
        seen.tell(events)
    };
    if let Err(wrong) = told {
        world.violate(|| format!("events of session {bot}: {wrong}"));
    }
    if after.lease.is_some() != after.state.is_live() {
        world.violate(|| format!("session {bot} is {} with lease {:?}", after.state.as_str(), after.lease));
    }
    let Some(before) = before else { return };
    if after.version != before.version + 1 || after.fencing < before.fencing {
        world.violate(|| {
            format!(
                "session {bot} went from version {} to {}, token {} to {}",
                before.version, after.version, before.fencing, after.fencing
            )
        });
    }
    // Invariant: a worker that ends costs no attempt of a bot that was not let in yet, and is not why it ends.
    if before.attempt > after.attempt {
        world.count("hand-backs");
    }
    let stopped = after.end.as_ref().is_some_and(|end| end.reason == EndReason::WorkerShutdown);
    if stopped && !after.was_admitted() {
        world.violate(|| format!("session {bot} was never let in, and ended by the end of a worker"));
    }
    // A worker writes for what it holds, or takes what nobody does.
    let owner = before.lease.as_ref().map(|lease| &lease.owner);
    if FLEET[life.node] == Role::Worker && owner.is_some_and(|owner| *owner != worker_id(life)) {
        world.violate(|| format!("process {life} wrote session {bot}, which {owner:?} holds"));
    }
}

/// Invariant: a session that waits for a worker has a job, in the outbox or in the queue.
async fn nobody_waits_in_vain(world: &World) {
    let waiting: Vec<(BotId, u32)> = {
        let state = world.state();
        let sessions = state.sessions.values().map(|seen| &seen.session);
        let queued = sessions.filter(|session| session.state == State::Queued && !session.held);
        queued.map(|session| (session.id, session.attempt + 1)).collect()
    };
    if waiting.is_empty() {
        return;
    }
    let outbox = world.store.outbox(Timestamp::from_millis(i64::MAX), u32::MAX).await.unwrap_or_default();
    let queue = world.queue.payloads(Topic::Jobs);
    for (bot, attempt) in waiting {
        let job = Job::Run { bot, attempt };
        let payload = serde_json::to_vec(&job).expect("a job is plain data");
        if !outbox.iter().any(|entry| entry.job == job) && !queue.contains(&payload) {
            world.violate(|| {
                format!("session {bot} waits for attempt {attempt}, and nothing is on its way to a worker")
            });
        }
    }
}

/// Invariant: a tenant's places are those of its sessions, and never more than it may have; and who waits in line is in it.
async fn places_are_right(world: &World) {
    let mut wanted: BTreeMap<TenantId, (u64, u64)> = BTreeMap::new();
    for seen in world.state().sessions.values() {
        let (taken, held) = wanted.entry(seen.session.tenant.clone()).or_default();
        *taken += u64::from(seen.session.has_place());
        *held += u64::from(seen.session.held);
    }
    wanted.retain(|_, counts| *counts != (0, 0));
    let loads = world.store.loads().await.unwrap_or_default();
    let found: BTreeMap<_, _> = loads.iter().map(|load| (load.tenant.clone(), (load.taken, load.held))).collect();
    if found != wanted {
        world.violate(|| format!("places taken and sessions in line are {wanted:?}, and counted as {found:?}"));
    }
    let over = |load: &&TenantLoad| world.tiers().of(&load.tenant).concurrency.is_some_and(|limit| load.taken > limit);
    if let Some(load) = loads.iter().find(over) {
        world.violate(|| format!("{} has {} places, which is more than it may have", load.tenant, load.taken));
    }
}

/// The queue, looked at.
#[derive(Debug)]
pub struct WatchedQueue {
    world: Arc<World>,
    life: Life,
}

impl WatchedQueue {
    /// As the process of this life has it.
    #[must_use]
    pub const fn new(world: Arc<World>, life: Life) -> Self {
        Self { world, life }
    }
}

#[async_trait]
impl Queue for WatchedQueue {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        self.world.queue.enqueue(topic, message).await
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let received = self.world.queue.receive(topic, max, lease, wait).await?;
        for delivery in &received {
            self.world.tell(|| {
                let job = String::from_utf8_lossy(&delivery.payload).into_owned();
                format!("{} receives {job} ({})", self.life, delivery.receives)
            });
            if topic == Topic::Jobs && self.world.plant == Some(Plant::AckBeforeAcquire) {
                self.ack(&delivery.receipt).await?;
            }
        }
        Ok(received)
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        self.world.queue.extend(receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.world.queue.ack(receipt).await?;
        nobody_waits_in_vain(&self.world).await;
        Ok(())
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.world.queue.release(receipt, delay).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.world.queue.dead_letter(receipt, reason).await?;
        nobody_waits_in_vain(&self.world).await;
        Ok(())
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        self.world.queue.dead(topic, limit).await
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        self.world.queue.requeue(topic, id).await
    }

    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        self.world.queue.depth(topic).await
    }

    fn limits(&self) -> Limits {
        self.world.queue.limits()
    }
}
