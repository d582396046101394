use std::path::PathBuf;
use std::sync::Arc;

/// Why a read or a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed. What the operation had changed was taken back.
    #[error("the database refused the operation")]
    Sqlite(#[from] rusqlite::Error),
    /// The transaction could not be committed; every operation in it is told so. Nothing of it is kept, unless the disk
    /// failed so badly that not even that can be said.
    #[error("the transaction could not be committed")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// The operation panicked, which is a bug in it. What it had changed was taken back.
    #[error("the operation panicked")]
    Panicked,
    /// The database is being closed, or its writer is gone.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    /// True if the file itself is damaged, so that trying again is of no use.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Commit(error) => error.sqlite_error_code(),
            Self::Panicked | Self::Closed => None,
        };
        matches!(code, Some(DatabaseCorrupt | NotADatabase))
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or this one has it twice.
    #[error("{path} is in use by {holder}; stop that process or choose another data directory", path = path.display())]
    InUse {
        /// The database.
        path: PathBuf,
        /// Who has it, for people.
        holder: String,
    },
    /// It was written by a newer version of this program.
    #[error(
        "{path} has schema version {found}, and this program knows only up to {known}: it is of a newer release",
        path = path.display()
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// What the file says.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A directory or file could not be made or opened.
    #[error("{path} cannot be opened", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite could not open or prepare the file.
    #[error("{path} cannot be opened as a database", path = path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
    /// A step of the schema failed; the file is as it was before that step.
    #[error("{path} could not be brought to schema version {version}", path = path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// The version that was to be reached.
        version: i64,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}
