/// Why a recording could not be stored, joined or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no segment: nothing was recorded. Trying again does not help.
    #[error("nothing was recorded")]
    Empty,
    /// There are segments, but none can be read. Trying again does not help.
    #[error("none of {segments} segments is readable")]
    Corrupt {
        /// So many were found.
        segments: u64,
    },
    /// The recording has not been finalised (or was deleted).
    #[error("there is no manifest")]
    NotFinalised,
    /// The URL of the storage is not one that can be used.
    #[error("storage url must be file:///directory or s3://bucket/prefix, not {url}")]
    Url {
        /// As given, without credentials.
        url: String,
    },
    /// The directory of a `file:` URL cannot be made.
    #[error("cannot create {path}")]
    Directory {
        /// The directory.
        path: String,
        #[source]
        /// Why.
        source: std::io::Error,
    },
    /// The storage is out of reach or refuses; another try can help.
    #[error("storage: {0}")]
    Storage(#[from] object_store::Error),
    /// A file cannot be decoded.
    #[error("stored audio: {0}")]
    Audio(#[from] muster_audio::Error),
    /// The joined notes are not notes.
    #[error("stored notes: {0}")]
    Notes(#[source] serde_json::Error),
    /// The manifest is not one.
    #[error("stored manifest: {0}")]
    Manifest(#[source] serde_json::Error),
}

impl Error {
    /// True when another try later can help, however much later: the storage is at fault, and not what it holds.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Storage(error) => crate::storage::is_transient(error),
            Self::Empty
            | Self::Corrupt { .. }
            | Self::NotFinalised
            | Self::Url { .. }
            | Self::Directory { .. }
            | Self::Audio(_)
            | Self::Notes(_)
            | Self::Manifest(_) => false,
        }
    }
}
