//! One voice between the call, which must not wait, and its connection.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::backlog::{Backlog, Final};
use super::gate::{Frame, Gate};
use crate::duration_ms;
use crate::listen::{Budget, Phrase};

/// What is to be done next over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this audio.
    Audio(Vec<i16>),
    /// Ask for the words before a pause.
    Flush,
    /// Everything was sent and nothing more comes.
    End,
    /// Nothing; `true` in a pause.
    Wait {
        /// True in a pause.
        pause: bool,
    },
}

/// One voice.
#[derive(Debug)]
pub(super) struct Voice {
    id: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    backlog: Backlog,
    /// A pause began and the recogniser does not know.
    flush: bool,
    ended: bool,
    /// Nothing more is done for it.
    done: bool,
}

impl Voice {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), state: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame; answers how much speech there was no room for.
    pub(super) fn push(&self, at_ms: u64, pcm16k: &[i16], speech: bool, budget: &Budget) -> u64 {
        let mut state = self.lock();
        let was_open = state.gate.is_open();
        let mut dropped_ms = 0;
        let frames = state.gate.push(Frame { at_ms, pcm16k: pcm16k.to_vec(), speech });
        let news = !frames.is_empty() || was_open;
        for frame in frames {
            if budget.take_share(frame.pcm16k.len(), state.backlog.kept()) {
                state.backlog.push(frame);
            } else if frame.speech {
                dropped_ms += duration_ms(&frame.pcm16k);
            }
        }
        state.flush = !state.gate.is_open() && (was_open || state.flush);
        drop(state);
        if news {
            self.changed.notify_one();
        }
        dropped_ms
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Something may come again; false if it is too late for that.
    pub(super) fn resume(&self) -> bool {
        let mut state = self.lock();
        state.ended &= state.done;
        !state.done
    }

    /// Waits until there is something new. For one task.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// True once speech waits for its words; false when nothing more comes and none waits.
    pub(super) async fn wanted(&self) -> bool {
        loop {
            {
                let mut state = self.lock();
                if state.backlog.has_speech() {
                    return true;
                }
                if state.ended {
                    state.done = true;
                    return false;
                }
            }
            self.changed().await;
        }
    }

    /// What to do next, with messages of `message` samples.
    pub(super) fn step(&self, message: usize) -> Step {
        let mut state = self.lock();
        let unsent = state.backlog.unsent();
        let paused = state.ended || !state.gate.is_open();
        if unsent >= message || (paused && unsent > 0) {
            return Step::Audio(state.backlog.take(message));
        }
        if state.ended {
            return Step::End;
        }
        if std::mem::take(&mut state.flush) {
            return Step::Flush;
        }
        Step::Wait { pause: paused }
    }

    pub(super) fn accept(&self, heard: Final, budget: &Budget) -> Option<Phrase> {
        let (phrase, freed) = self.lock().backlog.accept(&self.id, heard);
        budget.give_back(freed);
        phrase
    }

    /// True if speech was sent and waits for its words.
    pub(super) fn owes(&self) -> bool {
        self.lock().backlog.owes()
    }

    /// A new connection begins.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        state.backlog.restart();
        state.flush = !state.gate.is_open();
    }

    /// All words of what was sent were given.
    pub(super) fn settle(&self, budget: &Budget) {
        budget.give_back(self.lock().backlog.settle_sent());
    }

    /// Gives up what waits; answers the length of the speech in it.
    pub(super) fn clear(&self, budget: &Budget) -> u64 {
        let mut state = self.lock();
        let lost_ms = state.backlog.speech_ms();
        budget.give_back(state.backlog.clear());
        lost_ms
    }

    pub(super) fn waiting_ms(&self) -> u64 {
        self.lock().backlog.speech_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SAMPLES_PER_MS;

    const MESSAGE: usize = 100 * SAMPLES_PER_MS;

    fn push(voice: &Voice, budget: &Budget, from_ms: u64, to_ms: u64, speech: bool) -> u64 {
        (from_ms..to_ms).step_by(20).map(|at_ms| voice.push(at_ms, &[1; 320], speech, budget)).sum()
    }

    fn audio(step: &Step) -> usize {
        match step {
            Step::Audio(pcm16k) => pcm16k.len() / SAMPLES_PER_MS,
            _ => 0,
        }
    }

    #[test]
    fn speech_goes_out_in_messages_and_a_pause_is_told_once() {
        let (voice, budget) = (Voice::new("v"), Budget::new(10 * 16_000));
        push(&voice, &budget, 0, 80, true);
        assert_eq!(voice.step(MESSAGE), Step::Wait { pause: false }, "too little");
        push(&voice, &budget, 80, 120, true);
        assert_eq!(audio(&voice.step(MESSAGE)), 100);
        push(&voice, &budget, 120, 1_640, false);
        let sent: usize = std::iter::repeat_with(|| audio(&voice.step(MESSAGE))).take_while(|sent| *sent > 0).sum();
        assert_eq!(sent, 1_520 + 30, "the last 20 ms are padded to 50");
        assert_eq!(voice.step(MESSAGE), Step::Wait { pause: true }, "the flush came out of the loop");
        voice.restart();
        assert_eq!(audio(&voice.step(2 * 16_000)), 1_620, "unsettled");
        assert_eq!(voice.step(MESSAGE), Step::Flush);
        voice.end();
        assert_eq!(voice.step(MESSAGE), Step::End);
    }

    #[test]
    fn what_has_no_room_is_counted_and_room_comes_back() {
        let (voice, budget) = (Voice::new("v"), Budget::new(125 * SAMPLES_PER_MS));
        assert_eq!(push(&voice, &budget, 0, 300, true), 200);
        assert_eq!((voice.waiting_ms(), voice.owes()), (100, false));
        assert_eq!(audio(&voice.step(MESSAGE)), 100);
        assert!(voice.owes());
        voice.settle(&budget);
        assert_eq!((voice.waiting_ms(), push(&voice, &budget, 300, 400, true)), (0, 0));
        assert_eq!(voice.clear(&budget), 100);
        assert_eq!(push(&voice, &budget, 400, 500, true), 0);
    }

    #[test]
    fn one_voice_leaves_room_for_others() {
        let budget = Budget::new(1_000 * SAMPLES_PER_MS);
        let (music, ann) = (Voice::new("music"), Voice::new("ann"));
        assert_eq!(push(&music, &budget, 0, 5_000, true), 4_200);
        assert_eq!(push(&ann, &budget, 0, 160, true), 0);
    }

    #[tokio::test]
    async fn a_voice_comes_back_until_everything_is_done_for_it() {
        let voice = Voice::new("v");
        voice.end();
        assert!(voice.resume());
        assert_eq!(voice.step(MESSAGE), Step::Wait { pause: true }, "it has not ended");
        voice.end();
        assert!(!voice.wanted().await);
        assert!(!voice.resume());
    }
}
