//! Moving what was written from the log into the file, beside the writer.
//!
//! SQLite's own way is that whoever commits does it once the log is long: every write that waits then waits for the whole
//! of it, and for two more trips to the disk. Here a thread does it over a connection of its own, and the writer goes on
//! appending meanwhile.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::{OpenError, connection};

/// Starts the thread. It ends when the sender is gone.
pub(crate) fn start(path: &Path) -> Result<(SyncSender<()>, JoinHandle<()>), OpenError> {
    let connection = connection::open_checkpointer(path)?;
    // One that waits is enough: it moves everything there is by then.
    let (wake, waiting) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("sqlite-checkpoint".to_owned())
        .spawn(move || run(&connection, &waiting))
        .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    Ok((wake, thread))
}

fn run(connection: &Connection, waiting: &Receiver<()>) {
    while waiting.recv().is_ok() {
        // Passive: it waits for nobody, and what a reader still needs stays for the next time.
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::warn!(%error, "the log could not be moved into the file; it grows until it can");
        }
    }
}
