//! Policies that were tried against each other.

use super::{Policy, Rule, Thresholds};

/// By [`Preset::Predictive`], the share of slots that bots may fill, in percent. What is free is for bots that nobody knows of
/// before their meeting begins, so this leaves room for about 15 in 100.
const PREDICTIVE_ACTIVE: u8 = 85;

/// A policy with a name. `muster simulate` compares them; docs/capacity.md says what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preset {
    /// The thresholds of the scaling guide, which know nothing of the schedule.
    Guide,
    /// The same, and some slots are always free.
    IdleSlots,
    /// As many workers as bots that run and are scheduled need, with some room; what was needed lately stays.
    Predictive,
    /// Cores alone. Known to be wrong; for comparison.
    CpuOnly,
}

impl Preset {
    /// All of them, the baseline first.
    pub const ALL: [Self; 4] = [Self::Guide, Self::IdleSlots, Self::Predictive, Self::CpuOnly];

    /// The name for people and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guide => "guide",
            Self::IdleSlots => "idle-slots",
            Self::Predictive => "predictive",
            Self::CpuOnly => "cpu-only",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == name)
    }

    /// This policy, with the cooldown, numbers of workers and slots of `own`. Where it has idle slots, they are as many as `own`
    /// has, or if that has none, those of one worker, or by the predictive one of half a worker.
    #[must_use]
    pub fn policy(self, own: Policy) -> Policy {
        let idle = |otherwise: u32| if own.idle_slots > 0 { own.idle_slots } else { otherwise };
        let plain =
            Policy { rule: Rule::Thresholds, thresholds: Thresholds::default(), idle_slots: 0, prescale: false, ..own };
        match self {
            Self::Guide => plain,
            Self::IdleSlots => Policy { idle_slots: idle(own.slots), ..plain },
            Self::Predictive => Policy {
                rule: Rule::Need,
                thresholds: Thresholds { active_out: PREDICTIVE_ACTIVE, ..plain.thresholds },
                idle_slots: idle(own.slots.div_ceil(2)),
                prescale: true,
                ..plain
            },
            Self::CpuOnly => Policy { rule: Rule::CpuOnly, ..plain },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_keep_what_is_ones_own() {
        let own = Policy { min_workers: 3, max_workers: 70, slots: 17, ..Policy::default() };
        for preset in Preset::ALL {
            assert_eq!(Preset::named(preset.as_str()), Some(preset));
            let policy = preset.policy(own);
            assert_eq!((policy.min_workers, policy.max_workers, policy.slots), (3, 70, 17));
        }
        assert_eq!(Preset::named("magic"), None);
        assert_eq!(Preset::Predictive.policy(own).idle_slots, 9);
        assert_eq!(Preset::Predictive.policy(Policy { idle_slots: 40, ..own }).idle_slots, 40);
        assert_eq!(Preset::Guide.policy(own), Policy { prescale: false, ..own }, "as the guide has it");
    }
}
