//! Why there should be more workers, or fewer.

use std::fmt;

use serde::Serialize;

/// What moved the number, or held it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Bots wait, and no worker is there or coming.
    NoWorker,
    /// So many bots wait: more than the threshold.
    Queue {
        /// How many.
        waiting: u64,
    },
    /// A bot has waited for longer than a worker takes to come.
    Oldest {
        /// How long, in seconds.
        seconds: u64,
    },
    /// Cores are used above the threshold.
    Cpu {
        /// Percent.
        percent: u8,
    },
    /// Memory is used above the threshold.
    Memory {
        /// Percent.
        percent: u8,
    },
    /// Slots are used above the threshold, or will be, by need, by bots that wait and are due.
    Active {
        /// Percent.
        percent: u8,
    },
    /// Scheduled bots set out soon.
    Due {
        /// How many.
        bots: u64,
    },
    /// Fewer slots are free than are to be.
    IdleSlots {
        /// How many are.
        free: u64,
    },
    /// Below every threshold, for long enough.
    Quiet,
    /// It was outside `min_workers` and `max_workers`.
    Bounds,
    /// Neither more nor fewer are called for.
    Steady,
    /// Fewer would do, but not yet.
    Cooldown {
        /// Seconds that are left.
        seconds: u64,
    },
    /// Fewer would do by the thresholds, but what runs or is due needs them.
    Needed,
    /// Something could not be read: nothing is changed.
    Blind {
        /// What.
        signal: &'static str,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorker => write!(f, "bots wait, and no worker is there or coming"),
            Self::Queue { waiting } => write!(f, "{waiting} bots wait"),
            Self::Oldest { seconds } => write!(f, "a bot has waited for {seconds} s"),
            Self::Cpu { percent } => write!(f, "{percent} % of the cores are used"),
            Self::Memory { percent } => write!(f, "{percent} % of the memory is used"),
            Self::Active { percent } => write!(f, "{percent} % of the slots are used"),
            Self::Due { bots } => write!(f, "{bots} scheduled bots set out soon"),
            Self::IdleSlots { free } => write!(f, "only {free} slots are free"),
            Self::Quiet => write!(f, "fewer are enough"),
            Self::Bounds => write!(f, "outside min_workers and max_workers"),
            Self::Steady => write!(f, "as many as are needed"),
            Self::Cooldown { seconds } => write!(f, "fewer would do, but not for another {seconds} s (cooldown)"),
            Self::Needed => write!(f, "what runs or is due needs them"),
            Self::Blind { signal } => write!(f, "{signal} could not be read; nothing is changed"),
        }
    }
}
