//! Places that tenants have taken, and sessions that wait in line for one.

use std::collections::BTreeMap;

use muster_redis::ScriptInvocation;
use muster_session::{BotId, Session, State, TenantId};

use super::sessions::{Raw, decode};
use super::{RedisStore, arguments, scripts};
use crate::{PlaceChange, StoreError, TenantLoad};

/// What a write does to the places, and what the session has after it, as the scripts take it.
pub(super) fn argument(script: &mut ScriptInvocation<'_>, session: &Session, place: PlaceChange) {
    let (change, limit) = match place {
        PlaceChange::Keep => ("keep", None),
        PlaceChange::Free => ("free", None),
        PlaceChange::Take { limit } => ("take", limit),
    };
    script.arg(change).arg(limit.map_or_else(String::new, |limit| limit.to_string()));
    script.arg(u8::from(session.place));
    script.arg(u8::from(session.state == State::Queued && session.held));
}

pub(super) async fn loads(store: &RedisStore) -> Result<Vec<TenantLoad>, StoreError> {
    let (taken, mut held): (BTreeMap<String, u64>, BTreeMap<String, u64>) =
        store.script(&scripts::LOADS, arguments(|script| script)).await?;
    let mut loads = Vec::with_capacity(taken.len());
    for (tenant, taken) in taken {
        let held = held.remove(&tenant).unwrap_or_default();
        loads.push(TenantLoad { tenant: TenantId::new(tenant), taken, held });
    }
    loads.extend(held.into_iter().map(|(tenant, held)| TenantLoad { tenant: TenantId::new(tenant), taken: 0, held }));
    loads.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    Ok(loads)
}

pub(super) async fn held(store: &RedisStore, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
    let fill = arguments(|script| script.arg(tenant.as_str()).arg(limit));
    let found: Vec<Raw> = store.script(&scripts::HELD, fill).await?;
    found.into_iter().filter_map(|raw| decode(raw).transpose()).collect()
}

pub(super) async fn held_before(store: &RedisStore, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
    store.script(&scripts::HELD_BEFORE, arguments(|script| script.arg(tenant.as_str()).arg(bot.to_string()))).await
}
