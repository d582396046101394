//! Live words: every participant's audio, at the recogniser's rate and with an opinion about speech.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use muster_audio::FRAME_MS;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_audio::vad::Detector;
use muster_recording::TrackId;
use muster_session::Timestamp;
use muster_transcript::live::{Live, LiveFigures, Said};

use super::outlets::WordsOutlet;

/// Samples of a frame at 16 kHz.
const FRAME_16K: usize = 320;

/// Hands voices to live transcription; never waits.
#[derive(Debug)]
pub(super) struct Words {
    live: Live,
    speakers: HashMap<String, Speaker>,
}

#[derive(Debug)]
struct Speaker {
    decimator: Decimator,
    detector: Detector,
    /// The last frame in which they were there.
    seen: u64,
}

impl Words {
    /// `start` is when frame 0 begins.
    pub(super) fn start(outlet: WordsOutlet, start: Timestamp) -> Self {
        let WordsOutlet { settings, speech } = outlet;
        Self { live: Live::start(settings, start, speech), speakers: HashMap::new() }
    }

    /// Takes 20 ms of everybody who is there.
    pub(super) fn frame(&mut self, index: u64, voices: &[(TrackId, Cow<'_, [i16]>)]) {
        for (id, pcm) in voices {
            let speaker = match self.speakers.get_mut(id.id()) {
                Some(speaker) => speaker,
                None => self.speakers.entry(id.id().to_owned()).or_insert_with(Speaker::new),
            };
            speaker.seen = index;
            let speaks = speaker.detector.push(pcm);
            let mut pcm16k = Vec::with_capacity(FRAME_16K + 1);
            // The filter delays by 1.7 ms, which no word notices.
            speaker.decimator.process(pcm, &mut pcm16k);
            self.live.frame((id.id(), id.name()), index * FRAME_MS, &pcm16k, speaks);
        }
        let live = &mut self.live;
        self.speakers.retain(|id, speaker| {
            let here = speaker.seen == index;
            if !here {
                live.gone(id);
            }
            here
        });
    }

    /// What was said and not taken yet.
    pub(super) fn take(&mut self) -> Vec<Said> {
        self.live.take()
    }

    /// Trouble with the recogniser that was not told yet.
    pub(super) fn troubles(&mut self) -> Vec<String> {
        self.live.troubles()
    }

    pub(super) fn figures(&self) -> LiveFigures {
        self.live.figures()
    }

    /// Nobody says anything more: waits for the last words, for at most `within`.
    pub(super) async fn hear_out(&mut self, within: Duration) {
        self.live.hear_out(within).await;
    }

    /// Works off the posts, for at most `within`.
    pub(super) async fn finish(self, within: Duration) -> LiveFigures {
        self.live.finish(within).await.1
    }
}

impl Speaker {
    fn new() -> Self {
        Self { decimator: Decimator::new(Rate::Hz16000, Channels::Mono), detector: Detector::new(), seen: 0 }
    }
}
