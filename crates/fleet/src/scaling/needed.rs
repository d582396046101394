//! What was needed lately.

use std::time::Duration;

use muster_session::Timestamp;
use serde::{Deserialize, Serialize};

/// Most workers that were needed in this span of time and in the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Needed {
    /// When this span began.
    since: Option<Timestamp>,
    now: u32,
    before: u32,
}

impl Needed {
    /// Takes note of what is needed; spans are `span` long.
    pub(super) fn note(self, need: u32, span: Duration, now: Timestamp) -> Self {
        match self.since {
            Some(since) if now.since(since) < span => Self { now: self.now.max(need), ..self },
            // Nothing was seen for a whole span.
            Some(since) if now.since(since) >= span * 2 => Self { since: Some(now), now: need, before: need },
            _ => Self { since: Some(now), now: need, before: self.now },
        }
    }

    pub(super) fn most(self) -> u32 {
        self.now.max(self.before)
    }
}
