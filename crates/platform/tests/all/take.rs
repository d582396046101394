//! Listens to a page until it has said enough.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_audio::probe;
use muster_platform::capture::{BINDING, CaptureEvent, decode};
use muster_platform::page::{BrowserEvent, Page};

/// A machine under the load of other tests needs seconds where an idle one needs a tenth.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One message of sound: where it begins, when it came (both in microseconds of the epoch), and the samples.
pub(crate) struct Piece {
    pub(crate) at_us: u64,
    pub(crate) came_us: u64,
    pub(crate) pcm: Vec<i16>,
}

/// What was heard so far.
#[derive(Default)]
pub(crate) struct Take {
    pub(crate) sound: BTreeMap<u32, Vec<Piece>>,
    pub(crate) started: Vec<(u32, Vec<String>)>,
    pub(crate) ended: Vec<u32>,
    pub(crate) received: Vec<u64>,
    pub(crate) trouble: Vec<String>,
    pub(crate) documents: u32,
}

impl Take {
    /// Listens until `enough`.
    pub(crate) async fn listen(&mut self, page: &mut Page, enough: impl Fn(&Self) -> bool) {
        let listening = async {
            while !enough(self) {
                match page.next_event().await {
                    Some(BrowserEvent::Binding { name, payload }) => {
                        assert_eq!(name, BINDING);
                        self.take(decode(&payload).unwrap());
                    }
                    Some(BrowserEvent::Navigated) => self.documents += 1,
                    other => panic!("while listening: {other:?}"),
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, listening).await;
        assert!(heard.is_ok(), "not enough was heard: {}", self.summary());
    }

    fn take(&mut self, event: CaptureEvent) {
        match event {
            CaptureEvent::TrackStarted { track, stream_ids, .. } => self.started.push((track, stream_ids)),
            CaptureEvent::TrackEnded { track } => self.ended.push(track),
            CaptureEvent::Audio { track, at_us, pcm } => {
                self.sound.entry(track).or_default().push(Piece { at_us, came_us: now_us(), pcm });
            }
            CaptureEvent::Stats { received_bytes } => self.received.push(received_bytes),
            CaptureEvent::Trouble { text } => self.trouble.push(text),
        }
    }

    /// Listens until one track has sounded for `pieces` pieces since the first that was not silent; answers that
    /// track.
    pub(crate) async fn hear(&mut self, page: &mut Page, pieces: usize) -> u32 {
        self.listen(page, |take| take.audible(pieces).is_some()).await;
        self.audible(pieces).unwrap()
    }

    fn audible(&self, pieces: usize) -> Option<u32> {
        self.sound.keys().copied().find(|track| self.steady(*track).len() >= pieces)
    }

    /// The pieces of a track from its first sound on.
    pub(crate) fn steady(&self, track: u32) -> &[Piece] {
        let pieces = self.sound.get(&track).map_or(&[][..], Vec::as_slice);
        let first = pieces.iter().position(|piece| level(&piece.pcm) > 500).unwrap_or(pieces.len());
        &pieces[first..]
    }

    fn summary(&self) -> String {
        let sound: Vec<_> =
            self.sound.iter().map(|(track, pieces)| (track, pieces.len(), self.steady(*track).len())).collect();
        format!(
            "started {:?}, ended {:?}, sound (track, pieces, steady) {sound:?}, received {:?}, trouble {:?}",
            self.started,
            self.ended,
            self.received.last(),
            self.trouble
        )
    }
}

/// Largest amplitude.
pub(crate) fn level(pcm: &[i16]) -> u16 {
    pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

/// The frequency over all pieces, which are joined as they came.
pub(crate) fn frequency(pieces: &[Piece]) -> f32 {
    let samples: Vec<i16> = pieces.iter().flat_map(|piece| piece.pcm.iter().copied()).collect();
    probe::dominant_frequency(&samples, 48_000)
}

fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
