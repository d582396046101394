//! Single records: creating, compare-and-swap, leases, deleting.

use std::collections::{BTreeMap, BTreeSet};

use muster_session::{BotId, Session, State, TenantId, Timestamp, TranscriptId, WorkerId};

use super::line::Line;
use super::list::{self, TIMES};
use crate::{CreateGuard, Created, LeaseRenewal, PlaceChange, Renewed, StoreError};

/// A tenant's key and the bot that it is bound to.
type Bindings = BTreeMap<(TenantId, String), BotId>;

/// Records, and what they are found by.
#[derive(Default)]
pub(super) struct Sessions {
    rows: BTreeMap<BotId, Row>,
    made: u64,
    idempotency: Bindings,
    deduplication: Bindings,
    transcripts: BTreeMap<TranscriptId, BotId>,
    /// By source and id of their bot there.
    remotes: BTreeMap<(String, String), BotId>,
    /// By time and number of creation.
    pub(super) of_tenant: BTreeMap<TenantId, BTreeMap<(Timestamp, u64), BotId>>,
    /// By each of the times that are looked for, and among equal ones by the order of making.
    pub(super) by_time: [BTreeSet<(Timestamp, u64, BotId)>; TIMES],
    pub(super) counts: BTreeMap<TenantId, BTreeMap<State, u64>>,
    pub(super) line: Line,
}

struct Row {
    session: Session,
    /// Its number among all sessions ever made.
    seq: u64,
    idempotency_key: Option<(TenantId, String)>,
}

impl Sessions {
    pub(super) fn get(&self, bot: BotId) -> Option<&Session> {
        self.rows.get(&bot).map(|row| &row.session)
    }

    pub(super) fn by_transcript(&self, transcript: TranscriptId) -> Option<&Session> {
        self.get(*self.transcripts.get(&transcript)?)
    }

    pub(super) fn by_remote(&self, source: &str, id: &str) -> Option<&Session> {
        self.get(*self.remotes.get(&(source.to_owned(), id.to_owned()))?)
    }

    pub(super) fn create(
        &mut self,
        mut session: Session,
        place: PlaceChange,
        guard: CreateGuard,
    ) -> Result<Created, StoreError> {
        let of_tenant = |key: String| (session.tenant.clone(), key);
        let idempotency_key = guard.idempotency_key.map(of_tenant);
        let deduplication_key = session.deduplication_key.clone().map(of_tenant);
        let bound = |bindings: &Bindings, key: &Option<_>| Some(self.get(*bindings.get(key.as_ref()?)?)?.clone());
        if let Some(winner) = bound(&self.idempotency, &idempotency_key) {
            return Ok(Created::Replayed(winner));
        }
        if let Some(first) = bound(&self.deduplication, &deduplication_key) {
            let same = first.meeting.key == session.meeting.key;
            return Ok(if same { Created::Duplicate(first) } else { Created::Conflict(first) });
        }
        if self.rows.contains_key(&session.id) {
            return Err(StoreError::Conflict);
        }
        self.line.check(&session.tenant, place)?;
        self.line.change(&session.tenant, place);
        place.note(&mut session);
        session.version = 1;
        self.made += 1;
        self.idempotency.extend(idempotency_key.clone().map(|key| (key, session.id)));
        self.deduplication.extend(deduplication_key.map(|key| (key, session.id)));
        self.put_in(Row { session: session.clone(), seq: self.made, idempotency_key });
        Ok(Created::New(session))
    }

    pub(super) fn commit(
        &mut self,
        mut session: Session,
        place: PlaceChange,
        seen: Option<Timestamp>,
    ) -> Result<Session, StoreError> {
        let stored = self.get(session.id).ok_or(StoreError::Missing)?;
        if stored.version != session.version || seen.is_some_and(|seen| stored.lease_until() != Some(seen)) {
            return Err(StoreError::Conflict);
        }
        self.line.check(&session.tenant, place)?;
        place.note(&mut session);
        session.version += 1;
        // The lease may have been renewed since the record was read, which changes no version. The same lease keeps the
        // longer time; another one, or none, is the caller's to decide.
        if let (Some(lease), Some(held)) = (&mut session.lease, &stored.lease)
            && session.fencing == stored.fencing
            && lease.owner == held.owner
        {
            lease.until = lease.until.max(held.until);
        }
        self.line.change(&session.tenant, place);
        if let Some(row) = self.take_out(session.id) {
            self.put_in(Row { session: session.clone(), ..row });
        }
        Ok(session)
    }

    pub(super) fn renew(&mut self, owner: &WorkerId, lease: LeaseRenewal, until: Timestamp) -> Renewed {
        let Some(row) = self.rows.get_mut(&lease.bot) else { return Renewed::Lost };
        let (seq, session) = (row.seq, &mut row.session);
        let stop_requested = session.stop_requested.is_some();
        match &mut session.lease {
            Some(held) if held.owner == *owner && session.fencing == lease.fencing => {
                let ends = &mut self.by_time[list::LEASE_EXPIRED];
                ends.remove(&(held.until, seq, lease.bot));
                held.until = held.until.max(until);
                ends.insert((held.until, seq, lease.bot));
                Renewed::Held { stop_requested }
            }
            _ => Renewed::Lost,
        }
    }

    /// True if it was there.
    pub(super) fn delete(&mut self, bot: BotId) -> bool {
        let Some(Row { session, idempotency_key, .. }) = self.take_out(bot) else { return false };
        self.line.change(&session.tenant, PlaceChange::of_deletion(&session));
        if let Some(key) = idempotency_key {
            self.idempotency.remove(&key);
        }
        if let Some(key) = session.deduplication_key {
            self.deduplication.remove(&(session.tenant, key));
        }
        for transcript in session.transcripts {
            self.transcripts.remove(&transcript.id);
        }
        self.remotes.retain(|_, of| *of != bot);
        true
    }

    fn put_in(&mut self, row: Row) {
        let (session, seq, bot) = (&row.session, row.seq, row.session.id);
        for (at, set) in list::times(session).into_iter().zip(&mut self.by_time) {
            set.extend(at.map(|at| (at, seq, bot)));
        }
        self.line.put_in(session);
        *self.counts.entry(session.tenant.clone()).or_default().entry(session.state).or_default() += 1;
        self.of_tenant.entry(session.tenant.clone()).or_default().insert((session.created_at, seq), bot);
        for transcript in &session.transcripts {
            self.transcripts.entry(transcript.id).or_insert(bot);
        }
        if let Some(remote) = &session.remote
            && let Some(id) = &remote.bot
        {
            self.remotes.entry((remote.source.clone(), id.clone())).or_insert(bot);
        }
        self.rows.insert(bot, row);
    }

    /// The keys, transcripts and bots elsewhere that are bound to it stay.
    fn take_out(&mut self, bot: BotId) -> Option<Row> {
        let row = self.rows.remove(&bot)?;
        let (session, seq) = (&row.session, row.seq);
        for (at, set) in list::times(session).into_iter().zip(&mut self.by_time) {
            if let Some(at) = at {
                set.remove(&(at, seq, bot));
            }
        }
        self.line.take_out(session);
        if let Some(count) = self.counts.get_mut(&session.tenant).and_then(|counts| counts.get_mut(&session.state)) {
            *count -= 1;
        }
        if let Some(places) = self.of_tenant.get_mut(&session.tenant) {
            places.remove(&(session.created_at, seq));
        }
        Some(row)
    }
}
