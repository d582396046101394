//! Redis as the backends stand on it.
//!
//! [`Link`] is one multiplexed connection that is made again by itself: while the server is out of reach, commands fail at
//! once instead of queueing up, and tries to connect come at growing intervals. Whatever has to be atomic is a script
//! ([`Link::script`]). A command that blocks holds up everything behind it, so it gets a connection of its own
//! ([`Link::dedicated`]).
//!
//! [`open`] also looks at the server before anything is written: whether it is new enough, whether it keeps what it
//! acknowledges, and whether the data under the prefix is of this release.
//!
//! This crate knows nothing of what is stored.

mod check;
mod link;
mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::sync::Arc;

pub use link::{CONNECT_TIMEOUT, Link, RESPONSE_TIMEOUT};
/// What the backends use of the client.
pub use redis::{
    Cmd, FromRedisValue, RedisError as Error, Script, ScriptInvocation, ToRedisArgs, Value, aio::MultiplexedConnection,
    cmd, from_redis_value,
};
pub use settings::Settings;

/// Makes a [`Script`] of each file, after the common part: `scripts! { "common.lua"; NAME "name.lua" ... }`. Each is sent by
/// its hash, and runs as a whole or not at all.
#[macro_export]
macro_rules! scripts {
    ($common:literal; $($name:ident $file:literal)*) => {
        $(
            pub(super) static $name: std::sync::LazyLock<$crate::Script> = std::sync::LazyLock::new(|| {
                $crate::Script::new(concat!(include_str!($common), include_str!($file)))
            });
        )*
    };
}

/// An open server, and what its operator should know.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub link: Arc<Link>,
    /// What may lose data in the way the server is set up, in words for a log.
    pub warnings: Vec<String>,
}

/// Connects, and checks the server and the version of the data.
///
/// `schema_key` holds the version of the data's layout; it is written if there is none. Nothing else is touched.
/// `prefix_setting` is the name of the setting that the prefix came from, for the error.
pub async fn open(
    settings: &Settings,
    schema_key: &str,
    schema: u32,
    prefix_setting: &str,
) -> Result<Opened, OpenError> {
    settings.check_prefix(prefix_setting)?;
    let link = Arc::new(Link::new(&settings.url)?);
    let warnings = check::server(&link, settings.allow_volatile).await?;
    check::schema(&link, schema_key, schema, prefix_setting).await?;
    Ok(Opened { link, warnings })
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a `redis://` or `rediss://` address.
    #[error("not a Redis address")]
    BadUrl(#[source] Error),
    /// A prefix that would break the names of keys.
    #[error("{setting}: a prefix is 1 to 64 letters, digits, `-`, `_` or `.`")]
    BadPrefix {
        /// Where the prefix came from.
        setting: String,
    },
    /// Out of reach, or it refused.
    #[error("redis cannot be used: {0}")]
    Unavailable(#[from] Error),
    /// Older than what the scripts and the lag of consumer groups need.
    #[error("redis {found} is too old: at least version {needed} is needed")]
    TooOld {
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: u32,
    },
    /// It would lose what it acknowledged.
    #[error("{detail}; set that right, or allow it with `allow_volatile`")]
    Volatile {
        /// What is set up so.
        detail: String,
    },
    /// The data is of another release.
    #[error(
        "the data under this prefix has schema {found}, and this release knows {known}: use the release that wrote it, or another {setting}"
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
