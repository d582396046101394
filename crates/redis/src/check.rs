//! What is looked at before a server is used.

use redis::{ErrorKind, InfoDict, Script, ServerErrorKind, cmd};

use crate::{Error, Link, OpenError};

/// The oldest major version: lag of consumer groups, and effects of scripts that are replicated one by one.
const NEEDED: u32 = 7;
/// Of a server that does not answer `INFO`.
const UNKNOWN: &str = "redis does not say how it is set up: it has to be version 7 or newer, with `appendonly yes`, and \
                       without a `maxmemory-policy` of `allkeys-*`, or acknowledged writes may be lost";

/// Refuses what would lose data, and names what may.
pub(crate) async fn server(link: &Link, allow_volatile: bool) -> Result<Vec<String>, OpenError> {
    let info: InfoDict = match link.run(&cmd("INFO")).await {
        Ok(info) => info,
        Err(error) if is_forbidden(&error) => return Ok(vec![UNKNOWN.to_owned()]),
        Err(error) => return Err(error.into()),
    };
    let version: String = info.get("redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < NEEDED) {
        return Err(OpenError::TooOld { found: version, needed: NEEDED });
    }
    let fsync = if info.get::<u8>("aof_enabled") == Some(1) { Some(appendfsync(link).await?) } else { None };
    let policy: String = info.get("maxmemory_policy").unwrap_or_default();
    let bounded = info.get::<u64>("maxmemory").is_some_and(|bytes| bytes > 0);
    judge(fsync.as_ref().map(Option::as_deref), bounded.then_some(policy.as_str()), allow_volatile)
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

/// `fsync`: of the append-only file, if there is one (and if that is known). `policy`: of eviction, if memory is bounded.
fn judge(fsync: Option<Option<&str>>, policy: Option<&str>, allow_volatile: bool) -> Result<Vec<String>, OpenError> {
    let mut losses = Vec::new();
    let mut warnings = Vec::new();
    match fsync {
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
    if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys-")) {
        losses.push(format!("redis has `maxmemory-policy {policy}`: it drops keys when memory is short"));
    }
    if !allow_volatile && !losses.is_empty() {
        return Err(OpenError::Volatile { detail: losses.join("; ") });
    }
    losses.append(&mut warnings);
    Ok(losses)
}

/// Writes the version if there is none, and refuses another.
pub(crate) async fn schema(link: &Link, key: &str, known: u32, setting: &str) -> Result<(), OpenError> {
    let script = Script::new(
        "local found = redis.call('GET', KEYS[1])
         if not found then redis.call('SET', KEYS[1], ARGV[1]) end
         return found or ARGV[1]",
    );
    let found: String = link.script(script.key(key).arg(known)).await?;
    if found != known.to_string() {
        return Err(OpenError::Schema { found, known, setting: setting.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::OpenError;

    #[test]
    fn what_loses_acknowledged_writes_is_refused_unless_allowed() {
        for (fsync, policy, part) in [
            (None, None, "appendonly no"),
            (Some(Some("no")), None, "appendfsync no"),
            (Some(Some("always")), Some("allkeys-lru"), "allkeys-lru"),
        ] {
            let refused = judge(fsync, policy, false);
            assert!(matches!(&refused, Err(OpenError::Volatile { detail }) if detail.contains(part)), "{refused:?}");
            assert!(judge(fsync, policy, true).is_ok_and(|warnings| warnings[0].contains(part)));
        }
    }

    #[test]
    fn what_may_lose_a_second_is_named() {
        assert_eq!(judge(Some(Some("always")), Some("noeviction"), false).ok(), Some(Vec::new()));
        assert_eq!(judge(Some(Some("always")), Some("volatile-lru"), false).ok(), Some(Vec::new()));
        assert!(judge(Some(Some("everysec")), None, false).is_ok_and(|warnings| warnings[0].contains("up to 1 s")));
        assert!(judge(Some(None), None, false).is_ok_and(|warnings| warnings.len() == 1));
    }
}
