use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;
use muster_session::BotId;
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::text::{date_time, duration, print_line, short, table, time};

/// Longest name, link or message that is shown on a line.
const LINE_CHARS: usize = 160;

pub(super) async fn run(client: &Client, bot: BotId, json: bool) -> anyhow::Result<ExitCode> {
    let details = client.detail(bot).await?;
    let (_, ledger) = client.get(&format!("bots/{bot}/events"), &[]).await?;
    let (_, transcripts) = client.get(&format!("bots/{bot}/transcriptions"), &[]).await?;
    let audio = asked(client.get(&format!("bots/{bot}/get_audio"), &[]).await)?;
    if json {
        let all = json!({
            "bot_details": details,
            "events": ledger["events"],
            "transcriptions": transcripts["transcriptions"],
            "audio": audio,
        });
        print_line(&all.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let zone = TimeZone::system();
    let mut lines = vec![format!("Bot {bot}")];
    lines.extend(indented(table(&about(&details, &zone))));
    section(&mut lines, "Timeline", table(&timeline(&details, &zone)));
    section(&mut lines, "Artifacts", table(&artifacts(&details, &audio, &transcripts["transcriptions"])));
    section(&mut lines, "Webhooks", table(&webhooks(&ledger["events"], &zone)));
    lines.iter().for_each(|line| print_line(line));
    Ok(ExitCode::SUCCESS)
}

/// A refusal is an answer too: it says why there is nothing.
fn asked(result: Result<(reqwest::StatusCode, Value), ClientError>) -> Result<Value, ClientError> {
    match result {
        Ok((_, answer)) => Ok(answer),
        Err(ClientError::Refused { message, .. }) => Ok(json!({"message": message})),
        Err(error) => Err(error),
    }
}

fn section(lines: &mut Vec<String>, title: &str, content: Vec<String>) {
    if !content.is_empty() {
        lines.push(format!("\n{title}"));
        lines.extend(indented(content));
    }
}

fn indented(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("  {line}"))
}

/// Why it ended and whose doing it was, or nothing while it has not.
pub(super) fn ending(details: &Value) -> Option<String> {
    let reason = details["end_reason"].as_str()?;
    let message = details["end_message"].as_str().unwrap_or_default();
    let whose = match details["fault"].as_str() {
        Some("us") => "; ours to mend",
        Some("host") => "; the meeting's people decided it",
        Some("platform") => "; the meeting product's doing",
        Some("customer") => "; by the caller's request, link or settings",
        _ => "",
    };
    Some(format!("{reason}: {}{whose}", short(message, LINE_CHARS)))
}

/// Where it is in the queue, while it waits to be run.
pub(super) fn waiting(details: &Value) -> Option<String> {
    let queue = details["queue"].as_object()?;
    let what = if queue["waits_for"] == "worker" { "for a worker" } else { "in line for a place" };
    let eta = match queue["eta_seconds"].as_u64() {
        Some(0) => ", any moment".to_owned(),
        Some(seconds) => format!(", about {}", duration(Duration::from_secs(seconds))),
        None => String::new(),
    };
    Some(format!("{what}, position {}{eta}", queue["position"]))
}

fn about(details: &Value, zone: &TimeZone) -> Vec<Vec<String>> {
    let text = |key: &str| details[key].as_str().map(|value| short(value, LINE_CHARS));
    let when = |key: &str| details[key].as_str().map(|at| date_time(at, zone));
    let mut rows = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    add("Name", text("BotUsername"));
    add("Meeting", text("MeetingLink"));
    add("Platform", text("Platform"));
    add("Status", text("Status"));
    add("Waits", waiting(details));
    add("Created", when("CreatedAt"));
    add("Joins at", when("join_at"));
    add(
        "In the call",
        when("StartTime").map(|from| match details["Duration"].as_u64() {
            Some(seconds) => format!("{from}, for {}", duration(Duration::from_secs(seconds))),
            None => format!("since {from}"),
        }),
    );
    add("Ended", ending(details));
    add("Attempts", details["attempt"].as_u64().filter(|attempts| *attempts > 1).map(|attempts| attempts.to_string()));
    add(
        "Attributes",
        details["custom_attributes"].as_object().filter(|map| !map.is_empty()).map(|map| {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            short(&pairs.join(", "), LINE_CHARS)
        }),
    );
    add("Kept until", when("expires_at"));
    rows
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A step of the way that was reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    /// RFC 3339 with milliseconds, UTC: sorts as text.
    pub(super) at: String,
    pub(super) name: String,
    pub(super) message: String,
}

/// The steps that were reached, in order of time.
pub(super) fn steps(details: &Value) -> Vec<Step> {
    let reached = details["StatusTimeline"].as_object().into_iter().flatten().filter_map(|(name, step)| {
        let at = step["timestamp"].as_str()?.to_owned();
        let message = step["message"].as_str().unwrap_or_default().to_owned();
        Some(Step { at, name: name.clone(), message })
    });
    let mut steps: Vec<Step> = reached.collect();
    steps.sort_by(|a, b| (&a.at, rank(&a.name)).cmp(&(&b.at, rank(&b.name))));
    steps
}

/// Steps of one millisecond are told in the order of the way.
fn rank(name: &str) -> usize {
    const ORDER: [&str; 14] = [
        "Scheduled",
        "Joining",
        "WaitingRoom",
        "InMeeting",
        "Recording",
        "Leaving",
        "Stopped",
        "BotNotAllowed",
        "BotRejected",
        "Error",
        "AudioProcessing",
        "TranscriptionReady",
        "Done",
        "MediaExpired",
    ];
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

fn timeline(details: &Value, zone: &TimeZone) -> Vec<Vec<String>> {
    let row = |step: Step| vec![time(&step.at, zone), step.name, short(&step.message, LINE_CHARS)];
    steps(details).into_iter().map(row).collect()
}

fn artifacts(details: &Value, audio: &Value, transcripts: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let owed = !details["AudioStatus"].is_null() || !details["ManifestStatus"].is_null();
    if owed || audio["audio_url"].is_string() {
        let state = state(&details["AudioStatus"]);
        let more = audio["audio_url"].as_str().or(audio["message"].as_str()).unwrap_or_default();
        rows.push(vec!["audio".to_owned(), state.to_owned(), more.to_owned()]);
    }
    for transcript in transcripts.as_array().into_iter().flatten() {
        let id = transcript["transcript_id"].as_str().unwrap_or_default();
        let more = match transcript["download_urls"]["processed_transcript"].as_str() {
            Some(url) => format!("{id}  {url}"),
            None => id.to_owned(),
        };
        rows.push(vec!["transcript".to_owned(), state(&transcript["status"]).to_owned(), more]);
    }
    rows
}

fn state(status: &Value) -> &'static str {
    match status.as_str() {
        Some("Success") => "ready",
        Some("Failed") => "failed",
        _ => "pending",
    }
}

fn webhooks(events: &Value, zone: &TimeZone) -> Vec<Vec<String>> {
    let row = |event: &Value| {
        let attempts = event["attempts"].as_array().map_or(&[][..], Vec::as_slice);
        let last = attempts.last().map_or_else(String::new, |attempt| match attempt["http_status"].as_u64() {
            Some(status) => format!("HTTP {status} after {} ms", attempt["latency_ms"]),
            None => short(attempt["detail"].as_str().unwrap_or_default(), LINE_CHARS),
        });
        let next = event["next_attempt_at"].as_str().filter(|_| !attempts.is_empty());
        let next = next.map_or_else(String::new, |at| format!(", next attempt at {}", time(at, zone)));
        vec![
            format!("#{}", event["sequence"]),
            time(event["timestamp"].as_str().unwrap_or_default(), zone),
            event["bot_event"].as_str().unwrap_or_default().to_owned(),
            event["status"].as_str().unwrap_or_default().to_owned(),
            match attempts.len() {
                1 => "1 attempt".to_owned(),
                count => format!("{count} attempts"),
            },
            format!("{last}{next}"),
        ]
    };
    events.as_array().into_iter().flatten().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Value {
        json!({
            "BotUsername": "Notes", "MeetingLink": "http://127.0.0.1/sandbox/a", "Platform": "Sandbox", "Status": "Done",
            "CreatedAt": "2026-01-31T09:00:00.000Z", "StartTime": "2026-01-31T09:00:02.000Z", "Duration": 65,
            "end_reason": "host_ended", "end_message": "The host ended the meeting", "fault": "host", "attempt": 1,
            "AudioStatus": "Success", "custom_attributes": {"a": 1, "b": "x"},
            "StatusTimeline": {
                "Done": {"message": "settled", "status": true, "timestamp": "2026-01-31T09:02:00.000Z"},
                "Joining": {"message": "on the way", "status": true, "timestamp": "2026-01-31T09:00:01.000Z"},
                "InMeeting": {"message": "in", "status": true, "timestamp": "2026-01-31T09:00:02.000Z"},
                "Recording": {"message": "records", "status": true, "timestamp": "2026-01-31T09:00:02.000Z"},
                "WaitingRoom": {"message": null, "status": false, "timestamp": null},
            },
        })
    }

    #[test]
    fn steps_come_in_order_and_only_those_that_were_reached() {
        let names: Vec<String> = steps(&done()).into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["Joining", "InMeeting", "Recording", "Done"]);
    }

    #[test]
    fn a_bot_that_is_done_says_why_it_ended_and_whose_doing_it_was() {
        let lines = table(&about(&done(), &TimeZone::UTC));
        let want = [
            "Name         Notes",
            "Meeting      http://127.0.0.1/sandbox/a",
            "Platform     Sandbox",
            "Status       Done",
            "Created      2026-01-31 09:00:00",
            "In the call  2026-01-31 09:00:02, for 1:05 min",
            "Ended        host_ended: The host ended the meeting; the meeting's people decided it",
            "Attributes   a=1, b=x",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn a_bot_that_waits_says_where_it_is() {
        let of = |eta: Value| {
            waiting(&json!({"queue": {"waits_for": "place", "position": 7, "ahead": 6, "eta_seconds": eta}}))
        };
        assert_eq!(of(json!(65)).as_deref(), Some("in line for a place, position 7, about 1:05 min"));
        assert_eq!(of(Value::Null).as_deref(), Some("in line for a place, position 7"));
        assert_eq!(waiting(&done()), None);
    }

    #[test]
    fn artifacts_say_where_they_are_or_why_not() {
        let transcripts = json!([
            {"transcript_id": "t", "status": "Success", "download_urls": {"processed_transcript": "http://t"}},
            {"transcript_id": "u", "status": "Processing", "download_urls": null},
        ]);
        let rows = artifacts(&done(), &json!({"audio_url": "http://a"}), &transcripts);
        assert_eq!(
            rows,
            [["audio", "ready", "http://a"], ["transcript", "ready", "t  http://t"], ["transcript", "pending", "u"]]
        );
        let failed = json!({"AudioStatus": "Failed", "ManifestStatus": "Success"});
        let rows = artifacts(&failed, &json!({"message": "There is no audio: disk full"}), &Value::Null);
        assert_eq!(rows, [["audio", "failed", "There is no audio: disk full"]]);
    }

    #[test]
    fn a_webhook_says_how_its_last_attempt_went() {
        let events = json!([
            {"sequence": 1, "timestamp": "2026-01-31T09:00:01.000Z", "bot_event": "bot.joining", "status": "delivered",
             "next_attempt_at": null, "attempts": [{"http_status": 200, "latency_ms": 12, "detail": "ok"}]},
            {"sequence": 2, "timestamp": "2026-01-31T09:00:02.000Z", "bot_event": "bot.inmeeting", "status": "pending",
             "next_attempt_at": "2026-01-31T09:00:07.000Z",
             "attempts": [{"http_status": null, "latency_ms": 3, "detail": "refused"}, {"http_status": null, "latency_ms": 3, "detail": "refused"}]},
        ]);
        let lines = table(&webhooks(&events, &TimeZone::UTC));
        assert_eq!(lines[0], "#1  09:00:01  bot.joining    delivered  1 attempt   HTTP 200 after 12 ms");
        assert_eq!(lines[1], "#2  09:00:02  bot.inmeeting  pending    2 attempts  refused, next attempt at 09:00:07");
    }
}
