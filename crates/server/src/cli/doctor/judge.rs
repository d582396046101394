//! What the facts mean. No I/O.

mod backends;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use crate::backends::{Complaint, Seen};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Below this a server warns; many bots run out of descriptors.
const DESCRIPTORS_LOW: u64 = 65_536;
/// For workers.
const DESCRIPTORS_GOOD: u64 = 1_000_000;
/// Chromium keeps video frames and its shared memory here; 64 MiB, a container's usual default, makes it crash.
const SHM_GOOD: u64 = GIB;
/// Proportional memory of a bot with a browser of its own in a plain page: measured at 114 to 123 MB, rounded up.
const BOT_PLAIN: u64 = 130 * MIB;
/// What to plan for a product with a rich page until it has been measured.
const BOT_RICH: u64 = 1536 * MIB;
/// Database and recordings: an hour of call is about 15 MB a participant.
const DISK_GOOD: u64 = 2 * GIB;
const DISK_LEAST: u64 = 100 * MIB;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// The server cannot do its work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) detail: String,
    /// How to mend it; always there unless all is well.
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), fix: None }
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Everything that was seen. Sizes are in bytes.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) browser: Browser,
    pub(super) descriptors: Descriptors,
    /// Size of /dev/shm, or why it is not known.
    pub(super) shm: Result<u64, String>,
    pub(super) memory: Result<Memory, String>,
    pub(super) bots_wanted: u32,
    pub(super) data_dir: PathBuf,
    /// Free space for the data directory, or why nothing can be written.
    pub(super) disk: Result<u64, String>,
    pub(super) listen: SocketAddr,
    pub(super) port: Port,
    pub(super) queue: Result<Seen, Complaint>,
    pub(super) store: Result<Seen, Complaint>,
    /// How long sessions are held, which bounds how far clocks may differ.
    pub(super) lease: Duration,
    pub(super) speech: Option<Speech>,
    /// Every key of a vendor that is configured.
    pub(super) vendors: Vec<Vendor>,
}

/// The browser.
#[derive(Clone, Debug)]
pub(super) enum Browser {
    Missing { error: String },
    Broken { path: PathBuf, version: Option<String>, error: String },
    Works { path: PathBuf, version: Option<String>, start: Duration },
}

/// Limits of open files after the soft one was raised, as `serve` does it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    pub(super) before: u64,
    pub(super) now: u64,
    pub(super) hard: u64,
}

/// Memory that a new process can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) available: u64,
    /// The limit of a container counted, not the machine.
    pub(super) contained: bool,
}

/// The listening address.
#[derive(Clone, Debug)]
pub(super) enum Port {
    Free,
    /// A Muster server has it.
    Ours,
    Taken {
        error: String,
    },
}

/// The speech-to-text server that the configuration names.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    pub(super) url: Url,
    pub(super) model: String,
    /// How long a second of sound took, or why it did not work.
    pub(super) answer: Result<Duration, String>,
}

/// A vendor's service, asked with one of the configured keys and without any audio.
#[derive(Clone, Debug)]
pub(super) struct Vendor {
    /// `deepgram` or `assemblyai`, as in the configuration.
    pub(super) name: &'static str,
    pub(super) url: Url,
    /// The name of the key in the configuration.
    pub(super) key: String,
    /// How long its answer took and what it says of the key, or why there was none.
    pub(super) answer: Result<(Duration, KeyCheck), String>,
}

/// What a vendor thinks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCheck {
    Taken,
    Refused,
    /// It answered something else.
    Unknown,
}

/// Judges everything, in the order in which it is worth mending.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        browser(&facts.browser),
        descriptors(facts.descriptors),
        shm(&facts.shm),
        memory(&facts.memory, facts.bots_wanted),
        disk(facts),
        port(facts),
        backends::judge("queue", &facts.queue, facts.lease),
        backends::judge("store", &facts.store, facts.lease),
        speech(facts),
    ]
    .into_iter()
    .chain(facts.vendors.iter().map(vendor))
    .collect()
}

fn browser(browser: &Browser) -> Check {
    const NAME: &str = "chromium";
    const INSTALL: &str =
        "apt-get install chromium-headless-shell (or chromium), or set browser.executable to one that is there";
    match browser {
        Browser::Missing { error } => Check::fail(NAME, error, INSTALL),
        Browser::Broken { path, version, error } => {
            let version = version.as_deref().unwrap_or("no version");
            let fix = "run it by hand to see what it misses, or reinstall it: apt-get install --reinstall chromium-headless-shell";
            Check::fail(NAME, format!("{} ({version}) does not start: {error}", path.display()), fix)
        }
        Browser::Works { path, version, start } => {
            let version = version.as_deref().unwrap_or("version unknown");
            Check::ok(NAME, format!("{}, {version}, starts in {:.1} s", path.display(), start.as_secs_f64()))
        }
    }
}

fn descriptors(limits: Descriptors) -> Check {
    const NAME: &str = "descriptors";
    let Descriptors { before, now, hard } = limits;
    let fix = format!(
        "workers should have {DESCRIPTORS_GOOD}: LimitNOFILE={DESCRIPTORS_GOOD} in the systemd unit, --ulimit nofile={DESCRIPTORS_GOOD} for Docker, or /etc/security/limits.conf"
    );
    let text = format!("{} open files (soft limit {}, hard limit {})", count(now), count(before), count(hard));
    if now < DESCRIPTORS_LOW {
        return Check::warn(NAME, text, fix);
    }
    match now < DESCRIPTORS_GOOD {
        true => Check::ok(NAME, format!("{text}; {DESCRIPTORS_GOOD} are recommended for workers")),
        false => Check::ok(NAME, text),
    }
}

fn count(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

fn shm(size: &Result<u64, String>) -> Check {
    const NAME: &str = "/dev/shm";
    const FIX: &str = "give it 1 GB: --shm-size=1g for Docker, an emptyDir of medium Memory for Kubernetes, or mount -o remount,size=1g /dev/shm";
    match size {
        Err(error) => Check::fail(NAME, error, "mount a tmpfs of 1 GB at /dev/shm: Chromium needs it"),
        Ok(size) if *size < SHM_GOOD => Check::warn(
            NAME,
            format!("{}: small ones make Chromium crash in ways that look like lost audio", bytes(*size)),
            FIX,
        ),
        Ok(size) => Check::ok(NAME, bytes(*size)),
    }
}

fn memory(memory: &Result<Memory, String>, wanted: u32) -> Check {
    const NAME: &str = "memory";
    let Memory { available, contained } = match memory {
        Ok(memory) => *memory,
        Err(error) => return Check::warn(NAME, error, "make /proc/meminfo readable"),
    };
    let (plain, rich) = (available / BOT_PLAIN, available / BOT_RICH);
    let whose = if contained { " in this container" } else { "" };
    let text = format!(
        "{} available{whose}: about {plain} bots in plain pages (130 MB each), {rich} in rich ones (1.5 GB each, until you have measured yours); worker.max_concurrent_bots is {wanted}",
        bytes(available)
    );
    if plain == 0 {
        return Check::fail(NAME, text, "free or add memory: not one bot fits");
    }
    if plain < u64::from(wanted) {
        return Check::warn(NAME, text, format!("set worker.max_concurrent_bots to {plain} or less, or add memory"));
    }
    Check::ok(NAME, text)
}

fn disk(facts: &Facts) -> Check {
    const NAME: &str = "data directory";
    let dir = facts.data_dir.display();
    match &facts.disk {
        Err(error) => Check::fail(
            NAME,
            format!("{dir}: {error}"),
            "make it writable for this user, or set data_dir (--data-dir) to another place",
        ),
        Ok(free) => {
            let text = format!("{dir} can be written, {} free", bytes(*free));
            let fix = "free some space, shorten `retention`, or set storage.url to put recordings elsewhere";
            match *free {
                free if free < DISK_LEAST => Check::fail(NAME, text, fix),
                free if free < DISK_GOOD => Check::warn(NAME, text, fix),
                _ => Check::ok(NAME, text),
            }
        }
    }
}

fn port(facts: &Facts) -> Check {
    const NAME: &str = "listen address";
    let listen = facts.listen;
    match &facts.port {
        Port::Free => Check::ok(NAME, format!("{listen} is free")),
        Port::Ours => Check::ok(NAME, format!("{listen}: a Muster server listens there already")),
        Port::Taken { error } => Check::fail(
            NAME,
            format!("{listen}: {error}"),
            "stop what uses it, or set `listen` (--listen) to another address",
        ),
    }
}

fn speech(facts: &Facts) -> Check {
    const NAME: &str = "speech to text";
    let Some(Speech { url, model, answer }) = &facts.speech else {
        if !facts.vendors.is_empty() {
            return Check::ok(NAME, "transcription.url is not set: only providers with a key make transcripts");
        }
        let fix = "set transcription.url to an OpenAI-compatible server, such as a local faster-whisper-server";
        return Check::warn(NAME, "not configured: no transcripts will be made", fix);
    };
    match answer {
        Ok(took) => {
            Check::ok(NAME, format!("{url} with model {model}: a second of sound took {:.1} s", took.as_secs_f64()))
        }
        Err(error) => {
            let fix = "start it, or correct transcription.url, transcription.model and transcription.api_key";
            Check::fail(NAME, format!("{url} with model {model}: {error}"), fix)
        }
    }
}

fn vendor(vendor: &Vendor) -> Check {
    let Vendor { name, url, key, answer } = vendor;
    let took = |took: &Duration| format!("{url} answers in {:.1} s", took.as_secs_f64());
    match answer {
        Ok((time, KeyCheck::Taken)) => Check::ok(name, format!("{} and takes {key}", took(time))),
        Ok((time, KeyCheck::Unknown)) => {
            Check::ok(name, format!("{}; whether it takes {key} is not known", took(time)))
        }
        Ok((time, KeyCheck::Refused)) => {
            Check::fail(name, format!("{}, but refuses {key}", took(time)), format!("correct {key}"))
        }
        Err(error) => {
            let fix = format!("let this machine reach it, or correct transcription.{name}.url");
            Check::fail(name, format!("{url}: {error}"), fix)
        }
    }
}

fn bytes(size: u64) -> String {
    match size {
        size if size >= GIB => format!("{:.1} GB", size as f64 / GIB as f64),
        size => format!("{} MB", size / MIB),
    }
}

#[cfg(test)]
mod tests;
