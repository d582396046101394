//! `muster-demo run`: one meeting from the first word to the verdict.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use muster_audio::ogg;
use muster_session::protocol::SpeechSpec;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Whisper;
use crate::api::{Api, scenario};
use crate::passage;
use crate::processes::{Cost, Meter};
use crate::receiver::Receiver;
use crate::server::{Server, Setup, said};
use crate::speech;
use crate::verdict::{Seen, Segment, error_rate, judge, percent};
use crate::workplace::Workplace;

const ROOM: &str = "demo";
/// From the creation of the bot to `bot.done`.
const PATIENCE: Duration = Duration::from_secs(140);
const METER_PERIOD: Duration = Duration::from_secs(1);
/// A first request may load the model.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);
const MIB: f64 = 1024.0 * 1024.0;

/// Holds the meeting; success only if everything held.
pub(crate) async fn run(whisper: Whisper) -> anyhow::Result<ExitCode> {
    let place = Workplace::open("run", true)?;
    let log = place.path("server.log");
    println!("Muster demo: two people talk, a bot listens.\n");
    let result = meeting(&place, &whisper).await;
    match result {
        Ok(true) => {
            println!("\nEverything held.");
            Ok(ExitCode::SUCCESS)
        }
        Ok(false) => {
            println!("\nNot everything held. The server's log: {}", log.display());
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            println!("\n✗ {error:#}\n\nThe demo could not be finished. {}", said(&log));
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn meeting(place: &Workplace, whisper: &Whisper) -> anyhow::Result<bool> {
    let words = place.path("speech");
    std::fs::create_dir_all(&words).context("the directory for speech")?;
    let spoken = speech::passage(&words).await?;
    let total: Duration = spoken.iter().map(|line| line.length).sum();
    println!(
        "Speech     {} lines, {:.1} s, two voices (espeak-ng): {}",
        spoken.len(),
        total.as_secs_f64(),
        words.display()
    );
    let began = Instant::now();
    warm_up(whisper).await?;
    println!("Whisper    {} answers ({:.1} s)", whisper.url, began.elapsed().as_secs_f64());

    let key = format!("mst_{}", uuid::Uuid::new_v4().as_simple());
    let setup = Setup {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: place.path("data"),
        config_file: place.path("muster.toml"),
        log_file: place.path("server.log"),
        api_key: &key,
        whisper: Some(whisper),
        lan: false,
    };
    let server = Server::start(&setup).await?;
    println!("Server     {} (log: {})", server.url, setup.log_file.display());
    let api = Api::new(&server.url, &key)?;
    api.room(ROOM, &scenario(&spoken, false)).await?;
    println!("Meeting    {}/sandbox/{ROOM}", server.url);

    let mut receiver = Receiver::start().await?;
    let request = json!({
        "meeting_link": format!("{}/sandbox/{ROOM}", server.url),
        "bot_name": "Notes",
        "callback_url": receiver.url,
        "recording_config": {"transcript": {"provider": {"meetstream": {}}}},
    });
    let created = api.call(Method::POST, "/api/v1/bots/create_bot", Some(&request)).await?;
    let bot = created["bot_id"].as_str().context("create_bot answered no bot_id")?.to_owned();
    let transcript = created["transcript_id"].as_str().context("create_bot answered no transcript_id")?.to_owned();
    println!("Bot        {bot}\n\nWebhooks, as they arrive");

    let mut seen = Seen::default();
    let cost = follow(&mut receiver, server.pid(), &bot, &mut seen).await?;
    seen.measured_processes = cost.processes;
    fetch(&api, place, &bot, &transcript, &mut seen).await?;
    report(place, &seen, cost);
    let checks = judge(&seen);
    println!("\nVerdict");
    for check in &checks {
        println!("  {} {}", if check.held { '✓' } else { '✗' }, check.text);
    }
    server.stop().await;
    Ok(checks.iter().all(|check| check.held))
}

/// A sentence for the recogniser: its model is loaded before it is waited for, and a server that is not there is named
/// before anything is started.
async fn warm_up(whisper: &Whisper) -> anyhow::Result<()> {
    let spec = SpeechSpec::Openai {
        url: whisper.url.clone(),
        model: whisper.model.clone(),
        api_key: None,
        language: Some("en".into()),
    };
    let server = muster_transcript::speech::open(&spec).context("MUSTER_DEMO_WHISPER_URL")?;
    let silence = vec![0_i16; 16_000];
    tokio::time::timeout(WARM_UP_TIMEOUT, server.transcribe(&silence, None))
        .await
        .with_context(|| format!("{} did not answer within {} s", whisper.url, WARM_UP_TIMEOUT.as_secs()))?
        .map_err(|error| anyhow::anyhow!("{} (MUSTER_DEMO_WHISPER_URL) does not transcribe: {error}", whisper.url))?;
    Ok(())
}

/// Prints webhooks until `bot.done` and measures the bot while it is in the call.
async fn follow(receiver: &mut Receiver, server: u32, bot: &str, seen: &mut Seen) -> anyhow::Result<Cost> {
    let began = Instant::now();
    let mut meter = Meter::new(server);
    let mut in_call = false;
    let mut ticks = tokio::time::interval(METER_PERIOD);
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            body = receiver.next() => {
                let body = body.context("the webhook receiver ended")?;
                if body["bot_id"] != bot {
                    bail!("a webhook of an unknown bot arrived: {body}");
                }
                print_webhook(&body, began.elapsed());
                match body["bot_event"].as_str() {
                    Some("bot.recording") => in_call = true,
                    Some("bot.leaving") => in_call = false,
                    _ => {}
                }
                let done = body["bot_event"] == "bot.done";
                seen.webhooks.push(body);
                if done {
                    return Ok(meter.cost());
                }
            }
            _ = ticks.tick(), if in_call => meter.look(),
            () = &mut deadline => bail!("no bot.done within {} s", PATIENCE.as_secs()),
        }
    }
}

fn print_webhook(body: &Value, after: Duration) {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let at = text("timestamp").parse::<jiff::Timestamp>().map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    let at = at.map_or_else(|_| text("timestamp").to_owned(), |at| at.strftime("%H:%M:%S%.3f").to_string());
    println!("  {at}  {:>6.1} s  {:22}  {}", after.as_secs_f64(), text("bot_event"), text("message"));
}

/// Fetches what the bot captured.
async fn fetch(api: &Api, place: &Workplace, bot: &str, transcript: &str, seen: &mut Seen) -> anyhow::Result<()> {
    let segments = api.get(&format!("/api/v1/transcript/{transcript}/get_transcript")).await?;
    std::fs::write(place.path("transcript.json"), segments.to_string()).context("keeping the transcript")?;
    let mut segments: Vec<Segment> = serde_json::from_value(segments).context("reading the transcript")?;
    segments.sort_by(|a, b| a.start_time.total_cmp(&b.start_time));
    seen.transcript = segments;
    let audio = api.get(&format!("/api/v1/bots/{bot}/get_audio")).await?;
    let file = api.download(audio["audio_url"].as_str().context("get_audio answered no audio_url")?).await?;
    std::fs::write(place.path("recording.ogg"), &file).context("keeping the recording")?;
    let samples = ogg::decode(&file).context("decoding the recording")?;
    seen.recording_seconds = samples.len() as f64 / f64::from(muster_audio::RATE);
    Ok(())
}

fn report(place: &Workplace, seen: &Seen, cost: Cost) {
    println!("\nTranscript ({})", place.path("transcript.json").display());
    for segment in &seen.transcript {
        println!("  {:>5.1} s  {:4}  {}", segment.start_time, segment.speaker, segment.transcript);
    }
    let rate = error_rate(&seen.transcript);
    println!("\nFigures");
    println!("  Word error rate  {} over {} words", percent(rate), passage::text(None).split_whitespace().count());
    println!("  Recording        {}, {:.1} s", place.path("recording.ogg").display(), seen.recording_seconds);
    if cost.processes == 0 {
        println!("  Bot              not measured: it was in the call for too short a time");
        return;
    }
    println!(
        "  Memory           {:.0} MB at most (PSS of the bot's {} processes)",
        cost.pss_bytes as f64 / MIB,
        cost.processes
    );
    println!(
        "  CPU              {} of one core, average over {:.0} s in the call",
        percent(cost.cpu),
        cost.over.as_secs_f64()
    );
}
