//! The line for places in the fleet, as it was last looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_fleet::fair::{Line, Share};
use muster_fleet::learned::Learned;
use muster_session::{TenantId, Timestamp};
use muster_store::{KnownWorker, StoreError, TenantLoad};
use tokio::time::Instant;

use super::{Backend, lessons};
use crate::config::Tiers;
use crate::supervise::Shutdown;

/// How often the line is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Nothing is decided by what is older than this, if anything newer can be had.
const STALE: Duration = Duration::from_secs(3);
/// How often it is read what the fleet has learned.
const LEARN: Duration = Duration::from_secs(10);

/// Who has how many places, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Places and tenants.
    pub line: Line<TenantId>,
    /// Bots that are with a worker.
    pub running: u64,
}

impl Standing {
    /// By what tenants have and what workers say of themselves.
    #[must_use]
    pub fn new(loads: &[TenantLoad], workers: &[KnownWorker], tiers: &Tiers, now: Timestamp) -> Self {
        let tenants: BTreeMap<_, _> = loads.iter().map(|load| (load.tenant.clone(), tiers.share(load))).collect();
        let live = workers.iter().filter(|worker| !worker.record.is_silent(now));
        let (mut running, mut room) = (0, 0);
        for KnownWorker { record, draining } in live {
            running += u64::from(record.running);
            room += if *draining { 0 } else { u64::from(record.room()) };
        }
        Self { line: Line { capacity: running + room, tenants }, running }
    }

    /// Reads what it is made of.
    pub async fn look(backend: &Backend) -> Result<Self, StoreError> {
        let (loads, workers) = tokio::try_join!(backend.store.loads(), backend.store.workers())?;
        Ok(Self::new(&loads, &workers, &backend.tiers, backend.clock.now()))
    }

    /// How a tenant stands.
    #[must_use]
    pub fn own(&self, tenant: &TenantId, tiers: &Tiers) -> Share {
        let nothing = || tiers.share(&TenantLoad { tenant: tenant.clone(), taken: 0, held: 0 });
        self.line.tenants.get(tenant).copied().unwrap_or_else(nothing)
    }

    /// Most places that a tenant may have taken so that one more bot of it can be sent at once.
    #[must_use]
    pub fn at_once(&self, tenant: &TenantId, tiers: &Tiers) -> u64 {
        self.line.at_once(tenant, self.own(tenant, tiers))
    }

    /// A bot of this tenant has been sent, or else waits in line, since it was looked.
    pub fn add(&mut self, tenant: &TenantId, sent: bool, tiers: &Tiers) {
        let mut own = self.own(tenant, tiers);
        match sent {
            true => own.taken += 1,
            false => own.held += 1,
        }
        self.line.tenants.insert(tenant.clone(), own);
    }
}

/// What a process of the API knows of the line: about a second old, and with what it did itself since. Clones share it.
#[derive(Clone, Debug)]
pub struct View {
    backend: Backend,
    known: Arc<Mutex<Known>>,
    looking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    standing: Standing,
    seen: Option<Instant>,
    learned: Arc<Learned>,
    learned_at: Option<Instant>,
}

impl View {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, known: Arc::default(), looking: Arc::default() }
    }

    /// What it is seen through.
    #[must_use]
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Keeps it fresh until shutdown, so that nobody has to wait for a look.
    pub async fn keep(self, shutdown: Shutdown) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the line cannot be looked at; trying again");
            }
            tokio::select! {
                biased;
                () = shutdown.ended() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Asks of the line as it is known.
    pub async fn ask<T>(&self, question: impl FnOnce(&Standing, &Learned) -> T) -> Result<T, StoreError> {
        if !self.is_fresh() {
            let _one = self.looking.lock().await;
            if !self.is_fresh() {
                self.look().await?;
            }
        }
        let known = self.lock();
        Ok(question(&known.standing, &known.learned))
    }

    /// A bot of this tenant has been sent, or else waits in line.
    pub fn add(&self, tenant: &TenantId, sent: bool) {
        self.lock().standing.add(tenant, sent, &self.backend.tiers);
    }

    async fn look(&self) -> Result<(), StoreError> {
        let knows = self.lock().learned_at.is_some_and(|at| at.elapsed() < LEARN);
        let learned = if knows { None } else { Some(lessons::learned(&*self.backend.store).await?) };
        let standing = Standing::look(&self.backend).await?;
        let (mut known, now) = (self.lock(), Some(Instant::now()));
        (known.standing, known.seen) = (standing, now);
        if let Some(learned) = learned {
            (known.learned, known.learned_at) = (Arc::new(learned), now);
        }
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        self.lock().seen.is_some_and(|at| at.elapsed() < STALE)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
