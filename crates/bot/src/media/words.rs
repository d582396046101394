//! Live words: every participant's audio, cut into utterances for the recogniser.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use muster_audio::FRAME_MS;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_audio::vad::Detector;
use muster_recording::TrackId;
use muster_session::Timestamp;
use muster_transcript::live::{Live, LiveFigures, Spoken};
use muster_transcript::utterance::{Utterance, UtteranceBuilder};

use super::outlets::WordsOutlet;

/// Samples of a frame at 16 kHz.
const FRAME_16K: usize = 320;

/// Cuts and offers; never waits.
#[derive(Debug)]
pub(super) struct Words {
    live: Live,
    start: Timestamp,
    speakers: HashMap<String, Speaker>,
}

#[derive(Debug)]
struct Speaker {
    id: TrackId,
    decimator: Decimator,
    detector: Detector,
    utterances: UtteranceBuilder,
    /// The last frame in which they were there.
    seen: u64,
}

impl Words {
    /// `start` is when frame 0 begins.
    pub(super) fn start(outlet: WordsOutlet, start: Timestamp) -> Self {
        let WordsOutlet { settings, speech, client } = outlet;
        Self { live: Live::start(settings, speech, client), start, speakers: HashMap::new() }
    }

    /// Takes 20 ms of everybody who is there.
    pub(super) fn frame(&mut self, index: u64, voices: &[(TrackId, Cow<'_, [i16]>)]) {
        for (id, pcm) in voices {
            let speaker = match self.speakers.get_mut(id.id()) {
                Some(speaker) => speaker,
                None => self.speakers.entry(id.id().to_owned()).or_insert_with(|| Speaker::new(id.clone())),
            };
            if speaker.id != *id {
                speaker.id = id.clone();
            }
            speaker.seen = index;
            if let Some(utterance) = speaker.push(pcm, index * FRAME_MS) {
                offer(&self.live, self.start, &speaker.id, utterance);
            }
        }
        let (live, start) = (&self.live, self.start);
        self.speakers.retain(|_, speaker| {
            let here = speaker.seen == index;
            if !here && let Some(utterance) = speaker.utterances.flush() {
                offer(live, start, &speaker.id, utterance);
            }
            here
        });
    }

    pub(super) fn figures(&self) -> LiveFigures {
        self.live.figures()
    }

    /// Offers what is under way and works everything off, for at most `within`.
    pub(super) async fn finish(mut self, within: Duration) -> LiveFigures {
        for speaker in self.speakers.values_mut() {
            if let Some(utterance) = speaker.utterances.flush() {
                offer(&self.live, self.start, &speaker.id, utterance);
            }
        }
        self.live.finish(within).await
    }
}

impl Speaker {
    fn new(id: TrackId) -> Self {
        Self {
            id,
            decimator: Decimator::new(Rate::Hz16000, Channels::Mono),
            detector: Detector::new(),
            utterances: UtteranceBuilder::new(),
            seen: 0,
        }
    }

    fn push(&mut self, pcm: &[i16], at_ms: u64) -> Option<Utterance> {
        let speaks = self.detector.push(pcm);
        let mut pcm16k = Vec::with_capacity(FRAME_16K + 1);
        // The filter delays by 3 ms, which no word notices.
        self.decimator.process(pcm, &mut pcm16k);
        self.utterances.push(&pcm16k, speaks, at_ms)
    }
}

fn offer(live: &Live, start: Timestamp, id: &TrackId, utterance: Utterance) {
    let since = i64::try_from(utterance.start_ms).unwrap_or(i64::MAX);
    live.offer(Spoken {
        speaker_id: id.id().to_owned(),
        speaker: id.name().to_owned(),
        at: Timestamp::from_millis(start.as_millis().saturating_add(since)),
        start_ms: utterance.start_ms,
        pcm16k: utterance.pcm16k,
        end_of_turn: utterance.end_of_turn,
    });
}
