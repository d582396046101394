//! A tenant's webhook endpoints, as every commit with webhooks needs them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_session::TenantId;
use muster_store::{Endpoint, SessionStore, StoreError};
use tokio::time::Instant;

/// So long an endpoint that another process changed may be seen as it was.
const FRESH: Duration = Duration::from_secs(2);
/// Tenants that are remembered, at most.
const TENANTS_MAX: usize = 10_000;

/// Remembers endpoints for a moment. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    known: Arc<Mutex<HashMap<TenantId, Known>>>,
    /// How often something was forgotten: what was read before that is not to be remembered after it.
    changes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    endpoints: Arc<[Endpoint]>,
}

impl Endpoints {
    /// The endpoints of a tenant, as they were at most two seconds ago.
    pub async fn of(&self, store: &dyn SessionStore, tenant: &TenantId) -> Result<Arc<[Endpoint]>, StoreError> {
        let now = Instant::now();
        if let Some(endpoints) = self.fresh(tenant, now) {
            return Ok(endpoints);
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let endpoints: Arc<[Endpoint]> = store.endpoints(tenant).await?.into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TENANTS_MAX {
            known.retain(|_, known| now.duration_since(known.since) < FRESH);
        }
        if changes == self.changes.load(Ordering::SeqCst) {
            known.insert(tenant.clone(), Known { since: now, endpoints: Arc::clone(&endpoints) });
        }
        Ok(endpoints)
    }

    fn fresh(&self, tenant: &TenantId, now: Instant) -> Option<Arc<[Endpoint]>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(tenant)?;
        (now.duration_since(known.since) < FRESH).then(|| Arc::clone(&known.endpoints))
    }

    /// Forgets a tenant's endpoints, so that a change of this process counts from now on.
    pub fn forget(&self, tenant: &TenantId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::SeqCst);
        known.remove(tenant);
    }
}
