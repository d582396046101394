//! Outbox, logs, API keys, who leads, which workers there are, and what is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_session::job::Job;
use muster_session::{BotId, Timestamp, WorkerId};

use crate::{ApiKey, Document, KnownWorker, LogEntry, OutboxJob, StoreError, WorkerRecord};

/// Committed jobs that wait to be enqueued.
#[derive(Default)]
pub(super) struct Outbox {
    made: u64,
    /// By when they are due, and among equal ones by id.
    jobs: BTreeMap<(Timestamp, u64), Job>,
    due: BTreeMap<u64, Timestamp>,
}

impl Outbox {
    pub(super) fn add(&mut self, jobs: Vec<(Job, Duration)>, now: Timestamp) {
        for (job, pause) in jobs {
            self.made += 1;
            self.jobs.insert((now + pause, self.made), job);
            self.due.insert(self.made, now + pause);
        }
    }

    pub(super) fn due(&self, now: Timestamp, limit: u32) -> Vec<OutboxJob> {
        let due = self.jobs.range(..=(now, u64::MAX)).take(limit as usize);
        due.map(|((due, id), job)| OutboxJob { id: *id, job: job.clone(), due: *due }).collect()
    }

    pub(super) fn done(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(due) = self.due.remove(id) {
                self.jobs.remove(&(due, *id));
            }
        }
    }
}

/// Lines of all bots.
#[derive(Default)]
pub(super) struct Logs(BTreeMap<BotId, Log>);

#[derive(Default)]
struct Log {
    lines: BTreeMap<String, Vec<LogEntry>>,
    /// Kind and key of each.
    known: BTreeSet<(String, String)>,
}

impl Logs {
    pub(super) fn append(&mut self, bot: BotId, entries: &[LogEntry]) {
        let log = self.0.entry(bot).or_default();
        for entry in entries {
            if log.known.insert((entry.kind.clone(), entry.key.clone())) {
                log.lines.entry(entry.kind.clone()).or_default().push(entry.clone());
            }
        }
    }

    pub(super) fn read(&self, bot: BotId, kind: &str, limit: u32) -> Vec<LogEntry> {
        let lines = self.0.get(&bot).and_then(|log| log.lines.get(kind)).into_iter().flatten();
        lines.take(limit as usize).cloned().collect()
    }

    pub(super) fn forget(&mut self, bot: BotId) {
        self.0.remove(&bot);
    }
}

/// What parts of the fleet remember, by name.
#[derive(Default)]
pub(super) struct Documents(BTreeMap<String, Document>);

impl Documents {
    pub(super) fn get(&self, name: &str) -> Option<Document> {
        self.0.get(name).cloned()
    }

    pub(super) fn put(&mut self, mut document: Document) -> Result<Document, StoreError> {
        if self.0.get(&document.name).map_or(0, |known| known.version) != document.version {
            return Err(StoreError::Conflict);
        }
        document.version += 1;
        self.0.insert(document.name.clone(), document.clone());
        Ok(document)
    }
}

/// What is not any session's.
#[derive(Default)]
pub(super) struct Fleet {
    keys: BTreeMap<String, ApiKey>,
    leads: BTreeMap<String, (String, Timestamp)>,
    workers: BTreeMap<WorkerId, KnownWorker>,
}

impl Fleet {
    pub(super) fn put_key(&mut self, key: &ApiKey) {
        self.keys.insert(key.hash.clone(), key.clone());
    }

    pub(super) fn key_by_hash(&self, hash: &str) -> Option<ApiKey> {
        self.keys.get(hash).cloned()
    }

    pub(super) fn keys(&self) -> Vec<ApiKey> {
        let mut keys: Vec<ApiKey> = self.keys.values().cloned().collect();
        keys.sort_by_key(|key| key.created_at);
        keys
    }

    pub(super) fn delete_key(&mut self, hash: &str) -> bool {
        self.keys.remove(hash).is_some()
    }

    pub(super) fn lead(&mut self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> bool {
        if self.leads.get(name).is_some_and(|(leader, ends)| leader != owner && *ends > now) {
            return false;
        }
        self.leads.insert(name.to_owned(), (owner.to_owned(), until));
        true
    }

    pub(super) fn beat(&mut self, worker: &WorkerRecord) -> bool {
        let draining = self.workers.get(&worker.id).is_some_and(|known| known.draining);
        self.workers.insert(worker.id.clone(), KnownWorker { record: worker.clone(), draining });
        draining
    }

    pub(super) fn workers(&self) -> Vec<KnownWorker> {
        self.workers.values().cloned().collect()
    }

    pub(super) fn drain(&mut self, worker: &WorkerId) -> bool {
        let known = self.workers.get_mut(worker);
        known.map(|known| known.draining = true).is_some()
    }

    pub(super) fn forget(&mut self, worker: &WorkerId) -> bool {
        self.workers.remove(worker).is_some()
    }
}
