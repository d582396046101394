use std::collections::VecDeque;

/// Samples that a track can hold: 2.7 s. Enough for the delay and for a caller that stalls for a while.
const ROOM: i64 = 131_072;

/// The samples of a track that wait to be played. Positions are samples since the start of the timeline.
#[derive(Debug)]
pub(super) struct Ring {
    samples: Box<[i16]>,
    /// What is there, in order, not touching.
    runs: VecDeque<Run>,
}

/// Samples without a hole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { samples: vec![0; ROOM as usize].into_boxed_slice(), runs: VecDeque::with_capacity(ROOM as usize / 960) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Puts samples at a position that is not before the end of the last ones. Answers how many of them fit; `floor`
    /// is the first position that can still be played.
    pub(super) fn write(&mut self, at: i64, samples: &[i16], floor: i64) -> usize {
        let room = usize::try_from(floor + ROOM - at).unwrap_or(0).min(samples.len());
        if room == 0 {
            return 0;
        }
        let to = at + room as i64;
        let start = at.rem_euclid(ROOM) as usize;
        let (head, tail) = samples[..room].split_at(room.min(ROOM as usize - start));
        self.samples[start..start + head.len()].copy_from_slice(head);
        self.samples[..tail.len()].copy_from_slice(tail);
        match self.runs.back_mut() {
            Some(run) if run.to == at => run.to = to,
            _ => self.runs.push_back(Run { from: at, to }),
        }
        room
    }

    /// Takes the next run, or the part of it that is before `to`.
    pub(super) fn take(&mut self, to: i64) -> Option<Run> {
        let run = self.runs.front_mut().filter(|run| run.from < to)?;
        if run.to > to {
            let part = Run { from: run.from, to };
            run.from = to;
            return Some(part);
        }
        self.runs.pop_front()
    }

    /// Copies what begins at the position.
    pub(super) fn read(&self, at: i64, out: &mut [i16]) {
        let start = at.rem_euclid(ROOM) as usize;
        let head = out.len().min(ROOM as usize - start);
        let (first, second) = out.split_at_mut(head);
        first.copy_from_slice(&self.samples[start..start + head]);
        second.copy_from_slice(&self.samples[..second.len()]);
    }
}
