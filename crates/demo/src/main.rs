//! `muster-demo`: holds a real meeting on this machine and says whether everything about it held.
//!
//! It is a customer of Muster: it starts `muster serve`, writes a sandbox scenario in which two people speak a known
//! [`passage`], creates a bot over the HTTP API, takes its webhooks, and compares what comes back with what was said.
//! [`verdict`] decides, without any I/O.

mod api;
mod passage;
mod processes;
mod receiver;
mod run;
mod server;
mod speech;
mod up;
mod verdict;
mod workplace;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use url::Url;

/// By convention: ended by SIGINT.
const INTERRUPTED: u8 = 130;

/// A meeting to look at: two people speak, a bot listens, and what it heard is compared with what was said.
#[derive(Debug, Parser)]
#[command(
    name = "muster-demo",
    version,
    after_help = "Environment:\n  MUSTER_DEMO_WHISPER_URL    base URL of an OpenAI-compatible speech-to-text server\n  MUSTER_DEMO_WHISPER_MODEL  model to ask for [default: whisper-1]\n  MUSTER_DEMO_SERVER_BIN     the muster program [default: next to this one]\n  MUSTER_DEMO_DIR            where logs and recordings go [default: demo, above this program's directory]\n\n`make demo` and `make up` set all of this."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Hold the meeting, show everything, and exit with 0 only if everything held. The default.
    Run,
    /// Leave a server with a sandbox meeting running until Ctrl-C.
    Up,
}

/// The speech-to-text server.
#[derive(Clone, Debug)]
struct Whisper {
    url: Url,
    model: String,
}

impl Whisper {
    /// From the environment; none if it names none.
    fn from_env() -> anyhow::Result<Option<Self>> {
        let Some(url) = std::env::var("MUSTER_DEMO_WHISPER_URL").ok().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let url = Url::parse(&url).with_context(|| format!("MUSTER_DEMO_WHISPER_URL: {url:?} is not a URL"))?;
        let model = std::env::var("MUSTER_DEMO_WHISPER_MODEL").ok().filter(|model| !model.is_empty());
        Ok(Some(Self { url, model: model.unwrap_or_else(|| "whisper-1".to_owned()) }))
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Run);
    match start(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    // The only one in this program; it cannot be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let whisper = Whisper::from_env()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // On the main thread: the server is told to die with the thread that started it.
    match command {
        Command::Run => {
            let whisper = whisper
                .context("MUSTER_DEMO_WHISPER_URL is not set; `make demo` starts a local Whisper and sets it")?;
            runtime.block_on(run_until_interrupted(whisper))
        }
        Command::Up => runtime.block_on(up::up(whisper)),
    }
}

async fn run_until_interrupted(whisper: Whisper) -> anyhow::Result<ExitCode> {
    tokio::select! {
        result = run::run(whisper) => result,
        signal = interrupted() => {
            println!("\n{}: stopping", signal?);
            // What was running is dropped with the other branch, and ends with it.
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The signal that ends a program in a terminal or under a supervisor.
async fn interrupted() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
