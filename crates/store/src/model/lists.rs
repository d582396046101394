//! What the store should be, in the plainest form.

use muster_session::{BotId, Session, State, TenantId, Timestamp, WorkerId};

use super::held;
use crate::{
    Commit, CreateGuard, Created, Delivery, DeliveryStatus, Document, Endpoint, InboxEntry, LeaseRenewal, LogEntry,
    OutboxJob, PlaceChange, Renewed,
};

/// Everything in order of its making.
pub(super) struct Lists {
    pub(super) now: Timestamp,
    pub(super) sessions: Vec<Session>,
    pub(super) outbox: Vec<OutboxJob>,
    pub(super) deliveries: Vec<Delivery>,
    log: Vec<(BotId, LogEntry)>,
    keys: Vec<(BotId, Option<String>)>,
    /// Ids of bots elsewhere, of one source.
    remotes: Vec<(String, BotId)>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) inbox: Vec<InboxEntry>,
    pub(super) documents: Vec<Document>,
    /// Whose places are taken, each.
    pub(super) taken: Vec<TenantId>,
    jobs_made: u64,
    pub(super) deliveries_made: u64,
    pub(super) notices: u64,
    /// Equal times sort in the order of making, not by id.
    in_order: bool,
}

impl Lists {
    pub(super) fn new(now: Timestamp, in_order: bool) -> Self {
        Self {
            now,
            sessions: Vec::new(),
            outbox: Vec::new(),
            deliveries: Vec::new(),
            log: Vec::new(),
            keys: Vec::new(),
            remotes: Vec::new(),
            endpoints: Vec::new(),
            inbox: Vec::new(),
            documents: Vec::new(),
            taken: Vec::new(),
            jobs_made: 0,
            deliveries_made: 0,
            notices: 0,
            in_order,
        }
    }

    /// One of the sessions, the latest ones first.
    pub(super) fn pick(&self, which: usize) -> Option<&Session> {
        self.sessions.iter().rev().nth(which)
    }

    fn session(&mut self, bot: BotId) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.id == bot).unwrap()
    }

    /// None if there is no place to take.
    pub(super) fn create(&mut self, commit: Commit, guard: CreateGuard) -> Option<Created> {
        let new = &commit.session;
        let of_tenant = || self.sessions.iter().filter(|session| session.tenant == new.tenant);
        let key_of = |bot| self.keys.iter().find(|(of, _)| *of == bot).and_then(|(_, key)| key.clone());
        if guard.idempotency_key.is_some()
            && let Some(winner) = of_tenant().find(|session| key_of(session.id) == guard.idempotency_key)
        {
            return Some(Created::Replayed(winner.clone()));
        }
        let bound = |session: &&Session| session.deduplication_key == new.deduplication_key;
        if new.deduplication_key.is_some()
            && let Some(first) = of_tenant().find(bound).cloned()
        {
            let same = first.meeting.key == new.meeting.key;
            return Some(if same { Created::Duplicate(first) } else { Created::Conflict(first) });
        }
        let mut session = new.clone();
        self.change_place(&session.tenant, commit.place)?;
        commit.place.note(&mut session);
        session.version = 1;
        self.keys.push((session.id, guard.idempotency_key));
        self.sessions.push(session.clone());
        self.consequences(&session, commit);
        Some(Created::New(session))
    }

    /// None if there is no place to take.
    pub(super) fn commit(&mut self, commit: Commit) -> Option<Session> {
        // Every record of the model shows the renewed lease, so there is nothing to join.
        let mut session = commit.session.clone();
        self.change_place(&session.tenant, commit.place)?;
        commit.place.note(&mut session);
        session.version += 1;
        *self.session(session.id) = session.clone();
        self.consequences(&session, commit);
        Some(session)
    }

    fn consequences(&mut self, session: &Session, commit: Commit) {
        for (job, pause) in commit.jobs {
            self.jobs_made += 1;
            self.outbox.push(OutboxJob { id: self.jobs_made, job, due: commit.now + pause });
        }
        for event in commit.events {
            self.deliver(&session.tenant, event, session.callback_url.as_ref(), &commit.endpoints, commit.now);
        }
        if let Some(id) = session.remote.as_ref().and_then(|remote| remote.bot.clone())
            && self.by_remote(&id).is_none()
        {
            self.remotes.push((id, session.id));
        }
        self.inbox.extend(commit.inbox);
    }

    pub(super) fn by_remote(&self, id: &str) -> Option<&Session> {
        let (_, bot) = self.remotes.iter().find(|(known, _)| known == id)?;
        self.sessions.iter().find(|session| session.id == *bot)
    }

    /// Gives what has no id of the store yet the id of its like there.
    pub(super) fn adopt(&mut self, jobs: &[OutboxJob], deliveries: &[Delivery]) {
        let known: Vec<u64> = self.outbox.iter().map(|entry| entry.id).collect();
        let mut fresh = jobs.iter().filter(|entry| !known.contains(&entry.id)).collect::<Vec<_>>();
        for entry in self.outbox.iter_mut().filter(|entry| jobs.iter().all(|there| there.id != entry.id)) {
            let at = fresh.iter().position(|there| (&there.job, there.due) == (&entry.job, entry.due)).unwrap();
            entry.id = fresh.remove(at).id;
        }
        for there in deliveries {
            let same = |known: &&mut Delivery| (&known.event, known.endpoint) == (&there.event, there.endpoint);
            self.deliveries.iter_mut().find(same).unwrap().id = there.id;
        }
        let known: Vec<u64> = self.outbox.iter().map(|entry| entry.id).collect();
        assert!(jobs.iter().all(|there| known.contains(&there.id)), "jobs of nobody");
    }

    pub(super) fn renew(&mut self, owner: &WorkerId, lease: LeaseRenewal, until: Timestamp) -> Renewed {
        let session = self.session(lease.bot);
        match &mut session.lease {
            Some(held_by) if held_by.owner == *owner && session.fencing == lease.fencing => {
                held_by.until = held_by.until.max(until);
                held(session)
            }
            _ => Renewed::Lost,
        }
    }

    /// False if the lease is another, or none.
    pub(super) fn append_log(&mut self, bot: BotId, fencing: u64, line: LogEntry) -> bool {
        let session = self.session(bot);
        let held = session.fencing == fencing && session.lease.is_some();
        if held && self.log.iter().all(|(of, known)| *of != bot || known.key != line.key) {
            self.log.push((bot, line));
        }
        held
    }

    pub(super) fn log_of(&self, bot: BotId) -> Vec<LogEntry> {
        self.log.iter().filter(|(of, _)| *of == bot).map(|(_, line)| line.clone()).collect()
    }

    pub(super) fn delete(&mut self, bot: BotId) -> bool {
        if let Some(gone) = self.sessions.iter().find(|session| session.id == bot).filter(|gone| gone.place) {
            self.change_place(&gone.tenant.clone(), PlaceChange::Free);
        }
        let before = self.sessions.len();
        self.sessions.retain(|session| session.id != bot);
        self.log.retain(|(of, _)| *of != bot);
        self.remotes.retain(|(_, of)| *of != bot);
        self.deliveries.retain(|delivery| delivery.event.bot != bot || is_pending(delivery));
        self.sessions.len() < before
    }

    pub(super) fn newest_first(&self, tenant: &TenantId) -> Vec<Session> {
        // The clock of the model never goes back.
        let mut found: Vec<Session> = self.sessions.iter().rev().filter(|s| s.tenant == *tenant).cloned().collect();
        if !self.in_order {
            found.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.id)));
        }
        found
    }

    pub(super) fn count(&self, tenant: &TenantId) -> Vec<(State, u64)> {
        let count = |state| self.sessions.iter().filter(|s| s.tenant == *tenant && s.state == state).count() as u64;
        State::ALL.into_iter().map(|state| (state, count(state))).collect()
    }

    fn reached(&self, limit: usize, time: impl Fn(&Session) -> Option<Timestamp>) -> Vec<Session> {
        let mut found: Vec<&Session> =
            self.sessions.iter().filter(|session| time(session).is_some_and(|at| at <= self.now)).collect();
        found.sort_by_key(|session| (time(session), (!self.in_order).then_some(session.id)));
        found.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn due(&self, limit: usize) -> Vec<Session> {
        self.reached(limit, |session| session.join_at.filter(|_| session.state == State::Scheduled))
    }

    pub(super) fn count_due(&self) -> u64 {
        self.due(usize::MAX).len() as u64
    }

    pub(super) fn lease_expired(&self, limit: usize) -> Vec<Session> {
        self.reached(limit, Session::lease_until)
    }

    pub(super) fn overdue(&self, limit: usize) -> Vec<Session> {
        self.reached(limit, Session::deadline)
    }

    pub(super) fn expired(&self, limit: usize) -> Vec<Session> {
        self.reached(limit, |session| Some(session.expires_at).filter(|_| session.state.is_terminal()))
    }

    pub(super) fn outbox_due(&self, limit: usize) -> Vec<OutboxJob> {
        let mut due: Vec<_> = self.outbox.iter().filter(|entry| entry.due <= self.now).cloned().collect();
        due.sort_by_key(|entry| (entry.due, entry.id));
        due.truncate(limit);
        due
    }

    /// Every bot that has a record or a delivery.
    pub(super) fn bots(&self) -> Vec<BotId> {
        let mut bots: Vec<BotId> = self.deliveries.iter().map(|delivery| delivery.event.bot).collect();
        bots.extend(self.sessions.iter().map(|session| session.id));
        bots.sort_unstable();
        bots.dedup();
        bots
    }

    pub(super) fn bots_due(&self, limit: usize) -> Vec<BotId> {
        let waits_since = |bot: &BotId| self.deliveries_of(*bot, true).iter().filter_map(next_at).min();
        let mut due: Vec<(Timestamp, String, BotId)> = self
            .bots()
            .into_iter()
            .filter_map(|bot| Some((waits_since(&bot)?, bot.to_string(), bot)))
            .filter(|(since, ..)| *since <= self.now)
            .collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(.., bot)| bot).collect()
    }

    pub(super) fn deliveries_of(&self, bot: BotId, pending: bool) -> Vec<Delivery> {
        let wanted = |d: &&Delivery| d.event.bot == bot && (!pending || is_pending(d));
        let mut found: Vec<Delivery> = self.deliveries.iter().filter(wanted).cloned().collect();
        found.sort_by_key(|delivery| (delivery.event.sequence, delivery.id));
        found
    }
}

pub(super) fn next_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.status {
        DeliveryStatus::Pending { next_at } => Some(next_at),
        DeliveryStatus::Delivered | DeliveryStatus::Failed => None,
    }
}

pub(super) fn is_pending(delivery: &Delivery) -> bool {
    next_at(delivery).is_some()
}
