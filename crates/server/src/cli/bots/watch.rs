//! Follows a bot. The loop waits and prints; [`Progress`] decides what is new, without a clock or a connection.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_session::{BotId, EndReason};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{Client, ClientError};
use super::show::{Step, ending, steps, waiting};
use super::text::{duration, print_line, short, time};

const POLL: Duration = Duration::from_millis(500);
/// A server that restarts is back within this time; without an answer for longer the watch is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];
/// The status line must not wrap: a wrapped line cannot be redrawn.
const STATUS_CHARS: usize = 78;
/// By convention: ended by SIGINT.
const INTERRUPTED: u8 = 130;

/// What has been told of a bot so far.
#[derive(Debug, Default)]
struct Progress {
    told: HashSet<(String, String)>,
}

impl Progress {
    /// The steps that were not there before. A step that is taken again, by a second attempt, is new.
    fn news(&mut self, details: &Value) -> Vec<Step> {
        let fresh = |step: &Step| self.told.insert((step.name.clone(), step.at.clone()));
        steps(details).into_iter().filter(fresh).collect()
    }
}

/// How the watch ends, once everything is settled.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    normal: bool,
    /// What is wrong; empty if nothing is.
    problems: Vec<String>,
}

fn verdict(details: &Value) -> Option<Verdict> {
    if !matches!(details["Status"].as_str(), Some("Done" | "MediaExpired")) {
        return None;
    }
    let mut problems = Vec::new();
    let reason = details["end_reason"].as_str();
    let known = EndReason::ALL.iter().find(|known| Some(known.as_str()) == reason);
    if known.is_none_or(|reason| reason.terminal().status_code() != 200) {
        problems.push(ending(details).unwrap_or_else(|| "the server names no reason for the end".to_owned()));
    } else if details["StartTime"].is_string() {
        // A bot that was never in the call owes nothing.
        for (key, what) in [("AudioStatus", "the recording"), ("TranscriptStatus", "the transcript")] {
            if details[key] == "Failed" {
                problems.push(format!("{what} could not be made"));
            }
        }
    }
    Some(Verdict { normal: problems.is_empty(), problems })
}

/// The line that is drawn again and again: what the bot does and for how long.
fn status_line(details: &Value, now: Timestamp, tick: usize) -> String {
    use std::fmt::Write as _;
    let since = |at: &str| at.parse::<Timestamp>().ok().map(|at| elapsed(at, now));
    let text = |key: &str| details[key].as_str();
    let mut line = format!("{} {}", SPINNER[tick % SPINNER.len()], text("Status").unwrap_or("?"));
    if let Some(last) = steps(details).last().and_then(|step| since(&step.at)) {
        let _ = write!(line, " for {last}");
    }
    if let (Some(start), None) = (text("StartTime").and_then(since), text("EndTime")) {
        let _ = write!(line, ", {start} in the call");
    }
    if let Some(until) = text("join_at").filter(|_| text("Status") == Some("Scheduled")) {
        let _ = write!(line, ", joins at {until}");
    }
    if let Some(waits) = waiting(details) {
        let _ = write!(line, ", waits {waits}");
    }
    if details["attempt"].as_u64().is_some_and(|attempt| attempt > 1) {
        let _ = write!(line, ", attempt {}", details["attempt"]);
    }
    if let Some(total) = text("CreatedAt").and_then(since) {
        let _ = write!(line, ", {total} in all");
    }
    short(&line, STATUS_CHARS)
}

fn elapsed(from: Timestamp, to: Timestamp) -> String {
    duration(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// Where the news go.
#[derive(Debug)]
struct Screen {
    json: bool,
    terminal: bool,
    zone: TimeZone,
    bot: BotId,
}

impl Screen {
    fn step(&self, step: &Step, details: &Value) {
        if self.json {
            let line = json!({"bot_id": self.bot, "at": step.at, "step": step.name, "message": step.message,
                "status": details["Status"]});
            print_line(&line.to_string());
            return;
        }
        let created = details["CreatedAt"].as_str().and_then(|at| at.parse().ok());
        let after = created.zip(step.at.parse().ok()).map_or_else(String::new, |(from, to)| elapsed(from, to));
        self.clear();
        print_line(&format!(
            "{}  {:>9}  {:18}  {}",
            time(&step.at, &self.zone),
            after,
            step.name,
            short(&step.message, 120)
        ));
    }

    fn status(&self, line: &str) {
        if self.terminal {
            // Back to the start of the line, the line, and nothing after it.
            print!("\r{line}\x1b[K");
            let _ = std::io::stdout().flush();
        }
    }

    fn clear(&self) {
        self.status("");
    }

    fn end(&self, details: &Value, verdict: &Verdict) {
        if self.json {
            let line = json!({"bot_id": self.bot, "step": "end", "normal": verdict.normal,
                "end_reason": details["end_reason"], "fault": details["fault"], "end_message": details["end_message"],
                "audio": details["AudioStatus"], "transcript": details["TranscriptStatus"],
                "transcript_id": details["transcript_id"], "duration": details["Duration"]});
            print_line(&line.to_string());
            return;
        }
        self.clear();
        if verdict.normal {
            print_line(&format!("Done. {}", ending(details).unwrap_or_default()));
        }
        for problem in &verdict.problems {
            print_line(&format!("Failed. {problem}"));
        }
        print_line(&format!("Everything about it: muster bots show {}", self.bot));
    }
}

/// Follows the bot until everything is settled: 0 after a normal end, 1 otherwise, 130 when interrupted. A server that
/// is away for a moment is waited for.
pub(super) async fn run(client: &Client, bot: BotId, json: bool) -> anyhow::Result<ExitCode> {
    let terminal = !json && std::io::stdout().is_terminal();
    let screen = Screen { json, terminal, zone: TimeZone::system(), bot };
    tokio::select! {
        code = follow(client, &screen) => code,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            screen.clear();
            eprintln!("Stopped watching. The bot goes on: muster bots watch {bot}, or muster bots remove {bot}");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

async fn follow(client: &Client, screen: &Screen) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::default();
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut answered, mut seen) = (None, 0);
    loop {
        ticks.tick().await;
        let details = match look(client, screen, answered).await? {
            Look::At(details) => details,
            Look::Away => continue,
            Look::Busy(time) => {
                tokio::time::sleep(time).await;
                // It did answer.
                answered = Some(Instant::now());
                continue;
            }
        };
        answered = Some(Instant::now());
        for step in progress.news(&details) {
            screen.step(&step, &details);
        }
        if let Some(verdict) = verdict(&details) {
            screen.end(&details, &verdict);
            return Ok(if verdict.normal { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        screen.status(&status_line(&details, Timestamp::now(), seen));
        seen += 1;
    }
}

/// What a look at the bot shows.
enum Look {
    At(Value),
    /// The server is away and may come back.
    Away,
    /// The server was asked too often, and wants to be left alone for so long.
    Busy(Duration),
}

/// The bot now. A server that never answered is not waited for.
async fn look(client: &Client, screen: &Screen, answered: Option<Instant>) -> Result<Look, ClientError> {
    match client.detail(screen.bot).await {
        Ok(details) => Ok(Look::At(details)),
        Err(error) if let Some(time) = error.busy() => {
            screen.status("too many requests; trying again");
            Ok(Look::Busy(time))
        }
        Err(error) if error.is_transient() && answered.is_some_and(|at| at.elapsed() < PATIENCE) => {
            screen.status("the server does not answer; trying again");
            Ok(Look::Away)
        }
        Err(error) => {
            screen.clear();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::http::StatusCode;

    use super::*;

    fn step(name: &str, at: &str) -> Value {
        json!({name: {"message": "m", "status": true, "timestamp": at}})
    }

    #[test]
    fn a_step_is_told_once_and_again_when_it_is_taken_again() {
        let mut progress = Progress::default();
        let first = json!({"StatusTimeline": step("Joining", "2026-01-31T09:00:01.000Z")});
        assert_eq!(progress.news(&first).len(), 1);
        assert_eq!(progress.news(&first), []);
        let second = json!({"StatusTimeline": step("Joining", "2026-01-31T09:00:31.000Z")});
        assert_eq!(progress.news(&second)[0].at, "2026-01-31T09:00:31.000Z");
    }

    #[tokio::test]
    async fn a_server_that_was_asked_too_often_is_asked_again() {
        let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = std::sync::Arc::clone(&calls);
        let answer = move || async move {
            let done = json!({"bot_details": {"Status": "Done", "end_reason": "host_ended"}});
            match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], Json(json!({"message": "x"}))),
                _ => (StatusCode::OK, [("x-other", "")], Json(done)),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
        let bot = "01997c3e-2c47-7d52-9a1b-0c6f5d3e8b11".parse().unwrap();
        let code = run(&Client::new(server, None).unwrap(), bot, true).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    #[test]
    fn only_a_call_that_gave_what_was_asked_for_ended_normally() {
        let at = |status: &str, reason: &str, audio: &str, transcript: &str| {
            verdict(
                &json!({"Status": status, "end_reason": reason, "AudioStatus": audio, "TranscriptStatus": transcript,
                "StartTime": "2026-01-31T09:00:00.000Z"}),
            )
        };
        assert_eq!(at("MediaProcessing", "host_ended", "Success", ""), None);
        assert!(at("Done", "host_ended", "Success", "Success").unwrap().normal);
        assert!(at("MediaExpired", "leave_requested", "Success", "").unwrap().normal);
        let never_joined = json!({"Status": "Done", "end_reason": "leave_requested", "TranscriptStatus": "Failed"});
        assert!(verdict(&never_joined).unwrap().normal);
        for (reason, audio, transcript, problem) in [
            ("lobby_timeout", "", "", "lobby_timeout"),
            ("bot_crashed", "Success", "", "bot_crashed"),
            ("host_ended", "Failed", "", "the recording"),
            ("host_ended", "Success", "Failed", "the transcript"),
            ("of another version", "Success", "", "of another version"),
        ] {
            let verdict = at("Done", reason, audio, transcript).unwrap();
            assert!(!verdict.normal && verdict.problems[0].contains(problem), "{reason}: {verdict:?}");
        }
    }

    #[test]
    fn the_status_line_says_what_and_for_how_long() {
        let details = json!({
            "Status": "Recording", "CreatedAt": "2026-01-31T09:00:00.000Z", "StartTime": "2026-01-31T09:00:05.000Z",
            "EndTime": null, "attempt": 2, "StatusTimeline": step("Recording", "2026-01-31T09:00:06.000Z"),
        });
        let now = "2026-01-31T09:01:10Z".parse().unwrap();
        assert_eq!(
            status_line(&details, now, 1),
            "/ Recording for 1:04 min, 1:05 min in the call, attempt 2, 1:10 min in all"
        );
        // A clock of ours that is behind the server's makes nothing negative.
        let early = "2026-01-31T08:00:00Z".parse().unwrap();
        assert!(status_line(&details, early, 0).starts_with("| Recording for 0 s"));
    }
}
