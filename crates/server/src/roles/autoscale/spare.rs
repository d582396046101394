//! Workers beyond those that are wanted: which of them go.
//!
//! Bots that are spread thin leave no worker without one. So when fewer workers are wanted, those that have the fewest bots are
//! told to take no more, and end when these have left (`drain`). A worker that ends by its own clock asks first whether it can
//! be spared ([`leave`]). Both count the fleet and change what is counted one at a time.

use std::time::Duration;

use anyhow::Context;
use muster_fleet::scaling::least_busy;
use muster_session::WorkerId;
use muster_store::{Ending, KnownWorker};
use uuid::Uuid;

use super::actuators::Fewer;
use super::kept::Kept;
use crate::roles::Backend;

/// The lead of whoever counts.
const NAME: &str = "spare";
/// Longest time that somebody counts.
const COUNTING: Duration = Duration::from_secs(15);

/// Notes how many workers are too many after a change. Of those beyond what was wanted before nothing is known: while a service is
/// deployed anew, twice as many are alive, and they are not to drain for that.
pub(super) fn note(kept: &mut Kept, from: u32, to: u32, alive: Option<u32>) {
    kept.spare = match alive {
        Some(alive) if to < from => (kept.spare + (from - to)).min(alive.saturating_sub(to)),
        _ => 0,
    };
}

/// Tells those to drain that are to go, of the workers that were `seen`; answers how many were told, or none if another leader
/// decided meanwhile. What is left in `kept` is for later: ended by somebody else, or found again by the next step.
pub(super) async fn drain(
    backend: &Backend,
    kept: &mut Kept,
    fewer: Fewer,
    seen: Option<&[KnownWorker]>,
) -> anyhow::Result<Option<u32>> {
    let can_go = |worker: &KnownWorker| !worker.draining && worker.record.ending != Ending::Stays;
    let seen = seen.filter(|seen| kept.spare > 0 && seen.iter().any(can_go));
    let (Some(seen), Some(desired)) = (seen, kept.memory.desired) else { return Ok(Some(0)) };
    // Its own, as another process may think that it leads.
    let who = format!("control-{}", Uuid::new_v4().as_simple());
    let Some(counting) = Counting::start(backend, &who).await? else { return Ok(Some(0)) };
    let drained = async {
        // Nobody can take a drain back.
        if Kept::load(&*backend.store).await?.version != kept.version {
            return Ok(None);
        }
        let known = backend.store.workers().await.context("reading the workers")?;
        // One that was silent when it was seen may speak again, and is not counted on.
        let is_seen = |worker: &KnownWorker| seen.iter().any(|one| one.record.id == worker.record.id);
        let alive: Vec<KnownWorker> = known.into_iter().filter(is_seen).collect();
        let (going, left) = choose(kept.spare, desired, fewer, &alive);
        for worker in &going {
            backend.store.drain_worker(worker).await.context("telling a worker to drain")?;
            tracing::info!(%worker, desired, "told a worker to drain: fewer are wanted");
        }
        anyhow::Ok(Some((u32::try_from(going.len()).unwrap_or(u32::MAX), left)))
    };
    let drained = drained.await;
    counting.end().await;
    let Some((told, left)) = drained? else { return Ok(None) };
    if left != kept.spare {
        kept.spare = left;
        kept.save(&*backend.store).await?;
    }
    Ok(Some(told))
}

/// Who goes of these workers, and how many are too many after that.
fn choose(spare: u32, desired: u32, fewer: Fewer, alive: &[KnownWorker]) -> (Vec<WorkerId>, u32) {
    let active = || alive.iter().filter(|worker| !worker.draining).map(|worker| &worker.record);
    let spare = u32::try_from(active().count()).unwrap_or(u32::MAX).saturating_sub(desired).min(spare);
    let idle =
        u32::try_from(active().filter(|worker| worker.ending == Ending::Replaced && worker.running == 0).count())
            .unwrap_or(u32::MAX);
    let (ends, going): (fn(_, _) -> bool, u32) = match fewer {
        Fewer::Nobody => (|_, _| false, 0),
        Fewer::Drained => (|ending, _| ending == Ending::Ends, spare),
        Fewer::IdleFirst => (|ending, running| ending != Ending::Stays && running > 0, spare.saturating_sub(idle)),
    };
    let ends = active().filter(|worker| ends(worker.ending, worker.running));
    let going = least_busy(ends.map(|worker| (worker.id.clone(), worker.running, worker.started_at)), going as usize);
    let left = spare.saturating_sub(u32::try_from(going.len()).unwrap_or(u32::MAX));
    (going, left)
}

/// Whether a worker may end because it has no bot. If so, it is known to drain, so that the next one that asks counts without
/// it. Where nobody has ever decided how many workers there are to be, it may; what cannot be read keeps it.
///
/// # Errors
///
/// If the store does not answer.
pub async fn leave(backend: &Backend, worker: &WorkerId) -> anyhow::Result<bool> {
    let Some(counting) = Counting::start(backend, worker.as_str()).await? else { return Ok(false) };
    let left = async {
        let is_spare = is_one_spare(backend).await?;
        if is_spare {
            backend.store.drain_worker(worker).await.context("telling that a worker drains")?;
        }
        anyhow::Ok(is_spare)
    };
    let left = left.await;
    counting.end().await;
    left
}

async fn is_one_spare(Backend { store, clock, .. }: &Backend) -> anyhow::Result<bool> {
    let kept = Kept::load(&**store).await?;
    if kept.version == 0 {
        return Ok(true);
    }
    let workers = store.workers().await.context("reading the workers")?;
    let now = clock.now();
    let active = workers.iter().filter(|worker| !worker.draining && !worker.record.is_lost(now)).count();
    Ok(kept.memory.desired.is_some_and(|desired| active > desired as usize))
}

/// Held by the one who counts.
struct Counting<'a> {
    backend: &'a Backend,
    who: &'a str,
}

impl<'a> Counting<'a> {
    /// None if somebody else is at it.
    async fn start(backend: &'a Backend, who: &'a str) -> anyhow::Result<Option<Self>> {
        let now = backend.clock.now();
        let is_free =
            backend.store.lead(NAME, who, now, now + COUNTING).await.context("asking to count the workers")?;
        Ok(is_free.then_some(Self { backend, who }))
    }

    async fn end(self) {
        let Self { backend, who } = self;
        let now = backend.clock.now();
        if let Err(error) = backend.store.lead(NAME, who, now, now).await {
            tracing::warn!(%error, "others count the workers a little later");
        }
    }
}

#[cfg(test)]
mod tests;
