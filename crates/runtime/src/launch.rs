//! From a specification to a bot that is ready.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use muster_session::BotId;
use muster_session::protocol::{BotSpec, Report};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::confine::{self, Cell, Confinement};
use crate::escalate::Phase;
use crate::group::{Group, MARK, Proc};
use crate::handle::{BotHandle, Exit, Status};
use crate::home::Home;
use crate::output::{self, Tail};
use crate::supervise::{self, Remains, Supervision};

/// What a bot may know of this process' environment.
const ENVIRONMENT: &[&str] =
    &["PATH", "HOME", "LANG", "TZ", "RUST_LOG", "MUSTER_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Reports that may wait for their reader.
const WAITING_REPORTS: usize = 1_024;
/// Commands that may wait for the bot to read them.
const WAITING_LINES: usize = 64;

/// Starts bots.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program; an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Longest time until it says that it is ready.
    pub launch_deadline: Duration,
    /// Each bot gets a directory of its own in here, named after it, for as long as it runs.
    pub state_dir: PathBuf,
    /// Each bot gets a control group of its own, if there can be any.
    pub confinement: Option<Confinement>,
}

/// Why there is no bot. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The bot's directory could not be made.
    #[error("could not prepare {dir}")]
    Directory {
        /// Where.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program could not be started.
    #[error("could not start {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process ended before it was ready.
    #[error("it ended before it was ready, with {}{}", status_text(*status), said(stderr))]
    Died {
        /// How.
        status: Option<ExitStatus>,
        /// Its last words on standard error.
        stderr: Vec<String>,
    },
    /// The process was not ready in time and was killed.
    #[error("it was not ready within {within:?}{}", said(stderr))]
    NotReady {
        /// The deadline.
        within: Duration,
        /// Its last words on standard error.
        stderr: Vec<String>,
    },
}

fn status_text(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string())
}

fn said(stderr: &[String]) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {}", stderr.join(" | ")) }
}

impl Launcher {
    /// Starts a bot and returns when it says that it is ready. Its temporary files and browser profiles go into its own
    /// directory, whatever `spec` says. Dropping the future kills the bot.
    pub async fn launch(&self, spec: &BotSpec) -> Result<BotHandle, LaunchError> {
        let home = Home::create(&self.state_dir, spec.bot)
            .map_err(|source| LaunchError::Directory { dir: self.state_dir.clone(), source })?;
        let child = match self.spawn(spec, &home) {
            Ok(child) => child,
            Err(source) => {
                home.remove();
                return Err(LaunchError::Spawn { program: self.program.clone(), source });
            }
        };
        let tail = Tail::default();
        let (mut handle, ready) = self.supervise(spec, child, home, tail.clone());
        match tokio::time::timeout(self.launch_deadline, ready).await {
            Ok(Ok(())) => Ok(handle),
            Ok(Err(_)) => {
                // Its output is closed: dead, or as good as.
                handle.kill().await;
                let Exit { status, .. } = handle.wait().await;
                Err(LaunchError::Died { status, stderr: tail.lines() })
            }
            Err(_) => {
                handle.kill().await;
                handle.wait().await;
                Err(LaunchError::NotReady { within: self.launch_deadline, stderr: tail.lines() })
            }
        }
    }

    fn spawn(&self, spec: &BotSpec, home: &Home) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(environment(&spec.storage))
            .env("TMPDIR", home.dir())
            .env(MARK, home.mark())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Starts everything that attends to a child. The receiver says when it is ready, or is closed with its output.
    fn supervise(
        &self,
        spec: &BotSpec,
        mut child: Child,
        home: Home,
        tail: Tail,
    ) -> (BotHandle, oneshot::Receiver<()>) {
        let pid =
            child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a child that was not waited for has a number");
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stdin = stdin.expect("stdin is piped");
        let stdout = stdout.expect("stdout is piped");
        let stderr = stderr.expect("stderr is piped");

        // Before it is told what to do: it has no children yet.
        confine::offer(pid);
        let cell = self.confinement.as_ref().and_then(|confinement| confined(confinement, &home, pid));
        let leader = Proc::of_child(pid);
        if let Err(error) = home.write_record(leader) {
            tracing::warn!(bot = %spec.bot, %error, "a bot's process could not be recorded; its mark remains");
        }
        let group = Group::new(Some(leader), home.mark().to_owned());
        let (lines, waiting_lines) = mpsc::channel(WAITING_LINES);
        let _ = lines.try_send(first_line(spec, &home));
        let (ready, is_ready) = oneshot::channel();
        let (closed, output) = oneshot::channel();
        let (reports, waiting_reports) = mpsc::channel(WAITING_REPORTS);
        let (orders, waiting_orders) = mpsc::unbounded_channel();
        let now = Instant::now();
        let (status, status_seen) = watch::channel(Status { phase: Phase::Running, since: now, due: None });
        let (exit, exit_seen) = watch::channel(None);

        let reader = AbortOnDropHandle::new(tokio::spawn(read(spec.bot, stdout, ready, reports, closed)));
        let supervision = Supervision {
            bot: spec.bot,
            child,
            remains: Remains { group: group.clone(), home, cell, reaped: false, settled: false },
            orders: waiting_orders,
            lines,
            writer: AbortOnDropHandle::new(tokio::spawn(supervise::write(stdin, waiting_lines))),
            logs: AbortOnDropHandle::new(tokio::spawn(output::logs(spec.bot, stderr, tail))),
            output,
            status,
            exit,
        };
        // Not owned by the handle: dropping the handle is the order to kill, and this task carries it out. It ends within
        // seconds of that, and when the runtime ends first, what it owns is ended by its drop.
        tokio::spawn(supervision.run());
        let handle = BotHandle {
            group,
            orders,
            reports: waiting_reports,
            status: status_seen,
            exit: exit_seen,
            _reader: reader,
        };
        (handle, is_ready)
    }
}

/// A bot that cannot be confined is measured all the same.
fn confined(confinement: &Confinement, home: &Home, pid: i32) -> Option<Cell> {
    Cell::confine(confinement, home.mark(), pid)
        .inspect_err(|error| tracing::warn!(bot = home.mark(), %error, "a bot has no control group of its own"))
        .ok()
}

/// The few variables a bot needs. Credentials of the object store are found in the environment by its client.
fn environment(storage: &Url) -> Vec<(OsString, OsString)> {
    let s3 = storage.scheme() == "s3";
    let wanted = |name: &str| ENVIRONMENT.contains(&name) || (s3 && name.starts_with("AWS_"));
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(wanted)).collect()
}

async fn read(
    bot: BotId,
    stdout: tokio::process::ChildStdout,
    ready: oneshot::Sender<()>,
    reports: mpsc::Sender<Report>,
    closed: oneshot::Sender<()>,
) {
    output::reports(bot, stdout, ready, reports).await;
    let _ = closed.send(());
}

fn first_line(spec: &BotSpec, home: &Home) -> Vec<u8> {
    let mut spec = spec.clone();
    spec.browser.profile_root = Some(home.dir().to_owned());
    let mut line = serde_json::to_vec(&spec).expect("a specification has only string keys");
    line.push(b'\n');
    line
}
