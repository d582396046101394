//! What is remembered from one decision to the next, whoever makes it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use muster_fleet::cost::Quantile;
use muster_fleet::scaling::{Decision, Memory, Reason};
use muster_session::{Timestamp, WorkerId};
use muster_store::{Document, KnownWorker, SessionStore, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// In the store.
const NAME: &str = "autoscale";
/// Changes that are kept to be seen.
const CHANGES: usize = 100;
/// Before any worker said how long it took.
const FIRST_LAUNCH: Duration = Duration::from_secs(60);
/// One that takes longer took so long for another reason.
const LONGEST_LAUNCH: Duration = Duration::from_secs(900);
/// So much of what workers took is counted on.
const COVERED: f64 = 0.95;

/// The scaler's document. What another version of this program wrote is read as far as it is known.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The policy's.
    pub memory: Memory,
    /// Workers that whoever makes it so was asked for last, with those that drain if it counts them.
    pub asked: Option<u32>,
    /// That was done.
    pub applied: bool,
    /// A number of workers that was found instead of the one that was asked for, once.
    pub elsewhere: Option<u32>,
    /// Least and most that whoever makes it so allows.
    pub bounds: Option<(u32, u32)>,
    /// Workers that are too many since the last change and have not been told to go.
    pub(super) spare: u32,
    /// The last decision.
    pub decision: Option<Told>,
    /// Decisions that changed something, the newest last.
    pub changes: VecDeque<Change>,
    /// How long workers took to start, in milliseconds.
    pub(super) launches: Quantile,
    /// Workers that were asked for and have not come.
    pub(super) expected: u32,
    /// Whose were counted, of those that are alive.
    pub(super) launched: Vec<WorkerId>,
    #[serde(skip)]
    pub(super) version: u64,
}

/// A decision, in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told {
    /// When it was first made.
    pub at: Timestamp,
    /// Workers.
    pub desired: u32,
    /// Why, by name.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
}

/// A decision that changed something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Workers before.
    pub from: u32,
    /// Workers after.
    pub to: u32,
    /// Why, by name: `queue`, `quiet` and so on; `elsewhere` if somebody else did it.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
}

impl Change {
    /// By a decision.
    #[must_use]
    pub fn new(from: u32, decision: &Decision, now: Timestamp) -> Self {
        let (reason, detail) = words(decision.reason);
        Self { at_ms: now.as_millis(), from, to: decision.desired, reason, detail }
    }
}

/// A reason by name and in words.
pub(super) fn words(reason: Reason) -> (String, String) {
    let name = serde_json::to_value(reason).ok().and_then(|value| value["reason"].as_str().map(str::to_owned));
    (name.unwrap_or_default(), reason.to_string())
}

impl Kept {
    /// What is in the store. One that cannot be read is begun anew: that costs a cooldown, and not the scaler.
    pub async fn load(store: &dyn SessionStore) -> anyhow::Result<Self> {
        let Some(document) = store.document(NAME).await.context("reading what the scaler keeps")? else {
            return Ok(Self::default());
        };
        let kept = serde_json::from_value(document.body).unwrap_or_else(|error| {
            tracing::warn!(%error, "what the scaler keeps is not what it was; it begins anew");
            Self::default()
        });
        Ok(Self { version: document.version, ..kept })
    }

    /// Writes it; false if somebody else did meanwhile, and then nothing is written.
    pub async fn save(&mut self, store: &dyn SessionStore) -> anyhow::Result<bool> {
        let body = serde_json::to_value(&*self).context("writing what the scaler keeps")?;
        match store.put_document(Document { name: NAME.to_owned(), version: self.version, body }).await {
            Ok(document) => {
                self.version = document.version;
                Ok(true)
            }
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error).context("writing what the scaler keeps"),
        }
    }

    /// How long a worker takes from being asked for until it takes bots: what 95 of 100 did not exceed.
    #[must_use]
    pub fn launch(&self) -> Duration {
        self.launches.at(COVERED).map_or(FIRST_LAUNCH, Duration::from_millis)
    }

    /// Counts how long each worker took, once: of as many as were asked for, from when they were; of others, such as one that
    /// came back after a crash, as it says itself, which is without what its machine took.
    pub fn learn(&mut self, alive: &[KnownWorker]) {
        for KnownWorker { record, .. } in alive {
            if let Some(launch) = record.launch_ms
                && !self.launched.contains(&record.id)
            {
                let asked = self.memory.out_at.map_or(Duration::ZERO, |at| record.started_at.since(at));
                let asked = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
                let is_for_it = self.expected > 0 && u128::from(asked) <= LONGEST_LAUNCH.as_millis();
                self.expected = self.expected.saturating_sub(1);
                self.launches.record(if is_for_it { launch.max(asked) } else { launch });
                self.launched.push(record.id.clone());
            }
        }
        if !alive.is_empty() {
            self.launched.retain(|id| alive.iter().any(|worker| worker.record.id == *id));
        }
    }

    /// Notes what was decided last.
    pub(super) fn tell(&mut self, decision: &Decision, now: Timestamp) {
        let (reason, detail) = words(decision.reason);
        let same = self.decision.as_ref().filter(|last| last.desired == decision.desired && last.reason == reason);
        if same.is_none() {
            self.decision = Some(Told { at: now, desired: decision.desired, reason, detail });
        }
    }

    /// Keeps a change to be seen.
    pub(super) fn note(&mut self, change: Change) {
        self.changes.push_back(change);
        let surplus = self.changes.len().saturating_sub(CHANGES);
        self.changes.drain(..surplus);
    }
}
