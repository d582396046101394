use std::fmt;

use crate::OpenError;

/// Longest prefix.
const PREFIX_MAX: usize = 64;

/// Which server, and which part of it.
#[derive(Clone)]
pub struct Settings {
    /// `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS. Certificates are checked against the
    /// authorities of the system, or the file that `SSL_CERT_FILE` names.
    pub url: String,
    /// What every key's tag begins with, so that installations can share a server.
    pub prefix: String,
    /// Take a server that may lose acknowledged writes at any time: without an append-only file, or one that evicts keys.
    pub allow_volatile: bool,
}

impl Settings {
    pub(crate) fn check_prefix(&self, setting: &str) -> Result<(), OpenError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.prefix.is_empty() || self.prefix.len() > PREFIX_MAX || !self.prefix.chars().all(allowed) {
            return Err(OpenError::BadPrefix { setting: setting.to_owned() });
        }
        Ok(())
    }
}

/// Without the address, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("allow_volatile", &self.allow_volatile)
            .finish_non_exhaustive()
    }
}
