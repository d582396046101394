use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::OpenError;

/// Other processes may look into the file, for example `sqlite3` while backing up; they are waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements kept compiled for each connection.
const STATEMENTS: usize = 128;
/// The write-ahead log is cut back to this many bytes after a checkpoint.
const LOG_BYTES_MAX: i64 = 64 << 20;
/// Pages in the log from which on the writer moves them into the file itself, should the thread for that not keep up.
const LOG_PAGES_MAX: i64 = 16_384;
/// Page cache of the writer in KiB (negative: that is how SQLite tells it from pages).
const CACHE_KIB: i64 = -16_384;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process and the loss of power: every commit waits for the disk.
    #[default]
    Full,
    /// The death of the process. After a loss of power the file is sound, but the last commits may be missing.
    Normal,
}

/// The steps of a schema, oldest first, each a script. Step `n` (from 1) takes a file from `user_version` `n - 1` to `n`.
/// Steps that were released are never changed: a new one is added.
pub type Migrations = &'static [&'static str];

/// What is stored is its owner's business, so only the owner may look into a directory made here.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| OpenError::Io { path: dir.to_owned(), source })
}

pub(crate) fn open_writer(
    path: &Path,
    durability: Durability,
    migrations: Migrations,
) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    let set = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value).map_err(sqlite);
    set("journal_mode", &"WAL")?;
    set("synchronous", &synchronous)?;
    set("journal_size_limit", &LOG_BYTES_MAX)?;
    set("cache_size", &CACHE_KIB)?;
    set("wal_autocheckpoint", &LOG_PAGES_MAX)?;
    migrate(&connection, path, migrations)?;
    Ok(connection)
}

/// For moving the log into the file, which takes the right to write and nothing else.
pub(crate) fn open_checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(sqlite)
}

pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How many steps of its schema a file has behind it, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// Of the file.
    pub found: i64,
    /// Of this program.
    pub known: i64,
}

/// Looks into a file, which may be in use, and changes nothing; none if there is no file. Refuses what cannot be opened.
pub fn schema_version(path: &Path, migrations: Migrations) -> Result<Option<SchemaVersion>, OpenError> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) => version(&open_reader(path)?, path, migrations).map(Some),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

fn version(connection: &Connection, path: &Path, migrations: Migrations) -> Result<SchemaVersion, OpenError> {
    let known = i64::try_from(migrations.len()).expect("a schema has few steps");
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    match (0..=known).contains(&found) {
        true => Ok(SchemaVersion { found, known }),
        false => Err(OpenError::TooNew { path: path.to_owned(), found, known }),
    }
}

fn migrate(connection: &Connection, path: &Path, migrations: Migrations) -> Result<(), OpenError> {
    let SchemaVersion { found, .. } = version(connection, path, migrations)?;
    for (version, script) in (1..).zip(migrations).filter(|(version, _)| *version > found) {
        let failed = |source| OpenError::Migration { path: path.to_owned(), version, source };
        let transaction = connection.unchecked_transaction().map_err(failed)?;
        transaction.execute_batch(script).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        tracing::info!(path = %path.display(), version, "schema migrated");
    }
    Ok(())
}
