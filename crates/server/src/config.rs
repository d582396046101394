//! Configuration: defaults < file < environment < flags.
//!
//! Every key is read in `Config::read`, one line a key, with its default, range and description. The same lines make
//! the default file, so it cannot disagree with the code. All mistakes are reported together.

mod backends;
mod hooks;
mod inbound;
mod reader;
mod transcription;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use backends::{QueueConfig, StoreConfig};
pub use hooks::HooksConfig;
pub use inbound::{InboundConfig, MEETSTREAM, MeetStreamConfig, Runs, Runtimes};
pub use reader::{ConfigError, KeyDoc, Sources};
use reader::{Reader, Text};
pub use transcription::{ProviderConfig, TenantTranscription, TranscriptionConfig};
use url::Url;

use crate::roles::Role;

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// Everything that must survive a restart is below this directory.
    pub data_dir: PathBuf,
    /// How callers reach the API; used in media links.
    pub public_url: Option<Url>,
    /// How long record and media are kept.
    pub retention: Duration,
    /// `durability = "normal"` may lose the last writes at power loss, never at a crash of the process.
    pub durable: bool,
    /// Where jobs wait.
    pub queue: QueueConfig,
    /// Where sessions are.
    pub store: StoreConfig,
    /// The one process that moves sessions on.
    pub control: ControlConfig,
    /// Bots.
    pub worker: WorkerConfig,
    /// The browser.
    pub browser: BrowserConfig,
    /// Where recordings go.
    pub storage_url: Option<Url>,
    /// Platform packs of the operator's own.
    pub packs_dir: Option<PathBuf>,
    /// Speech to text.
    pub transcription: TranscriptionConfig,
    /// Outbound webhooks.
    pub hooks: HooksConfig,
    /// Webhooks that come in.
    pub inbound: InboundConfig,
    /// Where bots run.
    pub runtimes: Runtimes,
    /// Somebody else's cloud that bots can run in.
    pub meetstream: Option<MeetStreamConfig>,
    /// Sandbox meetings.
    pub sandbox: SandboxConfig,
}

/// `[control]`
#[derive(Clone, Copy, Debug)]
pub struct ControlConfig {
    /// How long a process leads without renewing.
    pub lead: Duration,
}

/// `[worker]`
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Most bots at a time.
    pub max_concurrent_bots: u32,
    /// How long a worker holds a session without renewing.
    pub lease: Duration,
    /// How often leases are renewed and stop requests picked up.
    pub heartbeat: Duration,
    /// Longest start of a bot process.
    pub launch_deadline: Duration,
    /// Longest polite leaving before a bot is killed.
    pub stop_grace: Duration,
    /// Longest wait for calls to end after the first signal.
    pub drain_deadline: Duration,
    /// Longest way from launch to lobby or call.
    pub join_timeout: Duration,
    /// Samples must arrive within this time once somebody is there to be heard.
    pub capture_timeout: Duration,
    /// Length of a recording segment.
    pub segment: Duration,
    /// A bot that is lost after it was let in is sent in again, once. Decided when it is created.
    pub rejoin: bool,
    /// Bots without browsers, for load tests.
    pub simulated: bool,
}

/// `[browser]`
#[derive(Clone, Debug)]
pub struct BrowserConfig {
    /// Program; found by itself if absent.
    pub executable: Option<PathBuf>,
    /// Further switches.
    pub extra_args: Vec<String>,
}

/// `[sandbox]`
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// On, off, or by default on only when listening on loopback.
    pub enabled: Option<bool>,
    /// Audio files that scenarios may name.
    pub scenario_dir: Option<PathBuf>,
    /// Offer media on the machine's own network addresses too, for people's browsers.
    pub lan: bool,
}

impl Config {
    /// Reads the configuration; every mistake is in the error.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::load_as(sources, None)
    }

    /// As [`load`](Self::load), for a process of this role: it may need more than others.
    pub fn load_as(sources: &Sources, role: Option<Role>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(sources);
        let config = Self::read(&mut reader, role);
        reader.finish()?;
        Ok(config)
    }

    /// The default file: every key with its description, commented out at its default.
    #[must_use]
    pub fn default_file() -> String {
        let sources = Sources::default();
        let mut reader = Reader::new(&sources);
        let _ = Self::read(&mut reader, None);
        reader.default_file()
    }

    /// The effective configuration as TOML, secrets redacted, with where each value came from.
    pub fn print(sources: &Sources) -> Result<String, ConfigError> {
        let mut reader = Reader::new(sources);
        let _ = Self::read(&mut reader, None);
        let text = reader.effective();
        reader.finish()?;
        Ok(text)
    }

    fn read(r: &mut Reader<'_>, role: Option<Role>) -> Self {
        // In the order of the default file: what follows needs the last three.
        let meetstream = inbound::meetstream(r);
        let inbound = InboundConfig::read(r, meetstream.is_some());
        let runtimes = inbound::runtimes(r, meetstream.is_some(), &inbound.sources);
        let config = Self {
            inbound,
            runtimes,
            meetstream,
            listen: r.parse(
                Text::new("listen", "127.0.0.1:8080", "Address and port of the HTTP API."),
                "an address and port such as 127.0.0.1:8080",
            ),
            data_dir: r.path(Text::new("data_dir", "muster-data", "Everything that must survive a restart is below this directory.")),
            public_url: r.url_opt("public_url", "How callers reach the API, for media links. Default: http:// and `listen`."),
            retention: r.duration("retention", "7d", "1h", "3650d", "How long a bot's record and media are kept after its call."),
            durable: r.choice(
                "durability",
                &["full", "normal"],
                "`full` survives power loss. `normal` is faster, survives a crash of the process, and may lose the last writes at power loss.",
            ) == "full",
            queue: QueueConfig::read(r),
            store: StoreConfig::read(r),
            control: ControlConfig {
                lead: r.duration("control.lead", "10s", "1s", "5m", "One `control` process leads at a time. When it is gone, another does after this time, or a third more."),
            },
            worker: WorkerConfig {
                max_concurrent_bots: r.integer("worker.max_concurrent_bots", 8, 1, 1_000, "Most bots at a time on this machine."),
                lease: r.duration("worker.lease", "30s", "2s", "10m", "How long a worker holds a session without renewing it. Where sessions are shared, its bots leave before that ends."),
                heartbeat: r.duration("worker.heartbeat", "2s", "100ms", "1m", "How often leases are renewed and stop requests are picked up."),
                launch_deadline: r.duration("worker.launch_deadline", "30s", "1s", "5m", "Longest start of a bot process."),
                stop_grace: r.duration("worker.stop_grace", "20s", "1s", "10m", "How long a bot may take to leave before it is killed."),
                drain_deadline: r.duration("worker.drain_deadline", "4h", "0s", "24h", "How long running calls are waited for after the first SIGTERM or Ctrl-C."),
                join_timeout: r.duration("worker.join_timeout", "2m", "5s", "4m", "Longest way from launch to lobby or call."),
                capture_timeout: r.duration("worker.capture_timeout", "20s", "1s", "5m", "Audio must arrive within this time once somebody is there to be heard."),
                segment: r.duration("worker.segment", "5s", "1s", "1m", "Length of one recording segment: the most that a killed bot loses."),
                rejoin: r.bool_opt("worker.rejoin", "Send a bot that is lost in its call (its worker died, or it crashed) into it again, once; the recording goes on with a gap. Decided when the bot is created. Default: true.").unwrap_or(true),
                simulated: r.bool_opt("worker.simulated", "For load tests of a fleet: bots without browsers, which attend sandbox meetings only, hear nothing, and are called simulated everywhere. Default: false.").unwrap_or(false),
            },
            browser: BrowserConfig {
                executable: r.path_opt("browser.executable", "Chromium to use. Default: chromium-headless-shell, then chromium."),
                extra_args: r.list("browser.extra_args", "Further command-line switches for Chromium."),
            },
            storage_url: r.url_opt("storage.url", "Where recordings go: file:///directory or s3://bucket/prefix. Default: `media` below `data_dir`."),
            packs_dir: r.path_opt("packs.dir", "Directory of platform packs (*.toml) that add to or replace the built-in ones."),
            transcription: TranscriptionConfig::read(r),
            hooks: HooksConfig::read(r),
            sandbox: SandboxConfig {
                enabled: r.bool_opt("sandbox.enabled", "Serve sandbox meetings at /sandbox. Default: only when listening on loopback."),
                scenario_dir: r.path_opt("sandbox.scenario_dir", "Directory of audio files that scenarios may name."),
                lan: r.bool_opt("sandbox.lan", "Offer sandbox media on this machine's network addresses too, so that people's browsers can join.").unwrap_or(false),
            },
        };
        config.cross_check(r, role);
        config
    }

    fn cross_check(&self, r: &mut Reader<'_>, role: Option<Role>) {
        if self.worker.heartbeat * 3 > self.worker.lease {
            r.problem(
                "worker.lease: must be at least three times worker.heartbeat, so that one lost renewal loses no bot",
            );
        }
        self.hooks.cross_check(r);
        self.transcription.cross_check(r);
        if self.meetstream.is_some() && self.is_shared() && self.public_url.is_none() {
            r.problem("public_url: required with meetstream.url, which sends webhooks there");
        }
        let shared = [self.queue.is_shared(), self.store.is_shared(), r.is_given("storage.url")];
        backends::cross_check(r, shared, role);
        if let Some(url) = &self.storage_url
            && !matches!(url.scheme(), "file" | "s3")
        {
            r.problem("storage.url: must be file:///directory or s3://bucket/prefix");
        }
        if let Some(url) = &self.public_url
            && !matches!(url.scheme(), "http" | "https")
        {
            r.problem("public_url: must be http or https");
        }
    }

    /// True if other processes can have the same sessions.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// True if sandbox meetings are served.
    #[must_use]
    pub fn sandbox_enabled(&self) -> bool {
        self.sandbox.enabled.unwrap_or_else(|| self.listen.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests;
