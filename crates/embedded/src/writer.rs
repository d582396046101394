//! The writer thread: takes what waits, commits it together, answers each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Error;

/// Operations in one transaction, at most. It bounds how long the first of a batch waits for the last.
pub const BATCH_MAX: usize = 512;

/// Something to do in a transaction, and whom to tell.
pub(crate) trait Operation: Send {
    /// Does it. False means that its changes are to be taken back.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells the caller, after the commit or its failure.
    fn answer(self: Box<Self>, commit: Result<(), Arc<rusqlite::Error>>);
}

/// So many changed rows make a log that is worth moving into the file. A row and its places in indexes are some four pages of
/// it when each is a commit of its own, and a message of many webhooks is two dozen: moved in small pieces, nobody's commit waits
/// long behind the disk, and the writer never has to move any itself.
const ROWS_PER_CHECKPOINT: u64 = 64;

/// Runs until every sender is gone and everything that was sent is done. Tells `checkpoint` when the log has grown.
pub(crate) fn run(
    connection: Connection,
    waiting: &mpsc::Receiver<Box<dyn Operation>>,
    checkpoint: &mpsc::SyncSender<()>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut moved = 0;
    while let Ok(first) = waiting.recv() {
        batch.push(first);
        batch.extend(waiting.try_iter().take(BATCH_MAX - 1));
        let commit = transact(&connection, &mut batch).map_err(Arc::new);
        if let Err(error) = &commit {
            tracing::error!(%error, operations = batch.len(), "a transaction was lost");
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a lost transaction could not be rolled back");
            }
        }
        for operation in batch.drain(..) {
            operation.answer(commit.clone());
        }
        let changes = connection.total_changes();
        if changes.wrapping_sub(moved) >= ROWS_PER_CHECKPOINT {
            moved = changes;
            // One that waits already will do.
            let _ = checkpoint.try_send(());
        }
    }
}

fn transact(connection: &Connection, batch: &mut [Box<dyn Operation>]) -> Result<(), rusqlite::Error> {
    execute(connection, "BEGIN IMMEDIATE")?;
    for operation in batch {
        execute(connection, "SAVEPOINT operation")?;
        let keep = operation.run(connection);
        // A full disk and the like end the whole transaction by themselves: then there is no savepoint any more, the
        // statement below fails, and everybody in the batch is told.
        if !keep {
            execute(connection, "ROLLBACK TO operation")?;
        }
        execute(connection, "RELEASE operation")?;
    }
    execute(connection, "COMMIT")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// A write whose caller waits.
pub(crate) struct Write<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Write<F, T, E> {
    pub(crate) fn new(work: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { work: Some(work), result: None, reply }
    }
}

impl<F, T, E> Operation for Write<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        // A caller that gave up before its turn is not served.
        let Some(work) = self.work.take().filter(|_| !self.reply.is_closed()) else { return true };
        let result =
            catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|_| Err(Error::Panicked.into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, commit: Result<(), Arc<rusqlite::Error>>) {
        let result = match (commit, self.result) {
            (Ok(()), Some(result)) => result,
            // It failed for a reason of its own, which says more.
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(Error::Commit(error).into()),
            (Ok(()), None) => return,
        };
        // The caller may have given up meanwhile; then the result is dropped here.
        let _ = self.reply.send(result);
    }
}

/// A write that nobody waits for.
pub(crate) struct Detached<F> {
    work: Option<F>,
}

impl<F> Detached<F> {
    pub(crate) fn new(work: F) -> Self {
        Self { work: Some(work) }
    }
}

impl<F> Operation for Detached<F>
where
    F: FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return true };
        match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a detached write failed");
                false
            }
            Err(_) => {
                tracing::error!("a detached write panicked");
                false
            }
        }
    }

    fn answer(self: Box<Self>, _commit: Result<(), Arc<rusqlite::Error>>) {}
}
