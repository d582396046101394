//! The truth about capture: a bot that hears nothing although there is something to hear says so, tries to repair it,
//! and fails rather than to record silence. Pure.

mod page;

use std::time::Duration;

use muster_session::Timestamp;
pub(crate) use page::PageWatch;

/// After repair there is this many times the timeout in all before capture has failed.
const PATIENCE: u32 = 3;
/// Quieter than this over the whole call is silence, whatever the frames say.
pub(crate) const SILENCE_DBFS: f32 = -70.0;

/// What is known about capture now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hearing {
    /// Others in the call.
    pub(crate) others: usize,
    /// Their live audio tracks.
    pub(crate) tracks: usize,
    /// Sample frames captured so far.
    pub(crate) samples: u64,
    /// Bytes of audio that the page has received so far; unknown where the page does not tell.
    pub(crate) received_bytes: Option<u64>,
    /// When the page last told of them: once a second while there are connections.
    pub(crate) received_at: Option<Timestamp>,
    /// The loudest level so far, dB below full scale.
    pub(crate) peak_dbfs: f32,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Attach again, and tell.
    Repair(String),
    /// Tell.
    Note(String),
    /// Give up.
    Failed(String),
    /// Give up: the page is as good as gone.
    Hangs(String),
}

/// Judges [`Hearing`] over time.
#[derive(Clone, Debug)]
pub(crate) struct CaptureWatch {
    timeout: Duration,
    samples: u64,
    bytes: u64,
    /// Since when samples are owed.
    owed_since: Option<Timestamp>,
    /// When bytes last came in.
    bytes_at: Option<Timestamp>,
    repaired_at: Option<Timestamp>,
    told_nobody_sends: bool,
    /// Since when samples arrive, all of them silent.
    silent_since: Option<Timestamp>,
    told_silent: bool,
}

impl CaptureWatch {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            samples: 0,
            bytes: 0,
            owed_since: None,
            bytes_at: None,
            repaired_at: None,
            told_nobody_sends: false,
            silent_since: None,
            told_silent: false,
        }
    }

    /// To be called regularly while in the call.
    pub(crate) fn observe(&mut self, hearing: Hearing, now: Timestamp) -> Option<Finding> {
        let samples_came = hearing.samples > self.samples;
        let bytes = hearing.received_bytes.unwrap_or(0);
        if bytes > self.bytes {
            self.bytes_at = Some(now);
        }
        (self.samples, self.bytes) = (hearing.samples, bytes);
        if samples_came || hearing.others == 0 || hearing.tracks == 0 {
            self.owed_since = None;
            if !samples_came {
                return None;
            }
            self.repaired_at = None;
            return self.judge_level(hearing, now);
        }
        let since = *self.owed_since.get_or_insert(now);
        let waited = now.since(since);
        if waited < self.timeout {
            return None;
        }
        // Recently, because figures lag: the last bytes of somebody who muted can be counted after the last samples.
        let sending = self.bytes_at.is_some_and(|at| now.since(at) < self.timeout / 2);
        if hearing.received_bytes.is_some() && !sending {
            // Nothing is sent, so nothing is owed: everybody is muted, or their products send nothing for silence.
            return self.once_nobody_sends(waited);
        }
        // Audio that came once and stopped is only a fault if bytes still come.
        if hearing.samples > 0 && !sending {
            return None;
        }
        let Some(repaired_at) = self.repaired_at else {
            self.repaired_at = Some(now);
            return Some(Finding::Repair(format!("no audio captured for {}; attaching again", words(waited, hearing))));
        };
        // Also from there on: after a long silence the first bytes can be counted before the first samples come.
        let in_vain = now.since(repaired_at) >= self.timeout * (PATIENCE - 1);
        (in_vain && waited >= self.timeout * PATIENCE)
            .then(|| Finding::Failed(format!("no audio captured for {}, also after repair", words(waited, hearing))))
    }

    fn once_nobody_sends(&mut self, waited: Duration) -> Option<Finding> {
        if std::mem::replace(&mut self.told_nobody_sends, true) {
            return None;
        }
        Some(Finding::Note(format!("nobody has sent audio for {} s", waited.as_secs())))
    }

    fn judge_level(&mut self, hearing: Hearing, now: Timestamp) -> Option<Finding> {
        if hearing.peak_dbfs > SILENCE_DBFS {
            self.silent_since = None;
            // Only a call that was silent from its start is suspicious.
            self.told_silent = true;
            return None;
        }
        let since = *self.silent_since.get_or_insert(now);
        if self.told_silent || now.since(since) < self.timeout * PATIENCE {
            return None;
        }
        self.told_silent = true;
        Some(Finding::Note("captured, but silent: audio arrives, and nothing can be heard in it".to_owned()))
    }
}

fn words(waited: Duration, hearing: Hearing) -> String {
    format!("{} s ({} others, {} audio tracks)", waited.as_secs(), hearing.others, hearing.tracks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const COMPANY: Hearing = Hearing {
        others: 2,
        tracks: 1,
        samples: 0,
        received_bytes: Some(0),
        received_at: None,
        peak_dbfs: f32::NEG_INFINITY,
    };

    /// What was found in a call of `seconds`, by second.
    fn run(seconds: i64, hearing: impl Fn(i64) -> Hearing) -> Vec<(i64, &'static str)> {
        let mut watch = CaptureWatch::new(TIMEOUT);
        let mut found = Vec::new();
        for second in 0..=seconds {
            match watch.observe(hearing(second), Timestamp::from_millis(second * 1_000)) {
                Some(Finding::Repair(_)) => found.push((second, "repair")),
                Some(Finding::Note(text)) if text.contains("silent") => found.push((second, "silent")),
                Some(Finding::Note(_)) => found.push((second, "nobody sends")),
                Some(Finding::Failed(_)) => found.push((second, "failed")),
                Some(Finding::Hangs(text)) => panic!("{text}"),
                None => {}
            }
            if matches!(found.last(), Some((_, "failed"))) {
                break;
            }
        }
        found
    }

    fn bytes(second: i64) -> Option<u64> {
        u64::try_from(second).ok().map(|s| s * 6_000)
    }

    #[test]
    fn bytes_without_samples_are_repaired_then_fatal() {
        let found = run(30, |s| Hearing { received_bytes: bytes(s), ..COMPANY });
        assert_eq!(found, [(10, "repair"), (30, "failed")]);
        let found = run(30, |_| Hearing { received_bytes: None, ..COMPANY });
        assert_eq!(found, [(10, "repair"), (30, "failed")], "a track that says nothing about bytes counts as sending");
    }

    #[test]
    fn a_repair_that_helps_ends_the_matter_and_the_next_fault_gets_its_own() {
        let found = run(80, |s| {
            let captured = if s < 12 { 0 } else { s.min(40) - 11 };
            Hearing { received_bytes: bytes(s), samples: u64::try_from(captured).unwrap(), peak_dbfs: -20.0, ..COMPANY }
        });
        assert_eq!(found, [(10, "repair"), (51, "repair"), (71, "failed")]);
    }

    #[test]
    fn a_muted_room_is_noted_and_no_fault() {
        assert_eq!(run(600, |_| COMPANY), [(10, "nobody sends")]);
        assert_eq!(run(600, |_| Hearing { tracks: 0, ..COMPANY }), []);
        assert_eq!(run(600, |s| Hearing { others: 0, received_bytes: bytes(s), ..COMPANY }), []);
    }

    #[test]
    fn a_room_that_mutes_later_is_no_fault() {
        let found = run(600, |s| Hearing {
            samples: u64::try_from(s.min(30)).unwrap(),
            received_bytes: bytes(s.min(33)),
            peak_dbfs: -20.0,
            ..COMPANY
        });
        assert_eq!(found, [(41, "nobody sends")], "the figures lag by three seconds");
    }

    #[test]
    fn a_word_after_a_long_silence_is_waited_for() {
        let found = run(700, |s| Hearing {
            received_bytes: bytes((s - 600).max(0)),
            samples: u64::try_from((s - 603).max(0)).unwrap(),
            peak_dbfs: -20.0,
            ..COMPANY
        });
        assert_eq!(found, [(10, "nobody sends"), (601, "repair")], "samples come two seconds after the first bytes");
    }

    #[test]
    fn silence_that_is_captured_is_called_silence() {
        let found = run(600, |s| Hearing { samples: bytes(s).unwrap(), received_bytes: bytes(s), ..COMPANY });
        assert_eq!(found, [(31, "silent")]);
        let found = run(600, |s| Hearing {
            samples: bytes(s).unwrap(),
            received_bytes: bytes(s),
            peak_dbfs: if s < 20 { -90.0 } else { -30.0 },
            ..COMPANY
        });
        assert_eq!(found, []);
    }
}
