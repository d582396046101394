//! Redis as the backends stand on it.
//!
//! [`Link`] is one multiplexed connection that is made again by itself: while the server is out of reach, commands fail at
//! once instead of queueing up, and tries to connect come at growing intervals. Whatever has to be atomic is a script
//! ([`Link::script`]). A command that blocks holds up everything behind it, so it gets a connection of its own
//! ([`Link::dedicated`]).
//!
//! [`open`] also looks at the server before anything is written: whether it is new enough, whether it keeps what it
//! acknowledges, whether the user may write there, and whether the data under the prefix is of this release. [`inspect()`] looks
//! at the same and writes nothing.
//!
//! This crate knows nothing of what is stored.

mod check;
mod error;
mod inspect;
mod link;
mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::OpenError;
pub use inspect::{Inspection, inspect};
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

/// The part of the configuration that settings come from, such as `store`: errors name `store.url` and its neighbours.
pub type Section = &'static str;

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
pub async fn open(settings: &Settings, section: Section, schema_key: &str, schema: u32) -> Result<Opened, OpenError> {
    let place = error::Place { settings, section };
    let link = Arc::new(place.link()?);
    let facts = check::facts(&link).await.map_err(|error| place.failed(error))?;
    let warnings = check::judge(&facts, &place)?;
    check::claim(&link, &place, schema_key, schema).await?;
    Ok(Opened { link, warnings })
}
