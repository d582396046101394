use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{Error, OpenError, connection};

/// Reads at a time. They are short and mostly served from memory, so a few are enough to keep the cores busy.
const CONNECTIONS: usize = 4;

/// A pool of read-only connections.
#[derive(Debug)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let idle = (0..CONNECTIONS).map(|_| connection::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    pub(crate) async fn run<T, E, F>(self: Arc<Self>, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let read = move || {
            let connection = self.lock().pop().expect("there are as many connections as permits");
            let result = catch_unwind(AssertUnwindSafe(|| in_snapshot(&connection, work)));
            self.lock().push(connection);
            drop(permit);
            result.unwrap_or_else(|_| Err(Error::Panicked.into()))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One snapshot for all statements of a read. The transaction ends when it is dropped, also by a panic.
fn in_snapshot<T, E: From<Error>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let snapshot = connection.unchecked_transaction().map_err(Error::from)?;
    work(&snapshot)
}
