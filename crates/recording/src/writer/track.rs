use std::collections::VecDeque;

use muster_audio::FRAME;
use muster_audio::codec::Tuning;
use muster_audio::vad::Detector;

use super::notes::Notes;
use super::run::Run;
use super::upload::Uploader;
use crate::layout::{Layout, TrackId};

/// Frames kept in hand, so that a run begins before the detector was sure: 200 ms.
const LEAD: usize = 10;
/// Silence of this many frames (2 s) ends a run.
const PAUSE: u64 = 100;
/// The detector says "speech" at the third loud frame and for 15 more after the last one.
const LATE: u64 = 2;
const HANGOVER: u64 = 15;

/// One participant.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    /// They spoke when there was no place for their own audio.
    pub(super) refused: bool,
    detector: Detector,
    lead: VecDeque<[i16; FRAME]>,
    run: Option<Run>,
    seq: u64,
    seen: u64,
    /// Last frame with speech.
    spoke: u64,
    /// First frame of the speech that is going on and was not noted yet.
    speech: Option<u64>,
}

impl Track {
    pub(super) fn new(id: TrackId) -> Self {
        Self {
            id,
            refused: false,
            detector: Detector::new(),
            lead: VecDeque::with_capacity(LEAD + 1),
            run: None,
            seq: 0,
            seen: 0,
            spoke: 0,
            speech: None,
        }
    }

    /// Whether their own audio is being stored.
    pub(super) const fn takes_place(&self) -> bool {
        self.run.is_some()
    }

    /// Takes frame `now`. Without a place their own audio is not stored; answers whether it would have been.
    #[expect(clippy::too_many_arguments, reason = "parts of the writer that are borrowed apart")]
    pub(super) fn push(
        &mut self,
        now: u64,
        id: &TrackId,
        pcm: &[i16; FRAME],
        place: bool,
        length: u64,
        layout: &Layout,
        uploader: &Uploader,
        notes: &mut Notes,
    ) -> bool {
        if self.id.name() != id.name() {
            self.id = id.clone();
        }
        self.seen = now;
        let speaks = self.detector.push(pcm);
        self.note_change(now, speaks, layout, notes);
        if speaks {
            self.spoke = now;
        }
        if !place {
            self.end_run(layout, uploader);
        }
        if place && speaks && self.run.is_none() {
            let mut run = Run::start(Tuning::Voice, now - self.lead.len() as u64);
            self.lead.drain(..).for_each(|frame| run.push(&frame));
            self.run = Some(run);
        }
        let Some(run) = &mut self.run else {
            if self.lead.len() == LEAD {
                self.lead.pop_front();
            }
            self.lead.push_back(*pcm);
            return speaks;
        };
        run.push(pcm);
        if now - self.spoke >= PAUSE {
            self.end_run(layout, uploader);
        } else if run.frames() >= length {
            // Silence waits until it is known whether the run goes on.
            if let Some(piece) = run.cut(self.spoke + 1, layout, Some(&self.id)) {
                self.store(piece.to_ogg(), layout, uploader);
            }
        }
        false
    }

    /// Ends what goes on if the participant was not in frame `now`.
    pub(super) fn absent(&mut self, now: u64, layout: &Layout, uploader: &Uploader, notes: &mut Notes) {
        if self.seen < now {
            self.end(now, layout, uploader, notes);
        }
    }

    /// Ends what goes on; `now` is the first frame without this participant.
    pub(super) fn end(&mut self, now: u64, layout: &Layout, uploader: &Uploader, notes: &mut Notes) {
        self.note_change(now, false, layout, notes);
        self.end_run(layout, uploader);
        self.lead.clear();
    }

    fn end_run(&mut self, layout: &Layout, uploader: &Uploader) {
        let piece = self.run.take().and_then(|run| run.end(self.spoke + 1, layout, Some(&self.id)));
        if let Some(piece) = piece {
            self.store(piece.to_ogg(), layout, uploader);
        }
    }

    fn store(&mut self, file: Vec<u8>, layout: &Layout, uploader: &Uploader) {
        uploader.store(layout.track(&self.id, self.seq), file);
        self.seq += 1;
    }

    fn note_change(&mut self, now: u64, speaks: bool, layout: &Layout, notes: &mut Notes) {
        match (self.speech, speaks) {
            (None, true) => self.speech = Some(now.saturating_sub(LATE)),
            (Some(from), false) => {
                let to = (self.spoke + 1).saturating_sub(HANGOVER).max(from + 1);
                notes.speech(layout, &self.id, from, to);
                self.speech = None;
            }
            _ => {}
        }
    }

    /// Notes the speech so far if somebody is speaking, so that it is stored with the segment.
    pub(super) fn note_speech(&mut self, layout: &Layout, notes: &mut Notes) {
        let to = (self.spoke + 1).saturating_sub(HANGOVER);
        if let Some(from) = self.speech
            && to > from
        {
            notes.speech(layout, &self.id, from, to);
            self.speech = Some(to);
        }
    }
}
