use std::time::Duration;

use muster_session::{Timestamp, WorkerId};
use serde::{Deserialize, Serialize};

/// Of a worker's words, so many have to be missing, and a little more time, before it is taken for gone.
const BEATS: u64 = 3;
const A_LITTLE: Duration = Duration::from_secs(1);
/// Clocks of two machines that were let start differ by no more: each by half of it from the store's.
const CLOCKS: Duration = Duration::from_secs(30);
/// For one that does not say how often it speaks: twice the longest time that can be set, and some.
const UNTOLD: Duration = Duration::from_secs(149);

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// This run of it.
    pub id: WorkerId,
    /// Name of its machine.
    pub host: String,
    /// Of its program.
    pub version: String,
    /// Most bots at a time.
    pub capacity: u32,
    /// Bots it has now.
    pub running: u32,
    /// How many more it would take now, as it says; [`room`](Self::room) is what to count with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<u32>,
    /// Of the CPU that its bots may use, how much they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u8>,
    /// Of the memory that its bots may use, how much they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<u8>,
    /// From the start of its process until it took bots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_ms: Option<u64>,
    /// It has no bot since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Timestamp>,
    /// What its bots cost, for people.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub bots: serde_json::Value,
    /// Its bots are simulated: they attend sandbox meetings only, without a browser.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// What becomes of it once it was drained.
    #[serde(default, skip_serializing_if = "Ending::is_default")]
    pub ending: Ending,
    /// When it began.
    pub started_at: Timestamp,
    /// When it said this.
    pub seen_at: Timestamp,
    /// From one word of it to the next, in milliseconds; none of a release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat_ms: Option<u64>,
}

/// What becomes of a worker that was asked to take no more bots, once its last one is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ends by itself, and nobody replaces it.
    Ends,
    /// It ends by itself, and whoever runs it replaces it, unless fewer were asked for.
    Replaced,
    /// It stays until it is stopped. So do all of a release before; and of what a later one says, nothing is known.
    #[default]
    #[serde(other)]
    Stays,
}

impl Ending {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl WorkerRecord {
    /// How many more it would take now: one that does not say, as of a release before, takes as many as it can have.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.room.unwrap_or_else(|| self.capacity.saturating_sub(self.running))
    }

    /// Not heard for longer than this, it is taken for gone.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.beat_ms.map_or(UNTOLD, |beat| Duration::from_millis(beat.saturating_mul(BEATS))) + A_LITTLE
    }

    /// The same by somebody who looks once, and so has only the worker's clock to go by: it may differ.
    #[must_use]
    pub fn is_lost(&self, now: Timestamp) -> bool {
        now.since(self.seen_at) > self.patience().max(CLOCKS)
    }
}

/// A worker, and what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorker {
    /// What it said last.
    pub record: WorkerRecord,
    /// It was asked to take no more bots.
    pub draining: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_lost_after_three_of_its_own_words_are_missing_unless_it_may_be_the_clocks() {
        let at = Timestamp::from_millis;
        let json =
            r#"{"id": "w", "host": "", "version": "", "capacity": 1, "running": 0, "started_at": 0, "seen_at": 0}"#;
        let before: WorkerRecord = serde_json::from_str(json).unwrap();
        assert!(!before.is_lost(at(150_000)) && before.is_lost(at(150_001)), "one of a release before");
        let often = WorkerRecord { beat_ms: Some(2_000), ..before.clone() };
        assert_eq!(often.patience(), Duration::from_secs(7));
        assert!(!often.is_lost(at(30_000)) && often.is_lost(at(30_001)), "clocks differ");
        let seldom = WorkerRecord { beat_ms: Some(60_000), ..before };
        assert!(!seldom.is_lost(at(181_000)) && seldom.is_lost(at(181_001)));
    }

    #[test]
    fn what_a_later_release_says_of_its_end_is_not_counted_on() {
        let said: Vec<Ending> = serde_json::from_str(r#"["stays", "ends", "replaced", "evaporates"]"#).unwrap();
        assert_eq!(said, [Ending::Stays, Ending::Ends, Ending::Replaced, Ending::Stays]);
    }
}
