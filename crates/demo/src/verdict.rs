//! What a demo must show. No I/O.

use muster_transcript::accuracy::wer;
use serde::Deserialize;
use serde_json::Value;

use crate::passage::{SPEAKERS, text};

/// Word error rate that a small recogniser stays below with this passage.
pub(crate) const WER_MAX: f64 = 0.15;
/// Of one speaker alone: half the words, so one wrong word weighs twice. Swapped labels give about 1.
const SPEAKER_WER_MAX: f64 = 0.3;
/// The recording begins when capture runs and ends with the last frame before the end; both are seen by webhooks that
/// are told a moment before or after.
const LENGTH_TOLERANCE_S: f64 = 3.0;

/// A piece of the transcript, as the API gives it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Segment {
    pub(crate) speaker: String,
    pub(crate) transcript: String,
    /// Seconds from the start of the recording.
    pub(crate) start_time: f64,
}

/// Everything that came back from a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Webhooks in order of arrival.
    pub(crate) webhooks: Vec<Value>,
    pub(crate) transcript: Vec<Segment>,
    /// Length of the decoded recording.
    pub(crate) recording_seconds: f64,
    /// Processes of the bot that memory and CPU were measured of.
    pub(crate) measured_processes: u32,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) held: bool,
    pub(crate) text: String,
}

fn check(held: bool, text: String) -> Check {
    Check { held, text }
}

/// Word error rate of the whole transcript.
pub(crate) fn error_rate(transcript: &[Segment]) -> f64 {
    let heard: Vec<&str> = transcript.iter().map(|segment| segment.transcript.as_str()).collect();
    wer(&text(None), &heard.join(" "))
}

/// Judges a call.
pub(crate) fn judge(seen: &Seen) -> Vec<Check> {
    let mut checks = vec![order(&seen.webhooks), terminal(&seen.webhooks)];
    let rate = error_rate(&seen.transcript);
    checks.push(check(rate <= WER_MAX, format!("word error rate {} (at most {})", percent(rate), percent(WER_MAX))));
    checks.push(speakers(&seen.transcript));
    checks.push(length(seen));
    let measured = seen.measured_processes;
    checks.push(check(measured > 0, format!("memory and CPU measured of {measured} processes")));
    checks
}

pub(crate) fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// Once each, without gaps, times that never go backwards, and `bot.done` last.
fn order(webhooks: &[Value]) -> Check {
    let mut by_sequence: Vec<&Value> = webhooks.iter().collect();
    by_sequence.sort_by_key(|body| body["sequence"].as_u64());
    // At least once: a repetition is lawful, and the same event.
    by_sequence.dedup_by_key(|body| body["sequence"].as_u64());
    let gapless = by_sequence.iter().zip(1..).all(|(body, want)| body["sequence"].as_u64() == Some(want));
    let times: Vec<&str> = by_sequence.iter().filter_map(|body| body["timestamp"].as_str()).collect();
    let done = by_sequence.iter().filter(|body| body["event"] == "bot.done").count();
    let last = by_sequence.last().is_some_and(|body| body["event"] == "bot.done");
    let arrived_last = webhooks.last().is_some_and(|body| body["event"] == "bot.done");
    let held = gapless && times.is_sorted() && done == 1 && last && arrived_last;
    check(held, format!("{} webhooks without a gap, bot.done once and last", by_sequence.len()))
}

/// Exactly one terminal event, and a normal one.
fn terminal(webhooks: &[Value]) -> Check {
    let mut ends: Vec<&Value> = webhooks.iter().filter(|body| body["event"] == "bot.stopped").collect();
    ends.dedup_by_key(|body| body["sequence"].as_u64());
    match ends[..] {
        [end] => {
            let held = end["bot_event"] == "bot.stopped" && end["status_code"] == 200 && end["reason"] == "host_ended";
            let reason = end["reason"].as_str().unwrap_or("no reason");
            let message = end["message"].as_str().unwrap_or_default();
            check(held, format!("one terminal event, a normal one ({reason}: {message})"))
        }
        _ => check(false, format!("one terminal event, a normal one ({} seen)", ends.len())),
    }
}

/// Everybody's words under their own name, and nobody else's.
fn speakers(transcript: &[Segment]) -> Check {
    let of = |name: &str| {
        let own: Vec<&str> = transcript
            .iter()
            .filter(|segment| segment.speaker == name)
            .map(|segment| segment.transcript.as_str())
            .collect();
        own.join(" ")
    };
    let rates = SPEAKERS.map(|speaker| wer(&text(Some(speaker)), &of(speaker.name)));
    let strangers: Vec<&str> = transcript
        .iter()
        .map(|segment| segment.speaker.as_str())
        .filter(|name| SPEAKERS.iter().all(|speaker| speaker.name != *name))
        .collect();
    let held = rates.iter().all(|rate| *rate <= SPEAKER_WER_MAX) && strangers.is_empty();
    let each: Vec<String> =
        SPEAKERS.iter().zip(rates).map(|(speaker, rate)| format!("{} {} wrong", speaker.name, percent(rate))).collect();
    let stranger = strangers.first().map_or_else(String::new, |name| format!(" — words of a stranger: {name:?}"));
    let text = format!("both speakers labelled right ({}){stranger}", each.join(", "));
    check(held, text)
}

/// The recording is as long as the call was recorded.
fn length(seen: &Seen) -> Check {
    let at = |name: &str| {
        let body = seen.webhooks.iter().find(|body| body["bot_event"] == name)?;
        body["timestamp"].as_str()?.parse::<jiff::Timestamp>().ok()
    };
    let Some((from, to)) = at("bot.recording").zip(at("bot.leaving")) else {
        return check(false, "recording as long as the call (the call was not recorded)".to_owned());
    };
    let call = to.duration_since(from).as_secs_f64();
    let held = (seen.recording_seconds - call).abs() <= LENGTH_TOLERANCE_S;
    check(held, format!("recording of {:.1} s for {call:.1} s of call", seen.recording_seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::passage::{ADA, BEN, LINES};

    fn good() -> Seen {
        let hook = |sequence: u64, event: &str, seconds: u64| {
            json!({"sequence": sequence, "event": event, "bot_event": event, "status_code": 200,
                "reason": if event == "bot.stopped" { json!("host_ended") } else { Value::Null },
                "timestamp": format!("2026-01-31T09:00:{seconds:02}.000Z")})
        };
        let segment = |(index, (speaker, line)): (usize, &(crate::passage::Speaker, &str))| Segment {
            speaker: speaker.name.to_owned(),
            transcript: (*line).to_owned(),
            start_time: index as f64,
        };
        Seen {
            webhooks: vec![
                hook(1, "bot.joining", 1),
                hook(2, "bot.inmeeting", 3),
                hook(3, "bot.recording", 4),
                hook(4, "bot.leaving", 44),
                hook(5, "bot.stopped", 45),
                hook(6, "bot.done", 50),
            ],
            transcript: LINES.iter().enumerate().map(segment).collect(),
            recording_seconds: 40.4,
            measured_processes: 8,
        }
    }

    /// The checks that do not hold, after a change.
    fn broken(change: impl FnOnce(&mut Seen)) -> Vec<String> {
        let mut seen = good();
        change(&mut seen);
        judge(&seen).into_iter().filter(|check| !check.held).map(|check| check.text).collect()
    }

    #[test]
    fn a_call_that_went_well_passes() {
        assert_eq!(broken(|_| {}), [""; 0]);
        assert_eq!(broken(|seen| seen.webhooks.insert(1, seen.webhooks[0].clone())), [""; 0], "at least once");
    }

    #[test]
    fn each_fault_fails_its_own_check() {
        for (fault, wanted, seen) in [
            ("a gap", "without a gap", broken(|seen| drop(seen.webhooks.remove(1)))),
            ("done is not last", "without a gap", broken(|seen| seen.webhooks.swap(4, 5))),
            ("kicked", "terminal", broken(|seen| seen.webhooks[4]["reason"] = json!("kicked"))),
            ("failed", "terminal", broken(|seen| seen.webhooks[4]["status_code"] = json!(500))),
            ("too short", "recording of 20.0 s for 40.0 s", broken(|seen| seen.recording_seconds = 20.0)),
            ("not measured", "measured of 0 processes", broken(|seen| seen.measured_processes = 0)),
            (
                "swapped labels",
                "labelled",
                broken(|seen| {
                    for segment in &mut seen.transcript {
                        let other = if segment.speaker == ADA.name { BEN } else { ADA };
                        segment.speaker = other.name.to_owned();
                    }
                }),
            ),
            (
                "a stranger",
                "stranger: \"Eve\"",
                broken(|seen| {
                    seen.transcript.push(Segment {
                        speaker: "Eve".into(),
                        transcript: "psst".into(),
                        start_time: 99.0,
                    });
                }),
            ),
        ] {
            assert_eq!(seen.len(), 1, "{fault}: {seen:?}");
            assert!(seen[0].contains(wanted), "{fault}: {seen:?}");
        }
    }

    #[test]
    fn missing_words_and_missing_everything_fail() {
        let seen = broken(|seen| seen.transcript.truncate(4));
        assert!(seen.iter().any(|text| text.contains("word error rate")), "{seen:?}");
        let nothing: Vec<bool> = judge(&Seen::default()).iter().map(|check| check.held).collect();
        assert_eq!(nothing, [false; 6]);
    }
}
