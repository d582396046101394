//! The operator's key, without which nobody could make others.

use std::ffi::OsString;

use anyhow::Context;
use muster_session::{TenantId, Timestamp};
use muster_store::SessionStore;

use crate::keys;

/// What a key is called that was given to the server.
const GIVEN: &str = "MUSTER_API_KEY";
/// What a key is called that the server made.
const MADE: &str = "first start";
const SHORTEST: usize = 8;

/// A key that requests can send, of what was given; white space around it is not of it, and nothing else is no key.
pub(super) fn given(value: Option<OsString>) -> anyhow::Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    let wanted = format!("{GIVEN}: expected {SHORTEST} to {} ASCII characters and no space", keys::MAX_BYTES);
    let key = value.to_str().with_context(|| format!("{wanted}, got what is not UTF-8"))?.trim();
    if key.is_empty() {
        return Ok(None);
    }
    anyhow::ensure!(key.bytes().all(|byte| byte.is_ascii_graphic()), "{wanted}, got others too");
    anyhow::ensure!((SHORTEST..=keys::MAX_BYTES).contains(&key.len()), "{wanted}, got {}", key.len());
    Ok(Some(key.to_owned()))
}

/// A given key is made valid; without one, an installation that the operator has no key of gets one, which the caller shows once.
pub(super) async fn ensure(
    store: &dyn SessionStore,
    now: Timestamp,
    given: Option<String>,
) -> anyhow::Result<Option<String>> {
    let tenant = TenantId::new(keys::DEFAULT_TENANT);
    if let Some(key) = given {
        let known = store.key_by_hash(&keys::hash(&key)).await.context("reading the API key")?;
        // One that is known keeps its time, and nothing else: an older build may have kept more of it.
        let since = known.as_ref().filter(|known| known.tenant == tenant).map_or(now, |known| known.created_at);
        let record = keys::record(&key, tenant, GIVEN, since);
        if known.as_ref() != Some(&record) {
            store.put_key(&record).await.context("storing the API key")?;
        }
        tracing::info!(key = keys::id(&record), "{GIVEN} is a key of the operator");
        return Ok(None);
    }
    if store.keys().await.context("reading the API keys")?.iter().any(|key| key.tenant == tenant) {
        return Ok(None);
    }
    let key = keys::generate().context("making an API key")?;
    store.put_key(&keys::record(&key, tenant, MADE, now)).await.context("storing the API key")?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use muster_store::ApiKey;
    use muster_store::memory::MemoryStore;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    async fn known(store: &MemoryStore) -> Vec<(String, String, Timestamp)> {
        let keys = store.keys().await.unwrap().into_iter();
        keys.map(|key| (key.name, key.tenant.to_string(), key.created_at)).collect()
    }

    #[tokio::test]
    async fn a_given_key_is_valid_and_keeps_its_time() {
        let store = MemoryStore::new();
        let given = || Some("secret-key-of-mine".to_owned());
        for second in 1..3 {
            assert_eq!(ensure(&store, at(second), given()).await.unwrap(), None);
        }
        // Another one leaves it valid.
        ensure(&store, at(3), Some("another-key-of-mine".to_owned())).await.unwrap();
        let want = [1, 3].map(|second| (GIVEN.to_owned(), "default".to_owned(), at(second)));
        assert_eq!(known(&store).await, want);
    }

    #[test]
    fn a_given_key_can_be_sent() {
        let key = |value: &[u8]| given(Some(OsString::from_vec(value.to_vec())));
        assert_eq!(given(None).unwrap(), None);
        for nothing in ["", " \n"] {
            assert_eq!(key(nothing.as_bytes()).unwrap(), None);
        }
        let longest = "x".repeat(512);
        for good in ["12345678", "se/cret:key~", &longest] {
            for around in [good.to_owned(), format!(" {good}\r\n")] {
                assert_eq!(key(around.as_bytes()).unwrap().as_deref(), Some(good));
            }
        }
        for (bad, got) in [
            (&b"1234567"[..], "7"),
            (b"1234567\n", "7"),
            (format!("{longest}x").as_bytes(), "513"),
            ("schlüssel".as_bytes(), "others too"),
            (b"two words", "others too"),
            (b"1234\n5678", "others too"),
            (b"12345678\xff", "what is not UTF-8"),
        ] {
            let error = key(bad).unwrap_err().to_string();
            assert_eq!(error, format!("MUSTER_API_KEY: expected 8 to 512 ASCII characters and no space, got {got}"));
        }
    }

    #[tokio::test]
    async fn of_a_given_key_no_more_is_kept_than_of_others() {
        let store = MemoryStore::new();
        let record = keys::record("password", TenantId::new("default"), GIVEN, at(1));
        store.put_key(&ApiKey { prefix: "password".to_owned(), ..record.clone() }).await.unwrap();
        ensure(&store, at(2), Some("password".to_owned())).await.unwrap();
        assert_eq!(store.keys().await.unwrap(), [record]);
    }

    #[tokio::test]
    async fn a_given_key_is_the_operators_whosever_it_was() {
        let store = MemoryStore::new();
        store.put_key(&keys::record("secret-key-of-mine", TenantId::new("acme"), "ci", at(1))).await.unwrap();
        ensure(&store, at(2), Some("secret-key-of-mine".to_owned())).await.unwrap();
        assert_eq!(known(&store).await, [(GIVEN.to_owned(), "default".to_owned(), at(2))]);
    }

    #[tokio::test]
    async fn a_key_is_made_when_the_operator_has_none() {
        let store = MemoryStore::new();
        let made = ensure(&store, at(1), None).await.unwrap().unwrap();
        assert_eq!(ensure(&store, at(2), None).await.unwrap(), None);
        store.put_key(&keys::record("of-a-tenant", TenantId::new("acme"), "ci", at(3))).await.unwrap();
        store.delete_key(&keys::hash(&made)).await.unwrap();
        assert!(ensure(&store, at(4), None).await.unwrap().is_some(), "a tenant's key makes no operator");
    }
}
