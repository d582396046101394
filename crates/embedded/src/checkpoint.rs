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

/// Each round moves what was written during the one before it, which is less every time.
const ROUNDS_MAX: u32 = 4;

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
        if let Err(error) = move_all(connection) {
            tracing::warn!(%error, "the log could not be moved into the file; it grows until it can");
        }
    }
}

/// Moves what there is, and what came meanwhile: the log begins anew only once nothing of it is left to move. What a reader
/// still needs stays for the next time.
fn move_all(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..ROUNDS_MAX {
        // Passive: it waits for nobody.
        let (log, moved): (i64, i64) =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
        if moved >= log {
            break;
        }
    }
    Ok(())
}
