//! Places that tenants have taken, and sessions that wait in line for one.

use std::collections::{BTreeMap, BTreeSet};

use muster_session::{BotId, Session, State, TenantId, Timestamp};

use super::sessions::Sessions;
use crate::{PlaceChange, StoreError, TenantLoad};

/// Of all tenants; none of them with nothing.
#[derive(Default)]
pub(super) struct Line {
    taken: BTreeMap<TenantId, u64>,
    /// By age, and among equal ones by id.
    held: BTreeMap<TenantId, BTreeSet<(Timestamp, BotId)>>,
}

impl Line {
    /// Refused if there is no place to take.
    pub(super) fn check(&self, tenant: &TenantId, place: PlaceChange) -> Result<(), StoreError> {
        let taken = self.taken.get(tenant).copied().unwrap_or_default();
        match place {
            PlaceChange::Take { limit: Some(limit) } if taken >= limit => Err(StoreError::Full { taken }),
            _ => Ok(()),
        }
    }

    pub(super) fn change(&mut self, tenant: &TenantId, place: PlaceChange) {
        match (place, self.taken.get_mut(tenant)) {
            (PlaceChange::Keep, _) | (PlaceChange::Free, None) => {}
            (PlaceChange::Take { .. }, Some(taken)) => *taken += 1,
            (PlaceChange::Take { .. }, None) => drop(self.taken.insert(tenant.clone(), 1)),
            (PlaceChange::Free, Some(taken)) if *taken > 1 => *taken -= 1,
            (PlaceChange::Free, Some(_)) => drop(self.taken.remove(tenant)),
        }
    }

    pub(super) fn put_in(&mut self, session: &Session) {
        if waits(session) {
            self.held.entry(session.tenant.clone()).or_default().insert(place(session));
        }
    }

    pub(super) fn take_out(&mut self, session: &Session) {
        let Some(held) = self.held.get_mut(&session.tenant) else { return };
        held.remove(&place(session));
        if held.is_empty() {
            self.held.remove(&session.tenant);
        }
    }

    pub(super) fn loads(&self) -> Vec<TenantLoad> {
        let tenants: BTreeSet<&TenantId> = self.taken.keys().chain(self.held.keys()).collect();
        let load = |tenant: &TenantId| TenantLoad {
            tenant: tenant.clone(),
            taken: self.taken.get(tenant).copied().unwrap_or_default(),
            held: self.held.get(tenant).map_or(0, |held| held.len() as u64),
        };
        tenants.into_iter().map(load).collect()
    }
}

impl Sessions {
    pub(super) fn held(&self, tenant: &TenantId, limit: u32) -> Vec<Session> {
        let held = self.line.held.get(tenant).into_iter().flatten().take(limit as usize);
        held.filter_map(|(_, bot)| self.get(*bot).cloned()).collect()
    }

    pub(super) fn held_before(&self, tenant: &TenantId, bot: BotId) -> Option<u64> {
        let (held, session) = (self.line.held.get(tenant)?, self.get(bot)?);
        held.contains(&place(session)).then(|| held.range(..place(session)).count() as u64)
    }
}

fn waits(session: &Session) -> bool {
    session.state == State::Queued && session.held
}

fn place(session: &Session) -> (Timestamp, BotId) {
    (session.created_at, session.id)
}
