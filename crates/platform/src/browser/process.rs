//! The browser's process: started with the pipe's ends, watched, ended, its profile removed.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::BrowserError;

/// What is kept of the browser's complaints.
const STDERR_LINES: usize = 12;
const STDERR_LINE_BYTES: usize = 300;
/// After the browser's own end its renderers notice the broken channel and end too.
const CHILDREN_WITHIN: Duration = Duration::from_secs(5);

/// Chromium makes a socket 45 bytes further down, and a socket's path may have 107.
const LONGEST_TMPDIR: usize = 60;

/// A running browser. Ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    stderr: Tail,
    kill: CancellationToken,
    /// How it ended; set once everything is cleaned up.
    ended: watch::Receiver<Option<String>>,
}

/// Our ends of the debugging pipe.
pub(super) struct Ends {
    pub(super) to_browser: pipe::Sender,
    pub(super) from_browser: pipe::Receiver,
}

impl Process {
    /// Starts the program; the profile is removed after its end.
    pub(super) fn start(
        program: PathBuf,
        arguments: &[String],
        profile: TempDir,
    ) -> Result<(Self, Ends), BrowserError> {
        let (mut child, ends) = match spawn(&program, arguments, profile.path()) {
            Ok(started) => started,
            Err(source) => return Err(BrowserError::Spawn { path: program, source }),
        };
        let pid = child.id().unwrap_or_default();
        let stderr = Tail::default();
        let lines = child.stderr.take();
        let kill = CancellationToken::new();
        let (done, ended) = watch::channel(None);
        let (stop, tail) = (kill.clone(), stderr.clone());
        tokio::spawn(async move {
            let reading = async {
                if let Some(lines) = lines {
                    tail.fill(lines).await;
                }
            };
            let status = watch_over(child, stop, reading).await;
            remove(profile).await;
            done.send_replace(Some(status));
        });
        Ok((Self { pid, stderr, kill, ended }, ends))
    }

    /// Completes when the browser and its children have ended and the profile is removed; says how it ended.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.ok().and_then(|status| status.clone());
        status.unwrap_or_else(|| "unknown".into())
    }

    pub(super) fn kill(&self) {
        self.kill.cancel();
    }

    /// The last lines of the browser's complaints.
    pub(super) fn complaints(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, arguments: &[String], home: &Path) -> std::io::Result<(Child, Ends)> {
    let (browser_reads, we_write) = std::io::pipe()?;
    let (we_read, browser_writes) = std::io::pipe()?;
    let ends = Ends {
        to_browser: pipe::Sender::from_owned_fd(OwnedFd::from(we_write))?,
        from_browser: pipe::Receiver::from_owned_fd(OwnedFd::from(we_read))?,
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Some files (fontconfig, NSS) go to the home directory and not to the profile.
        .env("HOME", home)
        // The bot's way into the object store is not the page's.
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_WEB_IDENTITY_TOKEN_FILE")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .kill_on_drop(true)
        .fd_mappings(vec![
            FdMapping { parent_fd: browser_reads.into(), child_fd: 3 },
            FdMapping { parent_fd: browser_writes.into(), child_fd: 4 },
        ])
        .map_err(std::io::Error::other)?;
    if home.as_os_str().len() <= LONGEST_TMPDIR {
        command.env("TMPDIR", home);
    }
    Ok((command.spawn()?, ends))
}

/// Waits for the end, or brings it about. All processes of a browser share its stderr, so `reading` ends with the last.
async fn watch_over(mut child: Child, kill: CancellationToken, reading: impl Future<Output = ()>) -> String {
    tokio::pin!(reading);
    let mut read = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = kill.cancelled() => {
                // Fails only if it has ended already.
                let _ = child.start_kill();
                break child.wait().await;
            }
            () = &mut reading, if !read => read = true,
        }
    };
    if !read && tokio::time::timeout(CHILDREN_WITHIN, reading).await.is_err() {
        tracing::warn!("children of a browser that has ended are still there");
    }
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

async fn remove(profile: TempDir) {
    let path = profile.path().to_owned();
    let removed = tokio::task::spawn_blocking(move || profile.close()).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, path = %path.display(), "a browser profile could not be removed");
    }
}

/// The last lines of a stream.
#[derive(Clone, Debug, Default)]
struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Tail {
    async fn fill(&self, stream: ChildStderr) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line is cut into pieces rather than kept whole: nothing bounds its length.
            let mut piece = (&mut stream).take(64 << 10);
            match piece.read_until(b'\n', &mut line).await {
                Ok(1..) => self.push(&line),
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn push(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(&line[..line.len().min(STDERR_LINE_BYTES)]);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        tracing::debug!(line, "browser");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() { "it wrote nothing".into() } else { lines.iter().cloned().collect::<Vec<_>>().join(" | ") }
    }
}
