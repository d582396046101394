//! What is looked at before a server is used.

use redis::{ErrorKind, InfoDict, Script, ServerErrorKind, cmd};

use crate::error::Place;
use crate::{Error, Link, OpenError};

/// The oldest major version: lag of consumer groups, and effects of scripts that are replicated one by one.
const NEEDED: u32 = 7;
/// Of a server that does not answer `INFO`.
const UNKNOWN: &str = "redis does not say how it is set up: it has to be version 7 or newer, with `appendonly yes`, and \
                       without a `maxmemory-policy` of `allkeys-*`, or acknowledged writes may be lost";

/// How a server is set up, as far as it says.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Empty if it does not say.
    pub(crate) version: String,
    /// None if it does not answer `INFO`, and then the rest is not known either.
    pub(crate) appendonly: Option<bool>,
    pub(crate) appendfsync: Option<String>,
    pub(crate) policy: Option<String>,
    /// If there is a `maxmemory`, so that the policy matters.
    pub(crate) bounded: bool,
}

pub(crate) async fn facts(link: &Link) -> Result<Facts, Error> {
    let info: InfoDict = match link.run(&cmd("INFO")).await {
        Ok(info) => info,
        Err(error) if is_forbidden(&error) => return Ok(Facts::default()),
        Err(error) => return Err(error),
    };
    let appendonly = info.get::<u8>("aof_enabled") == Some(1);
    Ok(Facts {
        version: info.get("redis_version").unwrap_or_default(),
        appendonly: Some(appendonly),
        appendfsync: if appendonly { appendfsync(link).await? } else { None },
        policy: info.get("maxmemory_policy"),
        bounded: info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0),
    })
}

/// How often the append-only file reaches the disk; none if the server does not say.
async fn appendfsync(link: &Link) -> Result<Option<String>, Error> {
    let answer: Result<Vec<String>, Error> = link.run(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
    match answer {
        Ok(pair) => Ok(pair.into_iter().nth(1)),
        Err(error) if is_forbidden(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Managed servers do not have every command, or do not let everybody use it.
fn is_forbidden(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
}

/// Refuses what would lose data, and names what may.
pub(crate) fn judge(facts: &Facts, place: &Place<'_>) -> Result<Vec<String>, OpenError> {
    let Some(appendonly) = facts.appendonly else { return Ok(vec![UNKNOWN.to_owned()]) };
    let major = facts.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < NEEDED) {
        let (setting, found) = (place.setting("url"), facts.version.clone());
        return Err(OpenError::TooOld { setting, found, needed: NEEDED });
    }
    let mut losses = Vec::new();
    let mut warnings = Vec::new();
    match appendonly.then_some(facts.appendfsync.as_deref()) {
        Some(Some("always")) => {}
        Some(Some("everysec")) => warnings.push(
            "redis has `appendfsync everysec`: up to 1 s of acknowledged writes may be lost at a power loss".to_owned(),
        ),
        Some(None) => warnings.push(
            "redis does not say its `appendfsync`: unless it is `always`, acknowledged writes may be lost at a power loss".to_owned(),
        ),
        Some(Some(other)) => {
            losses.push(format!("redis has `appendfsync {other}`: it loses what the system did not write yet"));
        }
        None => losses.push("redis has `appendonly no`: it loses acknowledged writes when it ends".to_owned()),
    }
    // The other policies evict only keys that expire, and none of ours does.
    let policy = facts.policy.as_deref().filter(|policy| facts.bounded && policy.starts_with("allkeys-"));
    if let Some(policy) = policy {
        losses.push(format!("redis has `maxmemory-policy {policy}`: it drops keys when memory is short"));
    }
    if !place.settings.allow_volatile && !losses.is_empty() {
        return Err(OpenError::Volatile { detail: losses.join("; "), setting: place.setting("allow_volatile") });
    }
    losses.append(&mut warnings);
    Ok(losses)
}

/// Writes the version if there is none, and refuses another. Also refuses a user who may not write, and a server that takes
/// no writes: removing a key that is never there changes nothing, and needs both.
pub(crate) async fn claim(link: &Link, place: &Place<'_>, key: &str, known: u32) -> Result<(), OpenError> {
    let script = Script::new(
        "local found = redis.call('GET', KEYS[1])
         if found and found ~= ARGV[1] then return found end
         redis.call('UNLINK', KEYS[2])
         if not found then redis.call('SET', KEYS[1], ARGV[1]) end
         return ARGV[1]",
    );
    let mut script = script.key(key);
    script.key(format!("{key}:never")).arg(known);
    let found: String = link.script(&script).await.map_err(|error| place.failed(error))?;
    schema(&found, known, place)
}

/// Refuses another version.
pub(crate) fn schema(found: &str, known: u32, place: &Place<'_>) -> Result<(), OpenError> {
    if found == known.to_string() {
        return Ok(());
    }
    Err(OpenError::Schema { found: found.to_owned(), known, setting: place.setting("prefix") })
}

#[cfg(test)]
mod tests {
    use super::{Facts, judge};
    use crate::error::Place;
    use crate::{OpenError, Settings};

    fn judged(fsync: Option<Option<&str>>, policy: Option<&str>, allow: bool) -> Result<Vec<String>, OpenError> {
        let settings = Settings { url: "redis://h".into(), prefix: "muster".into(), allow_volatile: allow };
        let facts = Facts {
            version: "7.2.0".into(),
            appendonly: Some(fsync.is_some()),
            appendfsync: fsync.flatten().map(str::to_owned),
            policy: policy.map(str::to_owned),
            bounded: policy.is_some(),
        };
        judge(&facts, &Place { settings: &settings, section: "store" })
    }

    #[test]
    fn what_loses_acknowledged_writes_is_refused_unless_allowed() {
        for (fsync, policy, part) in [
            (None, None, "appendonly no"),
            (Some(Some("no")), None, "appendfsync no"),
            (Some(Some("always")), Some("allkeys-lru"), "allkeys-lru"),
        ] {
            let refused = judged(fsync, policy, false).unwrap_err();
            assert!(matches!(&refused, OpenError::Volatile { detail, .. } if detail.contains(part)), "{refused:?}");
            assert!(refused.to_string().contains("`store.allow_volatile`"), "{refused}");
            assert!(judged(fsync, policy, true).is_ok_and(|warnings| warnings[0].contains(part)));
        }
    }

    #[test]
    fn what_may_lose_a_second_is_named() {
        assert_eq!(judged(Some(Some("always")), Some("noeviction"), false).ok(), Some(Vec::new()));
        assert_eq!(judged(Some(Some("always")), Some("volatile-lru"), false).ok(), Some(Vec::new()));
        assert!(judged(Some(Some("everysec")), None, false).is_ok_and(|warnings| warnings[0].contains("up to 1 s")));
        assert!(judged(Some(None), None, false).is_ok_and(|warnings| warnings.len() == 1));
    }
}
