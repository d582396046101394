//! One Chromium process, spoken to over a pipe: no open port, no display, no sound server.

mod error;
mod executable;
mod process;

use std::io;
use std::path::Path;
use std::time::Duration;

use muster_session::protocol::BrowserSpec;
use serde_json::json;
use tempfile::TempDir;

use crate::cdp::{ANSWER_WITHIN, Connection};
use crate::page::Page;
pub use error::BrowserError;
use executable::{Machine, arguments};
pub use executable::{SMALL_SHM_BYTES, find_executable, uses_shm};
use process::Process;

/// Ready in 0.3 s as a rule, 5 s was the worst measured on a machine with ten times its load.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A browser that was asked to close and has not is killed.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// One running Chromium with a profile of its own, for any number of pages. Dropping it kills the browser and removes
/// the profile soon after; [`Browser::close`] waits for that.
///
/// The browser stays in our process group, so whoever ends the group ends it too, and it ends by itself when we die,
/// because the pipe breaks.
#[derive(Debug)]
pub struct Browser {
    connection: Connection,
    process: Process,
    version: String,
}

impl Browser {
    /// Starts the browser and waits until it answers. Has to be called within a tokio runtime. One that crashes at its
    /// start, which Chromium does once in some hundreds of times, is started once more.
    ///
    /// # Errors
    /// If no browser is found, or it does not start, dies at once or does not answer within 30 s; then with the last
    /// lines it wrote.
    ///
    /// Cancel safe: the browser is killed.
    pub async fn launch(spec: &BrowserSpec) -> Result<Self, BrowserError> {
        match Self::start(spec).await {
            Err(BrowserError::Died { status, stderr }) if status.starts_with("signal") => {
                tracing::warn!(status, stderr, "the browser crashed at its start and is started once more");
                Self::start(spec).await
            }
            other => other,
        }
    }

    async fn start(spec: &BrowserSpec) -> Result<Self, BrowserError> {
        let program = find_executable(spec.executable.as_deref())?;
        let root = spec.profile_root.clone().unwrap_or_else(std::env::temp_dir);
        let (profile, arguments) = match prepare(spec, &root) {
            Ok(prepared) => prepared,
            Err(source) => return Err(BrowserError::Profile { root, source }),
        };
        let (process, ends) = Process::start(program, &arguments, profile)?;
        let connection = Connection::new(ends.to_browser, ends.from_browser);
        let greeting = connection.call(None, "Browser.getVersion", json!({}), READY_WITHIN);
        let version = match greeting.await {
            Ok(version) => version["product"].as_str().unwrap_or("unknown").to_owned(),
            Err(BrowserError::Timeout { after, .. }) => {
                return Err(BrowserError::NotReady { after, stderr: process.complaints() });
            }
            Err(BrowserError::Gone) => {
                // The pipe is broken. A program that does not know of the pipe may run on, so it is not waited for.
                let status = tokio::time::timeout(Duration::from_secs(1), process.ended()).await;
                let status = status.unwrap_or_else(|_| "it closed its pipe".into());
                return Err(BrowserError::Died { status, stderr: process.complaints() });
            }
            Err(other) => return Err(other),
        };
        tracing::info!(pid = process.pid, version, "browser is ready");
        Ok(Self { connection, process, version })
    }

    /// Opens an empty page in a context of its own: no cookies or storage are shared with other pages.
    ///
    /// # Errors
    /// If the browser is gone or refuses.
    pub async fn open_page(&self) -> Result<Page, BrowserError> {
        let connection = self.connection.clone();
        let context = connection
            .call(None, "Target.createBrowserContext", json!({ "disposeOnDetach": true }), ANSWER_WITHIN)
            .await?["browserContextId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Page::open(connection, context).await
    }

    /// Process id of the browser; with a configured start script, that of the script.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Name and version, like `HeadlessChrome/156.0.8078.108`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Closes politely, then kills after 5 s. On return the browser's processes have ended and its profile is removed.
    pub async fn close(self) {
        self.connection.tell(None, "Browser.close", json!({}));
        if tokio::time::timeout(CLOSE_WITHIN, self.process.ended()).await.is_err() {
            tracing::warn!(pid = self.process.pid, "the browser did not close and is killed");
            self.process.kill();
            self.process.ended().await;
        }
    }
}

/// Makes the profile directory with what the command line needs in it.
fn prepare(spec: &BrowserSpec, root: &Path) -> io::Result<(TempDir, Vec<String>)> {
    std::fs::create_dir_all(root)?;
    let profile = tempfile::Builder::new().prefix("muster-browser-").tempdir_in(root)?;
    let silence = profile.path().join("silence.wav");
    std::fs::write(&silence, silent_wav())?;
    let arguments = arguments(spec, Machine::look(), profile.path(), &silence);
    Ok((profile, arguments))
}

/// One second of 16-bit mono silence at 48 kHz; Chromium plays it in a loop.
fn silent_wav() -> Vec<u8> {
    const RATE: u32 = 48_000;
    let data_bytes = RATE * 2;
    let mut wav = Vec::with_capacity(44 + data_bytes as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&RATE.to_le_bytes());
    wav.extend_from_slice(&(RATE * 2).to_le_bytes());
    wav.extend_from_slice(&2_u16.to_le_bytes());
    wav.extend_from_slice(&16_u16.to_le_bytes());
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&data_bytes.to_le_bytes());
    wav.resize(44 + data_bytes as usize, 0);
    wav
}
