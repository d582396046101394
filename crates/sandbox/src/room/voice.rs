//! Somebody without a page: one mouth, 20 ms at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::speech::{Packet, Speech};

/// Something to say.
#[derive(Clone, Debug)]
pub(super) struct Utterance {
    pub(super) speech: Arc<Speech>,
    /// Index in the scenario's `speaks`; none for actions.
    pub(super) item: Option<usize>,
}

/// What the log has to know of 20 ms.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) started: Option<Started>,
    /// The item whose last packet this is.
    pub(super) ended: Option<Option<usize>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Started {
    pub(super) item: Option<usize>,
    pub(super) sound: String,
    pub(super) ms: u64,
}

/// A virtual participant who is in the call.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) id: String,
    pub(super) name: String,
    waiting: VecDeque<Utterance>,
    /// With the number of the next packet.
    saying: Option<(Utterance, usize)>,
    silence: Packet,
}

impl Voice {
    pub(super) fn new(id: String, name: String) -> Self {
        Self { id, name, waiting: VecDeque::new(), saying: None, silence: Packet::silence() }
    }

    /// Says it after what is being said.
    pub(super) fn queue(&mut self, utterance: Utterance) {
        self.waiting.push_back(utterance);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.saying.is_some() || !self.waiting.is_empty()
    }

    /// The item that is being said, of somebody who stops now.
    pub(super) fn interrupted(&self) -> Option<Option<usize>> {
        self.saying.as_ref().filter(|(said, next)| *next < said.speech.body).map(|(said, _)| said.item)
    }

    /// The next 20 ms.
    pub(super) fn speak(&mut self) -> (Packet, Heard) {
        // The packet that only flushes the encoder makes way for the beginning of something new.
        let at_end = self.saying.as_ref().is_none_or(|(said, next)| *next >= said.speech.body);
        if at_end && let Some(utterance) = self.waiting.pop_front() {
            self.saying = Some((utterance, 0));
        }
        let Some((said, next)) = &mut self.saying else { return (self.silence.clone(), Heard::default()) };
        let (speech, item) = (&said.speech, said.item);
        let Some(packet) = speech.packets.get(*next).cloned() else {
            self.saying = None;
            return (self.silence.clone(), Heard::default());
        };
        let started = (*next == 0).then(|| Started { item, sound: speech.label.clone(), ms: speech.ms });
        *next += 1;
        let ended = (*next == speech.body).then_some(item);
        (packet, Heard { started, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Sound;

    fn utterance(ms: u32, item: usize) -> Utterance {
        let sound = Sound { tone_hz: Some(440.0), ms: Some(ms), ..Sound::default() };
        Utterance { speech: Arc::new(crate::speech::render(&sound, None).unwrap()), item: Some(item) }
    }

    fn started(item: usize, ms: u64) -> Option<Started> {
        Some(Started { item: Some(item), sound: "tone 440 Hz".to_owned(), ms })
    }

    #[test]
    fn what_is_said_without_a_break_has_none_and_silence_follows() {
        let mut voice = Voice::new("a".to_owned(), "A".to_owned());
        assert_eq!(voice.speak().1, Heard::default());
        voice.queue(utterance(60, 0));
        voice.queue(utterance(20, 1));
        let heard: Vec<Heard> = (0..4).map(|_| voice.speak().1).collect();
        let expected = [
            Heard { started: started(0, 60), ended: None },
            Heard::default(),
            Heard { started: None, ended: Some(Some(0)) },
            Heard { started: started(1, 20), ended: Some(Some(1)) },
        ];
        assert_eq!(heard, expected);
        // The encoder's rest is still sent, then silence.
        assert_ne!(&voice.speak().0.data[..], &muster_audio::codec::SILENCE[..]);
        assert!(voice.interrupted().is_none());
        assert_eq!(&voice.speak().0.data[..], &muster_audio::codec::SILENCE[..]);
        assert!(!voice.is_speaking());
    }

    #[test]
    fn who_is_interrupted_knows_what_was_being_said() {
        let mut voice = Voice::new("a".to_owned(), "A".to_owned());
        voice.queue(utterance(60, 7));
        assert_eq!(voice.interrupted(), None);
        voice.speak();
        assert_eq!(voice.interrupted(), Some(Some(7)));
    }
}
