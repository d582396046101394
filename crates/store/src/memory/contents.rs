//! All that is stored, and the writes that touch more than one part of it.

use muster_session::{BotId, Session};

use super::ledger::Ledgers;
use super::rest::{Documents, Fleet, Logs, Outbox};
use super::sessions::Sessions;
use super::webhooks::{Endpoints, Inbox};
use crate::{Commit, CreateGuard, Created, InboxEntry, StoreError};

#[derive(Default)]
pub(super) struct Contents {
    pub(super) sessions: Sessions,
    pub(super) outbox: Outbox,
    pub(super) ledgers: Ledgers,
    pub(super) logs: Logs,
    pub(super) fleet: Fleet,
    pub(super) endpoints: Endpoints,
    pub(super) inbox: Inbox,
    pub(super) documents: Documents,
}

impl Contents {
    pub(super) fn create(&mut self, mut commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
        self.is_news(commit.inbox.as_ref())?;
        let session = commit.session.clone();
        let created = self.sessions.create(session, commit.place, guard)?;
        if let Created::New(session) = &created {
            commit.session = session.clone();
            self.consequences(commit);
        }
        Ok(created)
    }

    pub(super) fn commit(&mut self, mut commit: Commit) -> Result<Session, StoreError> {
        self.is_news(commit.inbox.as_ref())?;
        let session = self.sessions.commit(commit.session, commit.place, commit.lease_seen)?;
        commit.session = session.clone();
        self.consequences(commit);
        Ok(session)
    }

    fn is_news(&self, entry: Option<&InboxEntry>) -> Result<(), StoreError> {
        if entry.is_some_and(|entry| self.inbox.has(&entry.key)) { Err(StoreError::Seen) } else { Ok(()) }
    }

    /// What belongs to the same write as the record.
    fn consequences(&mut self, commit: Commit) {
        let addresses = (commit.session.callback_url.as_ref(), &*commit.endpoints);
        for event in &commit.events {
            self.ledgers.add(&commit.session.tenant, event, addresses, commit.now);
        }
        self.outbox.add(commit.jobs, commit.now);
        if let Some(entry) = commit.inbox {
            self.inbox.receive(entry);
        }
    }

    pub(super) fn delete(&mut self, bot: BotId) -> bool {
        let there = self.sessions.delete(bot);
        if there {
            self.logs.forget(bot);
            self.ledgers.forget_settled(bot);
        }
        there
    }
}
