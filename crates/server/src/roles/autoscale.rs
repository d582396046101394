//! How many workers there are to be, and who makes it so.
//!
//! The process that leads looks at the fleet ([`look`]), lets `muster_fleet::scaling` decide, keeps what was decided in the
//! store ([`kept`]), so that whoever leads next goes on from there, and hands it to an actuator ([`actuators`]). When there are to
//! be fewer, workers with few bots drain ([`spare`]). Everybody else can see what is wanted ([`status`]): the API, and KEDA by
//! [`keda`].

pub mod actuators;
mod adopt;
pub mod keda;
pub mod kept;
pub mod look;
pub mod spare;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_fleet::scaling::{Decision, Policy};
use muster_session::Timestamp;

use self::actuators::{Actuator, Count, Publisher};
use self::kept::{Change, Kept};
use self::look::{Eyes, Look};
use self::status::Status;
use super::Backend;
use super::leader::Leadership;
use crate::supervise::Shutdown;

/// How often a process that does not lead looks whether it does.
const STAND_BY: Duration = Duration::from_millis(500);

/// What is known of the fleet's size, and by which policy. For the API, for KEDA, and for the scaler itself. Clones share what
/// they noticed.
#[derive(Clone, Debug)]
pub struct Scaling {
    backend: Backend,
    policy: Policy,
    actuator: &'static str,
    eyes: Arc<Eyes>,
}

impl Scaling {
    /// `actuator` is what the configuration calls it.
    #[must_use]
    pub fn new(backend: Backend, policy: Policy, actuator: &'static str) -> Self {
        let eyes = Arc::new(Eyes::new(backend.clone()));
        Self { backend, policy, actuator, eyes }
    }

    /// How the fleet is, and what is wanted. `Err` says what could not be read: then nobody is to change anything. Changes
    /// nothing itself. Answers within 3 s.
    pub async fn status(&self) -> Result<Status, String> {
        let answer = async {
            let kept = Kept::load(&*self.backend.store).await.map_err(|error| format!("{error:#}"))?;
            let look = self.eyes.look(kept.launch()).await;
            Status::new(self, &kept, &look, self.backend.clock.now())
        };
        let late = |_| Err("the store and the queue do not answer in time".to_owned());
        tokio::time::timeout(look::ANSWER, answer).await.unwrap_or_else(late)
    }
}

/// Decides, remembers and acts. For the process that leads.
#[derive(Debug)]
pub struct Scaler {
    scaling: Scaling,
    actuator: Box<dyn Actuator>,
    publisher: Option<Box<dyn Publisher>>,
}

impl Scaler {
    /// Over these.
    #[must_use]
    pub fn new(scaling: Scaling, actuator: Box<dyn Actuator>, publisher: Option<Box<dyn Publisher>>) -> Self {
        Self { scaling, actuator, publisher }
    }

    /// One decision, and what follows from it. An error is about what can be tried again: what was decided is kept, and is
    /// done the next time. A worker is neither started nor ended on the word of a fleet that could not be read.
    pub async fn step(&self) -> anyhow::Result<()> {
        let Scaling { backend, policy, eyes, .. } = &self.scaling;
        let before = Kept::load(&*backend.store).await?;
        let mut kept = before.clone();
        let look = eyes.look(kept.launch()).await;
        kept.learn(&look.workers);
        let count = self.actuator.count(&look).await;
        let there = count.as_ref().ok().copied().flatten();
        let now = backend.clock.now();
        if count.is_ok() {
            adopt::adopt(&mut kept, there, look.alive(), self.held(&look), now);
            kept.bounds = there.map(|there| (there.min, there.max));
        }
        if kept.elsewhere.is_some() {
            // Nothing is decided on a number that may be an old one.
            return kept.save(&*backend.store).await.map(drop);
        }
        let policy = within(*policy, &kept);
        let decision = policy.decide(&look.signals, kept.memory, now);
        let change = take(&mut kept, &decision, &look, now);
        if let Some(change) = &change {
            let (from, to, reason) = (change.from, change.to, &change.detail);
            tracing::info!(from, to, reason, actuator = self.scaling.actuator, "another number of workers is wanted");
        }
        if kept != before && !kept.save(&*backend.store).await? {
            // Another leader decided meanwhile, and does what it decided.
            return Ok(());
        }
        let there = count.context("the workers that were asked for could not be read")?;
        // First: a service that was asked for fewer before it is known who goes would end any other that has no bot meanwhile.
        let seen = look.signals.workers.as_ref().map(|_| look.workers.as_slice());
        let Some(told) = spare::drain(backend, &mut kept, self.actuator.fewer(), seen).await? else { return Ok(()) };
        let told = if self.actuator.counts_draining() { told } else { 0 };
        // Who drains is not known when the workers are not: what was asked for before is asked for again.
        let asked = match self.held(&look) {
            Some(held) => decision.desired.saturating_add(held).saturating_add(told),
            None => kept.asked.unwrap_or(decision.desired),
        };
        self.act(&mut kept, there, asked, &look).await?;
        self.publish(&kept, &look, now).await
    }

    /// Workers that whoever makes it so counts beside those that take bots; none if that could not be read.
    fn held(&self, look: &Look) -> Option<u32> {
        if self.actuator.counts_draining() { look.held() } else { Some(0) }
    }

    /// Asks for so many, unless they are there.
    async fn act(&self, kept: &mut Kept, there: Option<Count>, asked: u32, look: &Look) -> anyhow::Result<()> {
        let asked = kept.bounds.map_or(asked, |(min, max)| asked.clamp(min, max.max(min)));
        if kept.asked != Some(asked) {
            // Before it is done: a number that was not asked for is somebody else's.
            (kept.asked, kept.applied) = (Some(asked), false);
            if !kept.save(&*self.scaling.backend.store).await? {
                return Ok(());
            }
        }
        let is_so = there.map_or(kept.applied, |there| there.workers == asked);
        if !is_so {
            self.actuator
                .set(there, asked, look)
                .await
                .with_context(|| format!("{asked} workers could not be asked for; this is tried again"))?;
        }
        if !kept.applied {
            kept.applied = true;
            kept.save(&*self.scaling.backend.store).await?;
        }
        Ok(())
    }

    async fn publish(&self, kept: &Kept, look: &Look, now: Timestamp) -> anyhow::Result<()> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        // What could not be read is not published: an alarm is to see that data is missing.
        let Ok(status) = Status::new(&self.scaling, kept, look, now) else { return Ok(()) };
        publisher.publish(&status).await.context("figures of the fleet could not be published")
    }

    async fn end(&self) {
        self.actuator.end().await;
    }
}

/// The policy, with bounds of whoever makes it so.
fn within(policy: Policy, kept: &Kept) -> Policy {
    let Some((min, max)) = kept.bounds else { return policy };
    let max_workers = policy.max_workers.min(max);
    Policy { max_workers, min_workers: policy.min_workers.max(min).min(max_workers), ..policy }
}

/// Notes a decision; answers what it changes.
fn take(kept: &mut Kept, decision: &Decision, look: &Look, now: Timestamp) -> Option<Change> {
    let alive = look.alive();
    let from = kept.memory.desired.or(alive);
    kept.memory = decision.memory;
    kept.tell(decision, now);
    let from = from.filter(|from| *from != decision.desired)?;
    let change = Change::new(from, decision, now);
    kept.applied = false;
    spare::note(kept, from, decision.desired, alive);
    let missing = decision.desired.saturating_sub(alive.unwrap_or(from));
    kept.expected = if decision.desired > from { missing } else { kept.expected.min(missing) };
    kept.note(change.clone());
    Some(change)
}

/// Decides whenever it is time, if this process leads, until shutdown.
pub async fn run(
    scaler: Arc<Scaler>,
    every: Duration,
    leadership: Leadership,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    loop {
        let leads = leadership.holds();
        if leads && let Err(error) = scaler.step().await {
            tracing::warn!(error = format!("{error:#}"), "the fleet could not be scaled; trying again");
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(if leads { every } else { STAND_BY.min(every) }) => {}
            () = shutdown.ended() => break,
        }
    }
    scaler.end().await;
    Ok(())
}

#[cfg(test)]
mod tests;
