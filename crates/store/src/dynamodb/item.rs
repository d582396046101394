//! Between what we store and DynamoDB's items.
//!
//! Attribute names are short, and none is one of DynamoDB's 573 reserved words, so that expressions can name them.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use muster_session::{BotId, EndpointId, TenantId, Timestamp, TranscriptId, WorkerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::StoreError;

pub(super) type Item = HashMap<String, AttributeValue>;

/// Over so many keys each index is spread, so that none takes all the load. Released tables have it in their keys.
pub(super) const SHARDS: u8 = 8;
/// Parts of a key that come from outside are hashed beyond this; DynamoDB takes 1,024 bytes of sort key.
const LONGEST_PART_BYTES: usize = 200;

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    pub(super) fn record(bot: BotId) -> Self {
        Self::new(of_bot(bot), RECORD)
    }

    pub(super) fn lease(bot: BotId) -> Self {
        Self::new(of_bot(bot), LEASE)
    }

    pub(super) fn delivery(bot: BotId, sequence: u64, id: u64) -> Self {
        Self::new(of_bot(bot), format!("{DELIVERY}{sequence:020}#{id:020}"))
    }

    pub(super) fn log(bot: BotId, kind: &str, key: &str) -> Self {
        Self::new(of_bot(bot), format!("{}{}", log_prefix(kind), bounded(key)))
    }

    /// Says where a delivery is.
    pub(super) fn delivery_id(id: u64) -> Self {
        Self::new(format!("delivery#{id}"), "at")
    }

    /// Says whose a transcript is.
    pub(super) fn transcript(id: TranscriptId) -> Self {
        Self::new(format!("transcript#{id}"), "at")
    }

    /// Says whose an id elsewhere is.
    pub(super) fn remote(source: &str, id: &str) -> Self {
        // The length keeps apart what a separator in a name would mix up.
        Self::new(format!("remote#{}#{}#{}", source.len(), bounded(source), bounded(id)), "at")
    }

    /// Deliveries of a bot that are still to be made items of their own: before those that are.
    pub(super) fn fan(bot: BotId, sequence: u64, id: u64) -> Self {
        Self::new(of_bot(bot), format!("{DELIVERY}!{sequence:020}#{id:020}"))
    }

    pub(super) fn endpoint(id: EndpointId) -> Self {
        Self::new(format!("endpoint#{id}"), "at")
    }

    /// Among those of its tenant.
    pub(super) fn endpoint_of(tenant: &TenantId, id: EndpointId) -> Self {
        Self::new(endpoints_of(tenant), id.to_string())
    }

    /// A webhook that came in.
    pub(super) fn received(key: &str) -> Self {
        Self::new(format!("inbox#{}", bounded(key)), "at")
    }

    /// Binds an idempotency key.
    pub(super) fn idempotency(tenant: &TenantId, key: &str) -> Self {
        Self::bound("idempotency", tenant, key)
    }

    /// Binds a deduplication key.
    pub(super) fn deduplication(tenant: &TenantId, key: &str) -> Self {
        Self::bound("deduplication", tenant, key)
    }

    fn bound(kind: &str, tenant: &TenantId, key: &str) -> Self {
        // The length keeps apart what a separator in a name would mix up.
        let tenant = tenant.as_str();
        Self::new(format!("{kind}#{}#{}#{}", tenant.len(), bounded(tenant), bounded(key)), "at")
    }

    pub(super) fn outbox(id: u64) -> Self {
        Self::new(outbox_partition(u8::try_from(id % u64::from(SHARDS)).unwrap_or_default()), format!("{id:020}"))
    }

    pub(super) fn api_key(hash: &str) -> Self {
        Self::new(API_KEYS, bounded(hash))
    }

    pub(super) fn lead(name: &str) -> Self {
        Self::new(format!("lead#{}", bounded(name)), "at")
    }

    pub(super) fn worker(id: &WorkerId) -> Self {
        Self::new(WORKERS, bounded(id.as_str()))
    }

    /// What a tenant has of the fleet.
    pub(super) fn load(tenant: &TenantId) -> Self {
        Self::new(loads_partition(shard_of(tenant.as_str())), bounded(tenant.as_str()))
    }

    /// A place in a tenant's line.
    pub(super) fn in_line(tenant: &TenantId, since: Timestamp, bot: BotId) -> Self {
        Self::new(line_of(tenant), time_key(since, bot))
    }

    pub(super) fn document(name: &str) -> Self {
        Self::new(format!("document#{}", bounded(name)), "at")
    }

    pub(super) fn schema() -> Self {
        Self::new("meta", "schema")
    }

    pub(super) fn of(item: &Item) -> Result<Self, StoreError> {
        Ok(Self::new(text(item, "pk")?, text(item, "sk")?))
    }

    pub(super) fn into_item(self) -> Item {
        HashMap::from([("pk".to_owned(), s(self.pk)), ("sk".to_owned(), s(self.sk))])
    }
}

/// Sort keys of a bot's items. The first two are read together.
const RECORD: &str = "s#record";
const LEASE: &str = "s#lease";
pub(super) const SESSION: &str = "s#";
pub(super) const DELIVERY: &str = "d#";
pub(super) const LOG: &str = "l#";
pub(super) const API_KEYS: &str = "keys";
pub(super) const WORKERS: &str = "workers";

pub(super) fn of_bot(bot: BotId) -> String {
    format!("bot#{bot}")
}

/// The bot of an item that is one of a bot's.
pub(super) fn bot_of(item: &Item) -> Result<BotId, StoreError> {
    parse("the key of a bot", text(item, "pk")?.strip_prefix("bot#").unwrap_or_default())
}

pub(super) fn log_prefix(kind: &str) -> String {
    format!("{LOG}{}#{}#", kind.len(), bounded(kind))
}

pub(super) fn endpoints_of(tenant: &TenantId) -> String {
    format!("endpoints#{}", bounded(tenant.as_str()))
}

pub(super) fn loads_partition(shard: u8) -> String {
    format!("load#{shard}")
}

pub(super) fn line_of(tenant: &TenantId) -> String {
    format!("line#{}", bounded(tenant.as_str()))
}

pub(super) fn outbox_partition(shard: u8) -> String {
    format!("outbox#{shard}")
}

/// The shard of everything that is a bot's.
pub(super) fn shard(bot: BotId) -> String {
    // The last bytes of an id are random, in every version that we make.
    let [.., last] = bot.as_uuid().into_bytes();
    (last % SHARDS).to_string()
}

/// The shard of what is known by a text.
pub(super) fn shard_of(text: &str) -> u8 {
    Sha256::digest(text.as_bytes())[0] % SHARDS
}

/// Sorts as the times do, and among equal ones by bot.
pub(super) fn time_key(at: Timestamp, bot: BotId) -> String {
    timed(at, &bot.as_uuid().simple().to_string())
}

/// The same for something else than a bot.
pub(super) fn timed(at: Timestamp, what: &str) -> String {
    format!("{}#{}", time_prefix(at), bounded(what))
}

/// Comes before every [`time_key`] of this time, and after all of earlier ones.
pub(super) fn time_prefix(at: Timestamp) -> String {
    // The earliest time that can be written down, year 1, is zero.
    format!("{:015}", at.as_millis() - Timestamp::from_millis(i64::MIN).as_millis())
}

/// Comes after every [`time_key`] up to this time.
pub(super) fn time_end(at: Timestamp) -> String {
    format!("{}#~", time_prefix(at))
}

fn bounded(part: &str) -> String {
    if part.len() <= LONGEST_PART_BYTES && !part.starts_with("sha256:") {
        return part.to_owned();
    }
    let digest = Sha256::digest(part.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// An item that says only which bot.
pub(super) fn pointer(key: Key, bot: BotId) -> Item {
    let mut item = key.into_item();
    item.insert("bot".into(), s(bot.to_string()));
    item
}

pub(super) fn maybe_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str, StoreError> {
    maybe_text(item, name).ok_or_else(|| corrupt(name, "it is not there"))
}

pub(super) fn maybe_number<T: FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(super) fn number<T: FromStr>(item: &Item, name: &str) -> Result<T, StoreError> {
    maybe_number(item, name).ok_or_else(|| corrupt(name, "it is not there"))
}

pub(super) fn time(item: &Item, name: &str) -> Result<Timestamp, StoreError> {
    number(item, name).map(Timestamp::from_millis)
}

pub(super) fn to_json(value: &impl Serialize) -> AttributeValue {
    s(serde_json::to_string(value).expect("what is stored is plain data with text keys"))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, item: &Item, name: &str) -> Result<T, StoreError> {
    serde_json::from_str(text(item, name)?).map_err(|error| corrupt(what, error))
}

pub(super) fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(what, error))
}

pub(super) fn corrupt(what: &str, error: impl Display) -> StoreError {
    StoreError::Corrupt { detail: format!("{what}: {error}") }
}

/// The size that DynamoDB limits, or a little more.
pub(super) fn bytes(item: &Item) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        _ => 1,
    };
    item.iter().map(|(name, of)| name.len() + value(of)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_apart_what_is_not_the_same() {
        let key = |tenant: &str, key: &str| Key::idempotency(&TenantId::new(tenant), key);
        assert_ne!(key("a#b", "c"), key("a", "b#c"));
        assert_ne!(key("a", "x"), Key::deduplication(&TenantId::new("a"), "x"));
        let long = "k".repeat(5_000);
        assert!(key(&long, &long).pk.len() < 500);
        assert_ne!(key("a", &long), key("a", &bounded(&long)), "nobody can choose the key of another");
        let bot = BotId::from_uuid(uuid::Uuid::nil());
        assert_ne!(Key::log(bot, "a#b", "c"), Key::log(bot, "a", "b#c"));
        assert!(Key::log(bot, &long, &long).sk.len() < 1_024);
    }

    #[test]
    fn time_keys_sort_as_times() {
        let bot = BotId::from_uuid(uuid::Uuid::max());
        let times = [i64::MIN, -1, 0, 1, 1_790_000_000_000, i64::MAX].map(Timestamp::from_millis);
        let keys = times.map(|at| [time_prefix(at), time_key(at, bot), time_end(at)]).concat();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(keys.iter().all(|key| key.as_bytes()[..15].iter().all(u8::is_ascii_digit)), "{keys:?}");
    }
}
