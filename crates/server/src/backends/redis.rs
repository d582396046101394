//! Redis.

use std::sync::Arc;

use muster_queue::{Queue, RedisQueue};
use muster_redis::{Inspection, OpenError, Settings};
use muster_store::{RedisStore, SessionStore};

use super::{Complaint, Opened, Seen};
use crate::chain::chain;

const DURABLE: &str =
    "set `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction` in redis.conf, or live with it";

pub(super) async fn open_store(settings: &Settings) -> anyhow::Result<Opened<dyn SessionStore>> {
    let (store, warnings) = RedisStore::open(settings).await?;
    let ahead_ms = store.clock_ahead_ms().await;
    Ok(Opened { backend: Arc::new(store), warnings, ahead_ms })
}

pub(super) async fn open_queue(settings: &Settings) -> anyhow::Result<Opened<dyn Queue>> {
    let (queue, warnings) = RedisQueue::open(settings).await?;
    Ok(Opened { backend: Arc::new(queue), warnings, ahead_ms: None })
}

pub(super) fn seen(inspected: Result<Inspection, OpenError>) -> Result<Seen, Complaint> {
    match inspected {
        Ok(it) => Ok(Seen {
            detail: detail(&it),
            warnings: it.warnings,
            remedy: DURABLE,
            round_trip: Some(it.round_trip),
            ahead_ms: Some(it.clock_ahead_ms),
        }),
        Err(error) => {
            let fix = fix(&error);
            Err(Complaint { error: chain(&error), fix })
        }
    }
}

fn detail(it: &Inspection) -> String {
    let or_unknown = |text: Option<&str>| text.unwrap_or("not told").to_owned();
    let appendonly = it.appendonly.map(|on| if on { "yes" } else { "no" });
    let mut text = format!("redis {} at {}, appendonly {}", it.version, it.address, or_unknown(appendonly));
    if it.appendonly == Some(true) {
        text.push_str(&[", appendfsync ", &or_unknown(it.appendfsync.as_deref())].concat());
    }
    text.push_str(&[", maxmemory-policy ", &or_unknown(it.maxmemory_policy.as_deref())].concat());
    text.push_str(if it.has_data { ", with data of this release" } else { ", without data yet" });
    text
}

fn fix(error: &OpenError) -> String {
    let text = match error {
        OpenError::BadUrl { .. } | OpenError::Foreign { .. } => "correct the address",
        OpenError::BadPrefix { .. } => "correct the prefix",
        OpenError::Unreachable { .. } => "start it, let this machine reach it, or correct the address",
        OpenError::Denied { .. } => {
            "correct user and password in the address, or give the user what it needs with ACL SETUSER"
        }
        OpenError::Refused { .. } => "name the primary, or wait until it has loaded its data",
        OpenError::TooOld { .. } => "upgrade it to Redis 7 or newer",
        OpenError::Volatile { .. } => DURABLE,
        OpenError::Schema { .. } => "use the release that wrote the data, or another prefix",
    };
    text.to_owned()
}
