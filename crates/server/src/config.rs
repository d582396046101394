//! Configuration: defaults < file < environment < flags.
//!
//! Every key is read in `Config::read`, one line a key, with its default, range and description. The same lines make
//! the default file, so it cannot disagree with the code. All mistakes are reported together.

mod autoscale;
mod backends;
mod hooks;
mod inbound;
mod reader;
mod tiers;
mod transcription;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use autoscale::{ActuatorConfig, AutoscaleConfig, ProcessConfig};
#[cfg(feature = "aws")]
pub use autoscale::{AsgConfig, CloudwatchConfig, EcsConfig};
pub use backends::{QueueConfig, StoreConfig};
pub use hooks::HooksConfig;
pub use inbound::{InboundConfig, MEETSTREAM, MeetStreamConfig, Runs, Runtimes};
pub use reader::{ConfigError, KeyDoc, Sources};
use reader::{Reader, Text};
pub(crate) use reader::{parse_cores, parse_size, without_userinfo};
pub use tiers::{Beyond, Tier, Tiers};
pub use transcription::{ProviderConfig, TenantTranscription, TranscriptionConfig};
use url::Url;
pub use worker::WorkerConfig;

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
    /// How many workers there are to be.
    pub autoscale: AutoscaleConfig,
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
    /// What each tenant may have.
    pub tiers: Tiers,
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
    /// The file that this was read from.
    pub file: Option<PathBuf>,
}

/// `[control]`
#[derive(Clone, Copy, Debug)]
pub struct ControlConfig {
    /// How long a process leads without renewing.
    pub lead: Duration,
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
        let mut config = Self::read(&mut reader, role);
        config.file = sources.file.as_ref().map(|(path, _)| path.clone());
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
            autoscale: AutoscaleConfig::read(r),
            tiers: Tiers::read(r),
            worker: WorkerConfig::read(r),
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
            file: None,
        };
        config.cross_check(r, role);
        config
    }

    fn cross_check(&self, r: &mut Reader<'_>, role: Option<Role>) {
        self.worker.cross_check(r, role);
        self.autoscale.cross_check(r, self.is_shared());
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
