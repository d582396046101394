//! Who moves sessions on by time: one process of many.
//!
//! A lead in the store, kept by renewal. It saves work and races, and nothing depends on it: clocks differ and processes
//! stand still, so there may be two leaders for a moment, and every write is a compare-and-swap anyway.

use std::time::Duration;

use muster_session::Timestamp;
use muster_store::StoreError;
use tokio::sync::watch;

use super::Backend;
use crate::clock::Clock;
use crate::supervise::Shutdown;

/// The lead of the control role.
const NAME: &str = "control";
/// Tries in a lease: one that is lost does not lose the lead, and a takeover comes a third of a lease late at most.
const TRIES: u32 = 3;

/// What a process is a candidate with.
#[derive(Clone, Debug)]
pub struct Seat {
    backend: Backend,
    owner: String,
    lease: Duration,
    told: watch::Sender<Timestamp>,
}

/// Whether this process leads. Clones know the same.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Receiver<Timestamp>,
    clock: Clock,
}

/// A candidate, and what it knows of itself. It leads for nobody before [`Seat::keep`] runs.
#[must_use]
pub fn seat(backend: Backend, owner: String, lease: Duration) -> (Seat, Leadership) {
    let (told, until) = watch::channel(Timestamp::from_millis(0));
    let clock = backend.clock.clone();
    (Seat { backend, owner, lease, told }, Leadership { until, clock })
}

impl Leadership {
    /// True until the time that the lead was last taken for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.clock.now() < *self.until.borrow()
    }
}

impl Seat {
    /// Takes the lead when nobody has it, and keeps it until shutdown.
    pub async fn keep(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut led = false;
        loop {
            match self.take().await {
                Ok(leads) => {
                    if leads != led {
                        tracing::info!(owner = self.owner, leads, "the lead of the control role changed");
                    }
                    led = leads;
                }
                // What was taken lasts until its end; the next try may come in time.
                Err(error) => tracing::warn!(%error, "the lead could not be asked for"),
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(self.lease / TRIES) => {}
                () = shutdown.ended() => break,
            }
        }
        if led && let Err(error) = self.give_up().await {
            tracing::warn!(%error, "the lead could not be given up; it will run out");
        }
        Ok(())
    }

    async fn take(&self) -> Result<bool, StoreError> {
        let now = self.backend.clock.now();
        let until = now + self.lease;
        let leads = self.backend.store.lead(NAME, &self.owner, now, until).await?;
        self.told.send_replace(if leads { until } else { now });
        Ok(leads)
    }

    /// So that another need not wait.
    async fn give_up(&self) -> Result<(), StoreError> {
        let now = self.backend.clock.now();
        self.told.send_replace(now);
        self.backend.store.lead(NAME, &self.owner, now, now).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use muster_embedded::Durability;
    use muster_queue::JobQueue;
    use muster_queue::embedded::EmbeddedQueue;
    use muster_store::embedded::EmbeddedStore;

    use super::*;

    const LEASE: Duration = Duration::from_secs(9);

    #[tokio::test]
    async fn one_leads_and_another_takes_over_within_two_leases() {
        let dir = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_000_000));
        let told = Arc::clone(&now);
        let backend = Backend::new(
            Arc::new(EmbeddedStore::open(dir.path(), Durability::Normal).unwrap()),
            JobQueue::new(Arc::new(EmbeddedQueue::open(dir.path(), Durability::Normal).unwrap())),
            Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst))),
        );
        let (a, a_leads) = seat(backend.clone(), "a".into(), LEASE);
        let (b, b_leads) = seat(backend, "b".into(), LEASE);
        assert!(!a_leads.holds(), "not before it asked");
        // Both ask every third of a lease; `a` dies after some time.
        let third = i64::try_from(LEASE.as_millis()).unwrap() / 3;
        for _ in 0..5 {
            assert!(a.take().await.unwrap());
            assert!(!b.take().await.unwrap());
            assert!(a_leads.holds() && !b_leads.holds());
            now.fetch_add(third, Ordering::SeqCst);
        }
        let mut tries = 1;
        while !b.take().await.unwrap() {
            assert!(!b_leads.holds());
            now.fetch_add(third, Ordering::SeqCst);
            tries += 1;
        }
        assert!(tries <= 2 * TRIES && b_leads.holds() && !a_leads.holds(), "{tries} tries");
        // The dead one was only asleep.
        assert!(!a.take().await.unwrap() && !a_leads.holds());
        b.give_up().await.unwrap();
        assert!(!b_leads.holds());
        assert!(a.take().await.unwrap(), "what is given up can be taken at once");
    }
}
