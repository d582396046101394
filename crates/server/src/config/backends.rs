//! `[queue]` and `[store]`: on this machine alone, or shared by many.

use muster_redis::Settings;

use super::reader::{Reader, Text};
use crate::roles::Role;

/// What is before every key, unless the operator says otherwise.
const PREFIX: &str = "muster";
const REDIS_SCHEMES: [&str; 2] = ["redis", "rediss"];

/// `[queue]`. Its `Debug` shows no address.
#[derive(Clone, Debug)]
pub enum QueueConfig {
    /// `queue.db` in the data directory, for one process.
    Embedded,
    /// For any number of processes.
    Redis(Settings),
}

/// `[store]`. Its `Debug` shows no address.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// `store.db` in the data directory, for one process.
    Embedded,
    /// For any number of processes.
    Redis(Settings),
}

impl QueueConfig {
    /// True if other processes can have it too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let kind = r.choice(
            "queue.kind",
            &["embedded", "redis"],
            "Where jobs wait: `embedded` is in `data_dir`, for one process; `redis` is for any number of machines. Goes together with store.kind.",
        );
        let redis = redis(r, kind, &QUEUE);
        redis.map_or(Self::Embedded, Self::Redis)
    }
}

impl StoreConfig {
    /// True if other processes can have it too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let kind = r.choice(
            "store.kind",
            &["embedded", "redis"],
            "Where sessions, webhooks and API keys are: `embedded` is in `data_dir`, for one process; `redis` is for any number of machines.",
        );
        let redis = redis(r, kind, &STORE);
        redis.map_or(Self::Embedded, Self::Redis)
    }
}

/// The keys of one of the two tables.
struct Keys {
    kind: &'static str,
    url: &'static str,
    prefix: &'static str,
    allow_volatile: &'static str,
}

const QUEUE: Keys =
    Keys { kind: "queue.kind", url: "queue.url", prefix: "queue.prefix", allow_volatile: "queue.allow_volatile" };
const STORE: Keys =
    Keys { kind: "store.kind", url: "store.url", prefix: "store.prefix", allow_volatile: "store.allow_volatile" };

/// The settings of a table whose kind is `redis`. A table of another kind may have none of them.
fn redis(r: &mut Reader<'_>, kind: &str, keys: &Keys) -> Option<Settings> {
    let url = r.address(
        keys.url,
        "For `redis`, which needs it: redis://[user[:password]@]host[:port][/database], or rediss:// for TLS.",
        &REDIS_SCHEMES,
    );
    let prefix = r.text(Text::new(
        keys.prefix,
        PREFIX,
        "For `redis`: what is before every key, so that installations can share a server.",
    ));
    let volatile = r.bool_opt(
        keys.allow_volatile,
        "For `redis`: take a server that may lose acknowledged writes at any time. Default: false.",
    );
    if kind == "redis" {
        if url.is_none() && !r.is_given(keys.url) {
            r.problem(format!(
                "{}: is needed when {} is \"redis\", such as redis://127.0.0.1:6379",
                keys.url, keys.kind
            ));
        }
        return Some(Settings { url: url.unwrap_or_default(), prefix, allow_volatile: volatile.unwrap_or(false) });
    }
    for key in [keys.url, keys.prefix, keys.allow_volatile] {
        if r.is_given(key) {
            r.problem(format!("{key}: is for {} = \"redis\", which is \"{kind}\"", keys.kind));
        }
    }
    None
}

/// What has to be shared between processes is, all of it.
pub(super) fn cross_check(r: &mut Reader<'_>, [queue, store, storage]: [bool; 3], role: Option<Role>) {
    if queue != store {
        let (own, shared) = if queue { (&STORE, &QUEUE) } else { (&QUEUE, &STORE) };
        r.problem(format!(
            "{}: is \"embedded\", but {} is not: either both are shared between machines, or neither",
            own.kind, shared.kind
        ));
    }
    if (queue || store) && !storage {
        r.problem(
            "storage.url: is needed when sessions are shared, because every process needs the recordings: \
             s3://bucket/prefix, or file:///directory on a disk that all of them have",
        );
    }
    let Some(role) = role.filter(|role| *role != Role::All) else { return };
    if !queue && !store {
        r.problem(format!(
            "store.kind: `muster serve {role}` does a part of the work, and the other processes need the same sessions: set \
             store.kind and queue.kind to \"redis\", or run `muster serve`, which does everything in one process"
        ));
    }
}
