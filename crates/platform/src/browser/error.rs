//! What can go wrong with a browser, by what one can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the browser or a page of it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// No Chromium on this machine.
    #[error("no Chromium was found; install it with `apt-get install chromium-headless-shell`")]
    NotFound,
    /// The configured program is not one.
    #[error("`{}` is not a program that can be started; check the path of the browser, or leave it out", path.display())]
    NotExecutable {
        /// As configured.
        path: PathBuf,
    },
    /// The operating system did not start the program.
    #[error("`{}` could not be started", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No profile directory could be made.
    #[error("no browser profile could be made in `{}`", root.display())]
    Profile {
        /// Where.
        root: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The browser ended before it was ready.
    #[error("the browser ended at its start ({status}): {stderr}")]
    Died {
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        stderr: String,
    },
    /// The browser did not become ready.
    #[error("the browser was not ready after {} s: {stderr}", after.as_secs())]
    NotReady {
        /// How long we waited.
        after: Duration,
        /// The last lines it wrote.
        stderr: String,
    },
    /// The browser has ended, or was closed.
    #[error("the browser is gone")]
    Gone,
    /// The page was closed.
    #[error("the page is closed")]
    Closed,
    /// The page's process has crashed.
    #[error("the page has crashed")]
    Crashed,
    /// No answer in time. The command may still take effect.
    #[error("no answer to {what} within {} ms", after.as_millis())]
    Timeout {
        /// The command.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The browser refused a command, for instance because the page navigated meanwhile.
    #[error("{what} was refused: {message} ({code})")]
    Refused {
        /// The command.
        what: String,
        /// Code of the protocol.
        code: i64,
        /// The browser's words.
        message: String,
    },
    /// The page could not be loaded.
    #[error("{host} could not be loaded: {error}")]
    Navigation {
        /// Host of the address; the rest may hold secrets.
        host: String,
        /// Chromium's name of the error, like `net::ERR_NAME_NOT_RESOLVED`.
        error: String,
    },
    /// An evaluated expression threw.
    #[error("the page's script failed: {message}")]
    Script {
        /// The exception.
        message: String,
    },
    /// A key that [`Page::press_key`](crate::page::Page::press_key) does not know.
    #[error("no key is called `{key}`")]
    UnknownKey {
        /// As asked for.
        key: String,
    },
}

impl BrowserError {
    /// Nothing more can be done with this page: the browser is gone, or the page is closed or crashed.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Gone | Self::Closed | Self::Crashed | Self::Died { .. })
    }
}
