use redis::{Client, ErrorKind, ServerErrorKind};

use crate::{Error, Link, Section, Settings};

/// Why a server cannot be used. Each names the setting that says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a `redis://` or `rediss://` address.
    #[error("{setting}: not a Redis address")]
    BadUrl {
        /// Where the address came from.
        setting: String,
        /// What is wrong with it.
        #[source]
        source: Error,
    },
    /// A prefix that would break the names of keys.
    #[error("{setting}: a prefix is 1 to 64 letters, digits, `-`, `_` or `.`")]
    BadPrefix {
        /// Where the prefix came from.
        setting: String,
    },
    /// No connection, or no answer.
    #[error("{setting}: redis at {address} is out of reach")]
    Unreachable {
        /// Where the address came from.
        setting: String,
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        source: Error,
    },
    /// Something else answers.
    #[error("{setting}: what answers at {address} is not redis")]
    Foreign {
        /// Where the address came from.
        setting: String,
        /// Host and port.
        address: String,
        /// What could not be understood.
        #[source]
        source: Error,
    },
    /// Not let in, or not allowed to do what is needed.
    #[error("{setting}: redis at {address} denies it to this user, who needs {needed}")]
    Denied {
        /// Where the user came from.
        setting: String,
        /// Host and port.
        address: String,
        /// What it said.
        #[source]
        source: Error,
        /// Everything that the user has to be allowed, as `ACL SETUSER` takes it.
        needed: String,
    },
    /// It answers, and cannot be used now: a replica, or one that is loading.
    #[error("{setting}: redis at {address} cannot be used")]
    Refused {
        /// Where the address came from.
        setting: String,
        /// Host and port.
        address: String,
        /// What it said.
        #[source]
        source: Error,
    },
    /// Older than what the scripts and the lag of consumer groups need.
    #[error("{setting}: redis {found} is too old: at least version {needed} is needed")]
    TooOld {
        /// Where the address came from.
        setting: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: u32,
    },
    /// It would lose what it acknowledged.
    #[error("{detail}; set that right, or allow it with `{setting}`")]
    Volatile {
        /// What is set up so.
        detail: String,
        /// The setting that allows it.
        setting: String,
    },
    /// The data is of another release.
    #[error(
        "{setting}: the data under this prefix has schema {found}, and this release knows {known}: use the release that wrote it, or another prefix"
    )]
    Schema {
        /// Of the data.
        found: String,
        /// Of this release.
        known: u32,
        /// Where the prefix came from.
        setting: String,
    },
}

/// A server, and where its settings came from.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) section: Section,
}

impl Place<'_> {
    /// A key of the section that the settings came from.
    pub(crate) fn setting(&self, key: &str) -> String {
        format!("{}.{key}", self.section)
    }

    /// A link to it, which does not connect yet.
    pub(crate) fn link(&self) -> Result<Link, OpenError> {
        self.settings.check_prefix(&self.setting("prefix"))?;
        Link::new(&self.settings.url).map_err(|source| OpenError::BadUrl { setting: self.setting("url"), source })
    }

    /// Host and port: no user, no password.
    pub(crate) fn address(&self) -> String {
        let client = Client::open(self.settings.url.as_str());
        client.map_or_else(|_| "?".to_owned(), |client| client.get_connection_info().addr().to_string())
    }

    pub(crate) fn failed(&self, source: Error) -> OpenError {
        let (setting, address) = (self.setting("url"), self.address());
        match source.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => self.denied(source),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => OpenError::Foreign { setting, address, source },
            _ if is_denial(&source) => self.denied(source),
            _ if source.is_io_error() || source.is_timeout() => OpenError::Unreachable { setting, address, source },
            _ => OpenError::Refused { setting, address, source },
        }
    }

    fn denied(&self, source: Error) -> OpenError {
        let needed = format!("~{{{}* +@all -@dangerous +info +config|get", self.settings.prefix);
        OpenError::Denied { setting: self.setting("url"), address: self.address(), source, needed }
    }
}

/// What the client has no kind for.
fn is_denial(error: &Error) -> bool {
    // A command in a script that the user may not run is a plain `ERR` to Redis 7.0, told from others by its words alone.
    let in_script = |detail: &str| detail.starts_with("The user executing the script can't");
    matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) || error.detail().is_some_and(in_script)
}
