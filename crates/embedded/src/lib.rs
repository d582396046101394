//! SQLite as an embedded backend stands on it: one writer thread with group commit, readers beside it.
//!
//! [`Database::write`] hands a closure to the writer, which takes up to [`BATCH_MAX`] waiting ones into one transaction,
//! commits once, and only then answers each. Under load, one `fsync` therefore pays for many writes; without load, a write
//! waits for nobody. Each operation runs in a savepoint of its own, so one that fails or panics takes back its own
//! changes and spoils nothing for its neighbours. [`Database::read`] runs beside the writer on read-only connections and
//! sees everything that was answered before it began. What was committed is moved from the log into the file by a thread
//! beside the writer, so nobody's write waits for that.
//!
//! This crate knows nothing of what is stored: the schema comes in as [`Migrations`].

mod checkpoint;
mod connection;
mod error;
mod lock;
mod readers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use connection::{Durability, Migrations, SchemaVersion, schema_version};
pub use error::{Error, OpenError};
pub use writer::BATCH_MAX;

use lock::FileLock;
use readers::Readers;
use writer::{Detached, Operation, Write};

/// An open database. Dropping it finishes the writes that were handed over, and then closes the file.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    // In the order in which they are dropped after the writer has ended.
    operations: Option<mpsc::Sender<Box<dyn Operation>>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
    _lock: FileLock,
}

impl Database {
    /// Opens the file, makes it and its directory if they are missing, and brings its schema up to date.
    ///
    /// A lock file beside it keeps a second opener out, in this process or another: [`OpenError::InUse`]. The lock goes
    /// with the process, however that ends, and a file that a killed process left behind is opened as it was at the last
    /// commit. Blocks while migrations run.
    pub fn open(path: &Path, durability: Durability, migrations: Migrations) -> Result<Self, OpenError> {
        if let Some(dir) = path.parent() {
            connection::create_private_dir(dir)?;
        }
        let lock = FileLock::take(path)?;
        let connection = connection::open_writer(path, durability, migrations)?;
        let readers = Arc::new(Readers::open(path)?);
        let (operations, waiting) = mpsc::channel();
        let (wake, checkpointer) = checkpoint::start(path)?;
        let writer = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                writer::run(connection, &waiting, &wake);
                drop(wake);
                if checkpointer.join().is_err() {
                    tracing::error!("the checkpoint thread panicked");
                }
            })
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), operations: Some(operations), writer: Some(writer), readers, _lock: lock })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in a transaction on the writer's connection. `Ok` means that it is committed, and with
    /// [`Durability::Full`] that it is on disk.
    ///
    /// `work` sees the changes of everything handed over before it. When it answers `Err` or panics, its changes are taken
    /// back. It must not begin or end transactions, and should be short: every other write waits for it.
    ///
    /// Dropping the future before `work` began prevents it; once it began it is carried through, and its result dropped.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Box::new(Write::new(work, reply)))?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// As [`write`](Self::write), but waits for nothing and answers nobody; for clean-up where nobody can wait. Failures
    /// are logged.
    pub fn submit<F>(&self, work: F)
    where
        F: FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send + 'static,
    {
        if let Err(error) = self.hand_over(Box::new(Detached::new(work))) {
            tracing::warn!(%error, "a detached write was dropped");
        }
    }

    /// Runs `work` on a read-only connection, in one snapshot, beside writes and other reads.
    ///
    /// It sees every write that was answered before this call. Dropping the future drops the result; a read that began is
    /// carried through. Needs a tokio runtime.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Arc::clone(&self.readers).run(work).await
    }

    fn hand_over(&self, operation: Box<dyn Operation>) -> Result<(), Error> {
        // Not bounded here: every caller waits for its own write, so what waits is bounded by the callers.
        self.operations.as_ref().ok_or(Error::Closed)?.send(operation).map_err(|_| Error::Closed)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.operations.take());
        let Some(writer) = self.writer.take() else { return };
        // An operation may own the last handle to its database; the writer cannot wait for itself.
        if writer.thread().id() != std::thread::current().id() && writer.join().is_err() {
            tracing::error!(path = %self.path.display(), "the writer thread panicked");
        }
    }
}

#[cfg(test)]
mod tests;
