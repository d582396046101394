//! What a fleet learns of its bots: how long they take to join, and how long they keep their places.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cost::Quantile;

/// So many are in their lobby or call within the lead.
const COVERED: f64 = 0.95;
/// Samples before the lead is believed.
const ENOUGH: u32 = 20;
/// How long a place is kept, before anything was measured.
const FIRST_STAY: Duration = Duration::from_secs(1_800);
/// As if so many had been measured that kept it so long.
const FIRST_SAMPLES: u32 = 8;
/// The mean is one of about so many.
const WINDOW: u32 = 256;

/// Rolling: old measurements fade.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    #[serde(default)]
    lead_ms: Quantile,
    #[serde(default)]
    stay: Mean,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Mean {
    millis: u64,
    samples: u32,
}

impl Default for Mean {
    fn default() -> Self {
        Self { millis: millis(FIRST_STAY), samples: FIRST_SAMPLES }
    }
}

impl Learned {
    /// A bot that did not wait in line was in its lobby or call so long after it was sent.
    pub fn record_lead(&mut self, took: Duration) {
        self.lead_ms.record(millis(took));
    }

    /// A bot kept its place for so long.
    pub fn record_stay(&mut self, stay: Duration) {
        let Mean { millis: mean, samples } = &mut self.stay;
        *samples = (*samples + 1).min(WINDOW);
        let off = millis(stay).abs_diff(*mean) / u64::from(*samples);
        *mean = if millis(stay) > *mean { *mean + off } else { *mean - off };
    }

    /// Within this time 95 % are in their lobby or call; none before enough is known.
    #[must_use]
    pub fn lead(&self) -> Option<Duration> {
        let known = self.lead_ms.samples() >= ENOUGH;
        self.lead_ms.at(COVERED).filter(|_| known).map(Duration::from_millis)
    }

    /// How long a bot keeps its place, in the mean.
    #[must_use]
    pub fn stay(&self) -> Duration {
        Duration::from_millis(self.stay.millis)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_is_believed_once_enough_is_known() {
        let mut learned = Learned::default();
        for seconds in 1..20 {
            learned.record_lead(Duration::from_secs(seconds));
        }
        assert_eq!(learned.lead(), None);
        learned.record_lead(Duration::from_secs(20));
        let lead = learned.lead().unwrap();
        assert!((Duration::from_secs(19)..Duration::from_secs(20)).contains(&lead), "{lead:?}");
        let text = serde_json::to_string(&learned).unwrap();
        assert_eq!(serde_json::from_str::<Learned>(&text).unwrap(), learned);
    }

    #[test]
    fn the_stay_follows_what_is_measured() {
        let mut learned = Learned::default();
        assert_eq!(learned.stay(), FIRST_STAY);
        for _ in 0..2_000 {
            learned.record_stay(Duration::from_secs(600));
        }
        assert!(learned.stay().abs_diff(Duration::from_secs(600)) < Duration::from_secs(1), "{:?}", learned.stay());
    }
}
