//! What is given up when the machine cannot follow. Pure.

use std::time::Duration;

/// So far behind, live copies are no longer made.
const LIVE_FROM: Duration = Duration::from_secs(1);
/// So far behind, only the mix is recorded.
const TRACKS_FROM: Duration = Duration::from_secs(2);
/// Less than this is not behind.
const CALM: Duration = Duration::from_millis(250);
/// A stall is caught up with at once; only what stays behind for so many looks in a row is load.
const LOOKS: u32 = 3;
/// What was given up comes back after so many calm looks: 5 s at ten looks a second.
const CALM_LOOKS: u32 = 50;

/// What is given up, least painful first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GivenUp {
    #[default]
    Nothing,
    /// Live audio and live words.
    LiveCopies,
    /// Those, and the recording of participants by themselves; the mix goes on.
    Tracks,
}

/// Judges over time how far behind the media work is.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    given_up: GivenUp,
    /// Looks in a row at which at least so much had to be given up.
    live: u32,
    tracks: u32,
    calm: u32,
}

impl Pressure {
    /// Takes a look; answers what to tell if what is given up changes.
    pub(super) fn look(&mut self, behind: Duration) -> Option<&'static str> {
        let count = |looks: u32, holds: bool| if holds { looks.saturating_add(1) } else { 0 };
        self.live = count(self.live, behind >= LIVE_FROM);
        self.tracks = count(self.tracks, behind >= TRACKS_FROM);
        self.calm = count(self.calm, behind < CALM);
        let wanted = if self.tracks >= LOOKS {
            GivenUp::Tracks
        } else if self.live >= LOOKS {
            GivenUp::LiveCopies
        } else {
            GivenUp::Nothing
        };
        if wanted > self.given_up {
            self.given_up = wanted;
            return Some(match wanted {
                GivenUp::Tracks => {
                    "the machine is overloaded: only the mix is recorded, without participants' own audio"
                }
                _ => "the machine is overloaded: live audio and live words pause",
            });
        }
        if self.given_up != GivenUp::Nothing && self.calm >= CALM_LOOKS {
            self.given_up = GivenUp::Nothing;
            return Some("the machine follows again: everything is recorded and sent");
        }
        None
    }

    pub(super) const fn given_up(&self) -> GivenUp {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(pressure: &mut Pressure, times: usize, behind_ms: u64) -> Vec<&'static str> {
        (0..times).filter_map(|_| pressure.look(Duration::from_millis(behind_ms))).collect()
    }

    #[test]
    fn one_stall_costs_nothing() {
        let mut pressure = Pressure::default();
        assert!(looks(&mut pressure, 2, 5_000).is_empty());
        assert!(looks(&mut pressure, 100, 20).is_empty());
        assert_eq!(pressure.given_up(), GivenUp::Nothing);
    }

    #[test]
    fn load_costs_live_copies_then_tracks_and_both_come_back() {
        let mut pressure = Pressure::default();
        assert_eq!(looks(&mut pressure, 10, 1_200).len(), 1);
        assert_eq!(pressure.given_up(), GivenUp::LiveCopies);
        assert_eq!(looks(&mut pressure, 10, 3_000).len(), 1);
        assert_eq!(pressure.given_up(), GivenUp::Tracks);
        assert!(looks(&mut pressure, 200, 600).is_empty(), "neither calm nor worse");
        assert_eq!(pressure.given_up(), GivenUp::Tracks);
        assert_eq!(looks(&mut pressure, 60, 20).len(), 1);
        assert_eq!(pressure.given_up(), GivenUp::Nothing);
    }
}
