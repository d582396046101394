//! Scheduled bots set out, each so long before its time as bots take to join.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use muster_fleet::learned::Learned;
use muster_fleet::schedule;
use muster_session::{Input, Session, Timestamp};
use muster_store::StoreError;

use super::{AT_A_TIME, BATCH, TICK};
use crate::roles::line::Standing;
use crate::roles::{ApplyError, Backend, lessons};

/// How often it is read what the fleet has learned.
const LEARN: Duration = Duration::from_secs(10);

/// A look that comes later than this says nothing of the next: another process led, or time was lost.
const LONGEST_PASS: Duration = schedule::SPREAD;

/// What the leader remembers of how long bots take.
#[derive(Debug, Default)]
pub struct Schedule {
    learned: Learned,
    read_at: Option<Timestamp>,
    /// When it was looked last who sets out.
    looked_at: Option<Timestamp>,
}

impl Schedule {
    /// So long before its time a bot has to set out at the latest; none before enough was measured. A look may come a tick late.
    async fn lead(&mut self, backend: &Backend, now: Timestamp) -> anyhow::Result<Option<Duration>> {
        if self.read_at.is_none_or(|at| now.since(at) >= LEARN || now < at) {
            self.learned = lessons::learned(&*backend.store).await.context("reading what was learned")?;
            self.read_at = Some(now);
        }
        Ok(self.learned.lead().map(|lead| lead + 2 * TICK))
    }

    /// Sends those whose time has come. Nobody is read who need not be looked at: those that wait for a time further away cost
    /// nothing.
    pub(super) async fn set_out(&mut self, backend: &Backend) -> anyhow::Result<()> {
        let now = backend.clock.now();
        // The next look comes about as late as this one: a pass that has much to do takes longer than a tick.
        let pass = self.looked_at.map_or(TICK, |at| now.since(at)).clamp(TICK, LONGEST_PASS);
        self.looked_at = Some(now);
        let lead = self.lead(backend, now).await?;
        let horizon = schedule::horizon(now, lead);
        let mut near = due(backend, horizon).await?;
        if near.is_empty() {
            return Ok(());
        }
        let mut left = match near.len() < BATCH as usize {
            // Few enough to look at each: it knows its own time.
            true => {
                near.retain(|session| schedule::sets_out(join_at(session), lead, session.id) <= now);
                near.len() as u64
            }
            false => {
                let all = backend.store.count_due(horizon).await.context("counting due sessions")?;
                let times: Vec<Timestamp> = near.iter().map(join_at).collect();
                schedule::crowd(&times, all, lead, now, pass)
            }
        };
        if left == 0 {
            return Ok(());
        }
        let mut standing = Standing::look(backend).await.context("looking at the line")?;
        loop {
            // So that those who are left are those whose own time is later, once there are few enough to look at each.
            near.sort_by_key(|session| schedule::sets_out(join_at(session), lead, session.id));
            near.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let count = near.len() as u64;
            send(backend, &mut standing, near).await;
            left -= count;
            if left == 0 || count == 0 {
                return Ok(());
            }
            near = due(backend, horizon).await?;
        }
    }
}

async fn due(backend: &Backend, horizon: Timestamp) -> anyhow::Result<Vec<Session>> {
    backend.store.due(horizon, BATCH).await.context("looking for due sessions")
}

fn join_at(session: &Session) -> Timestamp {
    session.join_at.unwrap_or(session.created_at)
}

async fn send(backend: &Backend, standing: &mut Standing, mut sessions: Vec<Session>) {
    while !sessions.is_empty() {
        let rest = sessions.split_off(sessions.len().min(AT_A_TIME));
        let sent = sessions.into_iter().map(|session| {
            let limit = standing.at_once(&session.tenant, &backend.tiers);
            async move { (session.tenant.clone(), send_one(backend, session, limit).await) }
        });
        for (tenant, sent) in join_all(sent.collect::<Vec<_>>()).await {
            match sent {
                Ok(now) => standing.add(&tenant, !now.held, &backend.tiers),
                Err(ApplyError::Missing | ApplyError::Rejected(_) | ApplyError::Store(StoreError::Conflict)) => {}
                // It is tried again at the next look; the others need not wait for it.
                Err(error) => tracing::warn!(%tenant, %error, "a scheduled bot could not set out; trying again"),
            }
        }
        sessions = rest;
    }
}

/// On its way if there is a place, else into the line.
async fn send_one(backend: &Backend, session: Session, limit: u64) -> Result<Session, ApplyError> {
    match backend.apply_within(session.clone(), Input::Due, Some(limit)).await {
        Err(ApplyError::Store(StoreError::Full { .. })) => backend.apply_to(session, Input::Hold).await,
        sent => sent,
    }
}
