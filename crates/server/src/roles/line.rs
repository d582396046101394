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
        let live = workers.iter().filter(|worker| !worker.record.is_lost(now));
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
    /// Bots that are about to wait in line. The standing has them; who looks may not see them yet.
    coming: BTreeMap<TenantId, u64>,
    /// What was done since the last look began, which may not have seen it.
    since: Vec<(TenantId, bool)>,
}

/// A place in line, for a bot that is about to be written. Dropped before it was, it is given back.
#[derive(Debug)]
#[must_use]
pub struct InLine {
    view: View,
    tenant: TenantId,
    written: bool,
}

impl InLine {
    /// The bot was written, and waits.
    pub fn written(mut self) {
        self.written = true;
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut known = self.view.lock();
        if let Some(coming) = known.coming.get_mut(&self.tenant) {
            *coming -= 1;
            if *coming == 0 {
                known.coming.remove(&self.tenant);
            }
        }
        if self.written {
            known.since.push((self.tenant.clone(), false));
        } else if let Some(own) = known.standing.line.tenants.get_mut(&self.tenant) {
            own.held = own.held.saturating_sub(1);
        }
    }
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
            let looked = async {
                let _one = self.looking.lock().await;
                self.look().await
            };
            if let Err(error) = looked.await {
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
        self.refresh().await?;
        let known = self.lock();
        Ok(question(&known.standing, &known.learned))
    }

    /// Takes a place in line for a bot of this tenant, unless there is a reason why it may not wait. Those that ask at once see
    /// each other.
    pub async fn line_up<E: From<StoreError>>(
        &self,
        tenant: &TenantId,
        refusal: impl FnOnce(&Standing, &Learned) -> Option<E>,
    ) -> Result<InLine, E> {
        self.refresh().await?;
        let mut known = self.lock();
        if let Some(refused) = refusal(&known.standing, &known.learned) {
            return Err(refused);
        }
        known.standing.add(tenant, false, &self.backend.tiers);
        *known.coming.entry(tenant.clone()).or_default() += 1;
        Ok(InLine { view: self.clone(), tenant: tenant.clone(), written: false })
    }

    /// A bot of this tenant has been sent.
    pub fn sent(&self, tenant: &TenantId) {
        let mut known = self.lock();
        known.standing.add(tenant, true, &self.backend.tiers);
        known.since.push((tenant.clone(), true));
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        if !self.is_fresh() {
            let _one = self.looking.lock().await;
            if !self.is_fresh() {
                self.look().await?;
            }
        }
        Ok(())
    }

    /// For one at a time.
    async fn look(&self) -> Result<(), StoreError> {
        let knows = self.lock().learned_at.is_some_and(|at| at.elapsed() < LEARN);
        self.lock().since.clear();
        let learned = if knows { None } else { Some(lessons::learned(&*self.backend.store).await?) };
        let mut standing = Standing::look(&self.backend).await?;
        let (mut known, now) = (self.lock(), Some(Instant::now()));
        // Some of it may have been seen already, and is there twice until the next look: too many for a second, never too few.
        for (tenant, sent) in &known.since {
            standing.add(tenant, *sent, &self.backend.tiers);
        }
        for (tenant, coming) in &known.coming {
            (0..*coming).for_each(|_| standing.add(tenant, false, &self.backend.tiers));
        }
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
