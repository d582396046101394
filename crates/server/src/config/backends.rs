//! `[queue]` and `[store]`: on this machine alone, or shared by many.

mod aws;
mod redis;

#[cfg(feature = "aws")]
use muster_queue::SqsSettings;
use muster_redis::Settings;
#[cfg(feature = "aws")]
use muster_store::DynamoSettings;

use super::reader::{Reader, Text};
use crate::roles::Role;

/// What names begin with, unless the operator says otherwise.
const PREFIX: &str = "muster";

/// `[queue]`. Its `Debug` shows no address of Redis.
#[derive(Clone, Debug)]
pub enum QueueConfig {
    /// `queue.db` in the data directory, for one process.
    Embedded,
    /// For any number of processes.
    Redis(Settings),
    /// Amazon SQS, for any number of processes.
    #[cfg(feature = "aws")]
    Sqs(SqsSettings),
}

/// `[store]`. Its `Debug` shows no address of Redis.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// `store.db` in the data directory, for one process.
    Embedded,
    /// For any number of processes.
    Redis(Settings),
    /// Amazon DynamoDB, for any number of processes.
    #[cfg(feature = "aws")]
    Dynamodb(DynamoSettings),
}

impl QueueConfig {
    /// True if other processes can have it too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::Embedded)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let kind = r.choice(
            QUEUE.kind,
            &["embedded", "redis", "sqs"],
            "Where jobs wait: `embedded` is in `data_dir`, for one process; `redis` and `sqs` (Amazon) are for any number of machines. Goes together with store.kind.",
        );
        let redis = redis::read(r, kind, &QUEUE);
        let prefix = r.text(Text::new(
            "queue.prefix",
            PREFIX,
            "For `redis` and `sqs`: what is before every key or name of a queue, so that installations can share a server or an account.",
        ));
        QUEUE.only_for(r, kind, &["redis", "sqs"], &["queue.prefix"]);
        let place = aws::read(r, kind, &QUEUE);
        match kind {
            "redis" => Self::Redis(redis.with_prefix(prefix)),
            "sqs" => aws::sqs(r, place, prefix),
            _ => Self::Embedded,
        }
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
            STORE.kind,
            &["embedded", "redis", "dynamodb"],
            "Where sessions, webhooks and API keys are: `embedded` is in `data_dir`, for one process; `redis` and `dynamodb` (Amazon) are for any number of machines.",
        );
        let redis = redis::read(r, kind, &STORE);
        let prefix = r.text(Text::new(
            "store.prefix",
            PREFIX,
            "For `redis`: what is before every key, so that installations can share a server.",
        ));
        STORE.only_for(r, kind, &["redis"], &["store.prefix"]);
        let place = aws::read(r, kind, &STORE);
        let table = r.text(Text::new("store.table", PREFIX, "For `dynamodb`: the table."));
        STORE.only_for(r, kind, &["dynamodb"], &["store.table"]);
        match kind {
            "redis" => Self::Redis(redis.with_prefix(prefix)),
            "dynamodb" => aws::dynamodb(r, place, table),
            _ => Self::Embedded,
        }
    }
}

/// The keys that both tables have, under their own names.
struct Keys {
    kind: &'static str,
    /// The kind that is Amazon's.
    amazon: &'static str,
    url: &'static str,
    allow_volatile: &'static str,
    region: &'static str,
    endpoint_url: &'static str,
}

const QUEUE: Keys = Keys {
    kind: "queue.kind",
    amazon: "sqs",
    url: "queue.url",
    allow_volatile: "queue.allow_volatile",
    region: "queue.region",
    endpoint_url: "queue.endpoint_url",
};
const STORE: Keys = Keys {
    kind: "store.kind",
    amazon: "dynamodb",
    url: "store.url",
    allow_volatile: "store.allow_volatile",
    region: "store.region",
    endpoint_url: "store.endpoint_url",
};

impl Keys {
    /// A table of another kind may have none of these.
    fn only_for(&self, r: &mut Reader<'_>, kind: &str, kinds: &[&str], keys: &[&str]) {
        if kinds.contains(&kind) {
            return;
        }
        let kinds = kinds.iter().map(|kind| format!("\"{kind}\"")).collect::<Vec<_>>().join(" or ");
        for key in keys.iter().filter(|key| r.is_given(key)).collect::<Vec<_>>() {
            r.problem(format!("{key}: is for {} = {kinds}, which is \"{kind}\"", self.kind));
        }
    }
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
             store.kind and queue.kind to \"redis\", or to \"dynamodb\" and \"sqs\", or run `muster serve`, which does \
             everything in one process"
        ));
    }
}
