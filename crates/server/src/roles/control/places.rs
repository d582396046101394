//! Places that are free go to those who wait in line.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use futures_util::future::join_all;
use muster_session::{Input, Outcome, Session, TenantId};
use muster_store::{Commit, StoreError, TenantLoad};

use super::{AT_A_TIME, BATCH};
use crate::roles::line::Standing;
use crate::roles::{ApplyError, Backend};

/// Gives the places away that are free, to whom they are due, in the order in which they are. What one tenant's bots meet keeps
/// nothing from the others.
pub(super) async fn give(backend: &Backend, loads: &[TenantLoad]) -> anyhow::Result<()> {
    if loads.iter().all(|load| load.held == 0) {
        return Ok(());
    }
    let workers = backend.store.workers().await.context("looking for workers")?;
    let mut line = Standing::new(loads, &workers, &backend.tiers, backend.clock.now()).line;
    let turns: Vec<TenantId> = std::iter::from_fn(|| line.give()).take(BATCH as usize).collect();
    let mut waiting = first_in_line(backend, &turns).await;
    let mut stuck: BTreeSet<TenantId> = BTreeSet::new();
    for turns in turns.chunks(AT_A_TIME) {
        let next = |tenant: &TenantId| waiting.get_mut(tenant).and_then(Iterator::next);
        let sessions: Vec<Session> = turns.iter().filter(|tenant| !stuck.contains(tenant)).filter_map(next).collect();
        let released = join_all(sessions.into_iter().map(async |session| release(backend, session).await)).await;
        stuck.extend(released.into_iter().flatten());
    }
    Ok(())
}

/// Of each tenant as many as it has turns.
async fn first_in_line(backend: &Backend, turns: &[TenantId]) -> BTreeMap<TenantId, std::vec::IntoIter<Session>> {
    let mut counts: BTreeMap<&TenantId, u32> = BTreeMap::new();
    for tenant in turns {
        *counts.entry(tenant).or_default() += 1;
    }
    let of_tenant = async |(tenant, count): (&TenantId, u32)| match backend.store.held(tenant, count).await {
        Ok(sessions) => Some((tenant.clone(), sessions.into_iter())),
        Err(error) => {
            tracing::warn!(%tenant, %error, "those who wait in line cannot be read; trying again");
            None
        }
    };
    join_all(counts.into_iter().map(of_tenant)).await.into_iter().flatten().collect()
}

/// Answers the tenant if there is no use in trying more of it now.
async fn release(backend: &Backend, session: Session) -> Option<TenantId> {
    let (tenant, bot) = (session.tenant.clone(), session.id);
    let as_read = session.clone();
    match backend.apply_to(session, Input::Release).await {
        Ok(_) => {
            tracing::info!(%bot, %tenant, "there is a place for the bot");
            None
        }
        Err(ApplyError::Rejected(_)) => {
            take_out(backend, as_read).await;
            None
        }
        // Somebody stopped it, or another leader was first.
        Err(ApplyError::Missing | ApplyError::Store(StoreError::Conflict)) => None,
        Err(ApplyError::Store(StoreError::Full { .. })) => Some(tenant),
        Err(error) => {
            tracing::warn!(%bot, %tenant, %error, "a bot could not be given its place; trying again");
            Some(tenant)
        }
    }
}

/// Writes a record again that does not wait, though it is in the line: a process of a release that knows no line moved it on.
/// Each write makes the line say what the record says; nobody else is kept waiting behind it.
async fn take_out(backend: &Backend, session: Session) {
    let (bot, now) = (session.id, backend.clock.now());
    match backend.store.commit(Commit::new(session, Outcome::default(), now)).await {
        Ok(_) => tracing::info!(%bot, "a bot that does not wait is taken out of the line"),
        Err(StoreError::Conflict | StoreError::Missing) => {}
        Err(error) => tracing::warn!(%bot, %error, "a bot that does not wait is still in the line; trying again"),
    }
}
