//! `muster serve` as a child of the demo.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Whisper;
use crate::processes::below;

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between the two signals: the first drains, the second makes running bots leave.
const DRAIN: Duration = Duration::from_secs(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
const LISTENING: &str = "Muster is listening on ";

/// How to start it.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) config_file: PathBuf,
    pub(crate) log_file: PathBuf,
    pub(crate) api_key: &'a str,
    pub(crate) whisper: Option<&'a Whisper>,
    /// Media on the machine's own addresses, for people's browsers.
    pub(crate) lan: bool,
}

/// A running server. Dropped, it is killed with everything below it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
    /// Without a slash at the end.
    pub(crate) url: String,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(setup: &Setup<'_>) -> anyhow::Result<Self> {
        std::fs::write(&setup.config_file, config(setup)?).context("writing the server's configuration")?;
        let log = File::create(&setup.log_file).context("making the server's log")?;
        let program = program()?;
        let mut command = dies_with_us(&program);
        for (name, _) in std::env::vars_os() {
            // The demo's server is configured by the demo alone.
            if name.to_str().is_some_and(|name| name.starts_with("MUSTER_") && name != "MUSTER_LOG") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--listen", &setup.listen.to_string(), "--config"])
            .arg(&setup.config_file)
            .arg("--data-dir")
            .arg(&setup.data_dir)
            .env("MUSTER_API_KEY", setup.api_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in a terminal reaches the demo, which ends the server in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id().context("the server's process number")?;
        let stdout = child.stdout.take().context("the server's output")?;
        let mut server = Self { child, pid, url: String::new() };
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix(LISTENING) {
                    return Ok(url.trim_end_matches('/').to_owned());
                }
            }
            bail!("it ended at once")
        };
        server.url = match tokio::time::timeout(START_TIMEOUT, listening).await {
            Ok(Ok(url)) => url,
            Ok(Err(error)) => bail!("the server did not start: {error}. {}", said(&setup.log_file)),
            Err(_) => {
                bail!("the server did not listen within {} s. {}", START_TIMEOUT.as_secs(), said(&setup.log_file))
            }
        };
        // What else it prints is read, so that the pipe never fills.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it ends by itself. Cancel safe.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends it in order: bots leave, the database is closed.
    pub(crate) async fn stop(mut self) {
        for patience in [DRAIN, STOP_TIMEOUT] {
            kill(self.pid, Signal::TERM);
            if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
                return;
            }
        }
        // Drop kills what is left.
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let below = below(self.pid);
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        let _ = self.child.start_kill();
        for pid in below {
            kill(pid.unsigned_abs(), Signal::KILL);
        }
    }
}

fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The last lines of the server's log, for an error.
pub(crate) fn said(log: &Path) -> String {
    const LINES: usize = 8;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    if text.is_empty() {
        return "The server had not logged anything.".to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n    ");
    format!("The end of {}:\n    {last}", log.display())
}

/// `MUSTER_DEMO_SERVER_BIN`, or `muster` next to this program.
fn program() -> anyhow::Result<PathBuf> {
    let program = match std::env::var_os("MUSTER_DEMO_SERVER_BIN").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe().context("the path of this program")?.with_file_name("muster"),
    };
    if !program.is_file() {
        bail!("there is no {}: build it with `cargo build -p muster-server`", program.display());
    }
    Ok(program)
}

/// The program, started so that the kernel kills it when the demo is killed. Needs util-linux's `setpriv`; without it
/// only a demo that is killed by SIGKILL leaves its server behind.
fn dies_with_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn config(setup: &Setup<'_>) -> anyhow::Result<String> {
    let mut config = toml::Table::new();
    let table = |pairs: Vec<(&str, toml::Value)>| {
        toml::Value::Table(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    // The demo's webhook receiver is on this machine.
    let allowed = vec![toml::Value::from("127.0.0.0/8")];
    config.insert("hooks".to_owned(), table(vec![("allow_private", toml::Value::Array(allowed))]));
    config.insert("sandbox".to_owned(), table(vec![("enabled", true.into()), ("lan", setup.lan.into())]));
    // What a bot takes in our own meetings: the demo is not to wait until other programs have left room for more.
    config.insert("worker".to_owned(), table(vec![("bot_memory", "400MB".into()), ("bot_cpu", 0.5.into())]));
    if let Some(whisper) = setup.whisper {
        let pairs = vec![
            ("url", whisper.url.as_str().into()),
            ("model", whisper.model.as_str().into()),
            ("language", "en".into()),
        ];
        config.insert("transcription".to_owned(), table(pairs));
    }
    Ok(toml::to_string(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_only_what_the_demo_needs() {
        let whisper = Whisper { url: "http://127.0.0.1:9/".parse().unwrap(), model: "a \"model\"".into() };
        let mut setup = Setup {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: "data".into(),
            config_file: "c".into(),
            log_file: "l".into(),
            api_key: "key",
            whisper: Some(&whisper),
            lan: false,
        };
        let parsed: toml::Table = config(&setup).unwrap().parse().unwrap();
        assert_eq!(parsed["transcription"]["model"].as_str(), Some("a \"model\""));
        assert_eq!(parsed["hooks"]["allow_private"][0].as_str(), Some("127.0.0.0/8"));
        setup.whisper = None;
        assert!(!config(&setup).unwrap().contains("transcription"));
    }
}
