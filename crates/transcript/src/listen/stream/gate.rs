//! Which audio of a voice is worth sending: speech and what is around it. Pure.

use std::collections::VecDeque;

use crate::duration_ms;

/// Audio kept from before the detector heard speech.
const PRE_ROLL_MS: u64 = 300;
/// Shorter speech is a click.
const MIN_SPEECH_MS: u64 = 60;
/// Silence sent after speech: recognisers find the end of a turn by it.
const HANGOVER_MS: u64 = 1_500;
/// Differences below this are jitter of the clock, not missing audio.
const GAP_MS: u64 = 60;

/// A frame that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) at_ms: u64,
    pub(super) pcm16k: Vec<i16>,
    pub(super) speech: bool,
}

/// Lets speech through, with a little before and after it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The last frames before speech.
    held: VecDeque<Frame>,
    /// Silence so far, while open.
    silence_ms: Option<u64>,
    /// Speech in a row, while closed.
    speech_ms: u64,
    /// Where the next frame is expected.
    next_ms: u64,
}

impl Gate {
    /// True while frames pass.
    pub(super) const fn is_open(&self) -> bool {
        self.silence_ms.is_some()
    }

    /// Takes the next frame, and answers those that are to be sent now.
    pub(super) fn push(&mut self, frame: Frame) -> Vec<Frame> {
        let length_ms = duration_ms(&frame.pcm16k);
        let gap_ms = frame.at_ms.saturating_sub(self.next_ms);
        let gap_ms = if gap_ms < GAP_MS { 0 } else { gap_ms };
        self.next_ms = frame.at_ms + length_ms;
        if gap_ms > 0 {
            self.held.clear();
            self.speech_ms = 0;
        }
        if self.silence_ms.is_some_and(|silence_ms| silence_ms + gap_ms >= HANGOVER_MS) {
            self.silence_ms = None;
        }
        let Some(silence_ms) = &mut self.silence_ms else { return self.knock(frame, length_ms) };
        *silence_ms = if frame.speech { 0 } else { *silence_ms + gap_ms + length_ms };
        if *silence_ms >= HANGOVER_MS {
            self.silence_ms = None;
        }
        vec![frame]
    }

    /// A frame before the closed gate.
    fn knock(&mut self, frame: Frame, length_ms: u64) -> Vec<Frame> {
        self.speech_ms = if frame.speech { self.speech_ms + length_ms } else { 0 };
        self.held.push_back(frame);
        if self.speech_ms >= MIN_SPEECH_MS {
            self.speech_ms = 0;
            self.silence_ms = Some(0);
            return self.held.drain(..).collect();
        }
        let mut held_ms: u64 = self.held.iter().map(|frame| duration_ms(&frame.pcm16k)).sum();
        while held_ms > PRE_ROLL_MS + self.speech_ms {
            let Some(first) = self.held.pop_front() else { break };
            held_ms -= duration_ms(&first.pcm16k);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes stretches of (speech, milliseconds); answers the stretches that pass, as (from, to).
    fn passed(gate: &mut Gate, start_ms: u64, stretches: &[(bool, u64)]) -> Vec<(u64, u64)> {
        let mut at_ms = start_ms;
        let mut out: Vec<(u64, u64)> = Vec::new();
        for &(speech, ms) in stretches {
            for _ in 0..ms / 20 {
                for frame in gate.push(Frame { at_ms, pcm16k: vec![0; 320], speech }) {
                    match out.last_mut() {
                        Some(last) if last.1 == frame.at_ms => last.1 += 20,
                        _ => out.push((frame.at_ms, frame.at_ms + 20)),
                    }
                }
                at_ms += 20;
            }
        }
        out
    }

    #[test]
    fn speech_passes_with_a_little_before_and_more_after_it() {
        let mut gate = Gate::default();
        assert_eq!(passed(&mut gate, 0, &[(false, 2_000), (true, 1_000), (false, 5_000)]), [(1_700, 4_500)]);
        assert!(!gate.is_open());
        assert_eq!(passed(&mut gate, 8_000, &[(true, 40), (false, 1_000)]), [], "a click");
        assert_eq!(passed(&mut gate, 9_040, &[(true, 100), (false, 1_000), (true, 100)]), [(8_740, 10_240)]);
        assert!(gate.is_open());
    }

    #[test]
    fn missing_frames_are_silence() {
        let mut gate = Gate::default();
        assert_eq!(passed(&mut gate, 0, &[(true, 200)]), [(0, 200)]);
        assert_eq!(passed(&mut gate, 1_000, &[(true, 200)]), [(1_000, 1_200)]);
        assert_eq!(passed(&mut gate, 9_000, &[(false, 200)]), [], "closed meanwhile");
        assert_eq!(passed(&mut gate, 9_200, &[(true, 60)]), [(9_000, 9_260)]);
    }

    proptest! {
        #[test]
        fn all_longer_speech_passes_once_and_in_order(
            stretches in prop::collection::vec((any::<bool>(), 1u64..150), 1..20)
        ) {
            let stretches: Vec<_> = stretches.into_iter().map(|(speech, frames)| (speech, frames * 20)).collect();
            let passed = passed(&mut Gate::default(), 0, &stretches);
            for pair in passed.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
            }
            let mut at_ms = 0;
            for (speech, ms) in stretches {
                let whole = passed.iter().any(|(from, to)| *from <= at_ms && at_ms + ms <= *to);
                prop_assert!(!speech || ms < MIN_SPEECH_MS || whole, "{at_ms} {ms} {passed:?}");
                at_ms += ms;
            }
        }
    }
}
