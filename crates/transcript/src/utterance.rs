//! Cuts one participant's live audio into utterances. Pure: time comes with the frames.

use std::collections::VecDeque;

use crate::{SAMPLES_PER_MS, duration_ms};

/// Silence that ends an utterance.
const END_SILENCE_MS: u64 = 600;
/// From this length on a short pause ends it too, so that a word is rarely cut.
const SOFT_LIMIT_MS: u64 = 12_000;
const SOFT_SILENCE_MS: u64 = 120;
/// The longest utterance.
const HARD_LIMIT_MS: u64 = 15_000;
/// Utterances with less speech are noise.
const MIN_SPEECH_MS: u64 = 300;
/// Audio kept from before the detector heard speech.
const PRE_ROLL_MS: u64 = 200;
/// Silence kept at the end.
const POST_ROLL_MS: u64 = 200;
/// Differences below this are jitter of the clock, not missing audio.
const GAP_MS: u64 = 60;

/// A finished piece of speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// When its audio begins, on the clock of the frames.
    pub start_ms: u64,
    /// Mono, 16 kHz.
    pub pcm16k: Vec<i16>,
    /// The speaker paused; false when it was cut for its length and goes on.
    pub end_of_turn: bool,
}

impl Utterance {
    /// When its audio ends.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.start_ms + duration_ms(&self.pcm16k)
    }
}

/// Builds the utterances of one participant. Holds at most `HARD_LIMIT_MS` of audio.
#[derive(Clone, Debug, Default)]
pub struct UtteranceBuilder {
    /// The last frames before speech.
    pre_roll: VecDeque<i16>,
    current: Option<Current>,
    /// Where the next frame is expected.
    next_ms: u64,
}

#[derive(Clone, Debug)]
struct Current {
    start_ms: u64,
    pcm16k: Vec<i16>,
    speech_ms: u64,
    silence_ms: u64,
}

impl UtteranceBuilder {
    /// A builder that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next frame (usually 20 ms), whether a detector hears speech in it, and when it begins. Frames come in
    /// order of time; missing ones count as silence. Answers an utterance when this frame shows that it is over.
    pub fn push(&mut self, frame: &[i16], speech: bool, at_ms: u64) -> Option<Utterance> {
        let finished = self.bridge(at_ms);
        self.next_ms = at_ms + duration_ms(frame);
        match (&mut self.current, speech) {
            (None, false) => self.remember(frame),
            (None, true) => self.begin(frame, at_ms),
            (Some(current), _) => current.extend(frame, speech),
        }
        // A gap ends an utterance only by a long silence, after which the frame cannot end another.
        finished.or_else(|| self.end_if_over())
    }

    /// Ends what is under way, as when the participant leaves.
    pub fn flush(&mut self) -> Option<Utterance> {
        self.pre_roll.clear();
        self.current.take().and_then(|current| current.finish(true))
    }

    /// Deals with frames that did not come.
    fn bridge(&mut self, at_ms: u64) -> Option<Utterance> {
        let gap_ms = at_ms.saturating_sub(self.next_ms);
        if gap_ms < GAP_MS {
            return None;
        }
        self.pre_roll.clear();
        let current = self.current.as_mut()?;
        if current.silence_ms + gap_ms >= END_SILENCE_MS {
            return self.flush();
        }
        // Shorter than the silence that ends an utterance, so this stays small.
        current.pcm16k.extend(std::iter::repeat_n(0, gap_ms as usize * SAMPLES_PER_MS));
        current.silence_ms += gap_ms;
        None
    }

    fn remember(&mut self, frame: &[i16]) {
        self.pre_roll.extend(frame);
        let excess = self.pre_roll.len().saturating_sub(PRE_ROLL_MS as usize * SAMPLES_PER_MS);
        self.pre_roll.drain(..excess);
    }

    fn begin(&mut self, frame: &[i16], at_ms: u64) {
        let mut pcm16k: Vec<i16> = self.pre_roll.drain(..).collect();
        let start_ms = at_ms.saturating_sub(duration_ms(&pcm16k));
        pcm16k.extend_from_slice(frame);
        self.current = Some(Current { start_ms, pcm16k, speech_ms: duration_ms(frame), silence_ms: 0 });
    }

    fn end_if_over(&mut self) -> Option<Utterance> {
        let current = self.current.as_ref()?;
        let length_ms = duration_ms(&current.pcm16k);
        let paused = current.silence_ms >= END_SILENCE_MS;
        let long = length_ms >= HARD_LIMIT_MS || (length_ms >= SOFT_LIMIT_MS && current.silence_ms >= SOFT_SILENCE_MS);
        if !paused && !long {
            return None;
        }
        let current = self.current.take()?;
        if paused {
            // What follows may begin in the silence that ends this.
            let keep = (PRE_ROLL_MS as usize * SAMPLES_PER_MS).min(current.pcm16k.len());
            self.pre_roll = current.pcm16k[current.pcm16k.len() - keep..].iter().copied().collect();
        }
        current.finish(paused)
    }
}

impl Current {
    fn extend(&mut self, frame: &[i16], speech: bool) {
        self.pcm16k.extend_from_slice(frame);
        if speech {
            self.speech_ms += duration_ms(frame);
            self.silence_ms = 0;
        } else {
            self.silence_ms += duration_ms(frame);
        }
    }

    fn finish(mut self, end_of_turn: bool) -> Option<Utterance> {
        if self.speech_ms < MIN_SPEECH_MS {
            return None;
        }
        let surplus = self.silence_ms.saturating_sub(POST_ROLL_MS) as usize * SAMPLES_PER_MS;
        self.pcm16k.truncate(self.pcm16k.len().saturating_sub(surplus));
        Some(Utterance { start_ms: self.start_ms, pcm16k: self.pcm16k, end_of_turn })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME_MS: u64 = 20;

    /// Pushes stretches of (speech, milliseconds) from `start_ms` on and collects what comes out.
    fn push(builder: &mut UtteranceBuilder, start_ms: u64, stretches: &[(bool, u64)]) -> Vec<Utterance> {
        let mut at_ms = start_ms;
        let mut out = Vec::new();
        for &(speech, ms) in stretches {
            for _ in 0..ms / FRAME_MS {
                let frame = [if speech { 1000 } else { 1 }; 320];
                out.extend(builder.push(&frame, speech, at_ms));
                at_ms += FRAME_MS;
            }
        }
        out
    }

    #[test]
    fn silence_ends_an_utterance_which_keeps_a_little_of_it_on_both_sides() {
        let mut builder = UtteranceBuilder::new();
        let out = push(&mut builder, 0, &[(false, 1000), (true, 1000), (false, 580)]);
        assert_eq!(out, []);
        let out = push(&mut builder, 2580, &[(false, 20)]);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].start_ms, out[0].end_ms()), (800, 2200));
        assert!(out[0].end_of_turn);
        assert_eq!(builder.flush(), None);
    }

    #[test]
    fn short_pauses_do_not_end_it_and_clicks_are_none() {
        let mut builder = UtteranceBuilder::new();
        let out = push(&mut builder, 0, &[(true, 400), (false, 500), (true, 400), (false, 600)]);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].start_ms, out[0].end_ms()), (0, 1500));
        assert_eq!(push(&mut builder, 1900, &[(true, 280), (false, 1000)]), []);
    }

    #[test]
    fn a_monologue_is_cut_at_a_short_pause_or_at_the_limit() {
        let mut builder = UtteranceBuilder::new();
        let out = push(&mut builder, 0, &[(true, 12_500), (false, 120), (true, 1000), (false, 600)]);
        assert_eq!(
            out.iter().map(|u| (u.start_ms, u.end_ms(), u.end_of_turn)).collect::<Vec<_>>(),
            [(0, 12_620, false), (12_620, 13_820, true)]
        );
        let out = push(&mut builder, 14_220, &[(true, 16_000), (false, 600)]);
        assert_eq!(out.iter().map(|u| u.end_of_turn).collect::<Vec<_>>(), [false, true]);
        assert_eq!(out[0].end_ms(), out[1].start_ms);
        assert_eq!(duration_ms(&out[0].pcm16k), HARD_LIMIT_MS);
    }

    #[test]
    fn missing_frames_are_silence() {
        let mut builder = UtteranceBuilder::new();
        assert_eq!(push(&mut builder, 0, &[(true, 400)]), []);
        assert_eq!(push(&mut builder, 700, &[(true, 400)]), []);
        let out = push(&mut builder, 2000, &[(true, 400)]);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].start_ms, out[0].end_ms()), (0, 1100));
        assert!(out[0].pcm16k[400 * SAMPLES_PER_MS..700 * SAMPLES_PER_MS].iter().all(|s| *s == 0));
        let last = builder.flush().unwrap();
        assert_eq!((last.start_ms, last.end_ms()), (2000, 2400));
    }

    proptest! {
        #[test]
        fn no_speech_is_lost_twice_or_out_of_order(
            stretches in prop::collection::vec((any::<bool>(), 1u64..200), 1..30)
        ) {
            let stretches: Vec<_> = stretches.into_iter().map(|(speech, frames)| (speech, frames * FRAME_MS)).collect();
            let mut builder = UtteranceBuilder::new();
            let mut out = push(&mut builder, 0, &stretches);
            out.extend(builder.flush());
            for pair in out.windows(2) {
                prop_assert!(pair[0].end_ms() <= pair[1].start_ms);
            }
            let loud = |pcm: &[i16]| pcm.iter().filter(|s| **s == 1000).count() as u64 / SAMPLES_PER_MS as u64;
            for utterance in &out {
                prop_assert!(duration_ms(&utterance.pcm16k) <= HARD_LIMIT_MS);
                prop_assert!(loud(&utterance.pcm16k) >= MIN_SPEECH_MS);
            }
            let said: u64 = stretches.iter().filter(|s| s.0).map(|s| s.1).sum();
            let kept: u64 = out.iter().map(|u| loud(&u.pcm16k)).sum();
            let dropped_at_most = MIN_SPEECH_MS * (stretches.len() as u64 + said / SOFT_LIMIT_MS);
            prop_assert!(kept <= said && kept + dropped_at_most >= said, "{kept} of {said}");
        }
    }
}
