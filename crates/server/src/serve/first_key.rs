//! The operator's key, without which nobody could make others.

use anyhow::Context;
use muster_session::{TenantId, Timestamp};
use muster_store::SessionStore;

use crate::keys;

/// What a key is called that was given to the server.
const GIVEN: &str = "MUSTER_API_KEY";
/// What a key is called that the server made.
const MADE: &str = "first start";
const SHORTEST: usize = 8;

/// A given key is made valid; without one, an installation that the operator has no key of gets one, which the caller shows once.
pub(super) async fn ensure(
    store: &dyn SessionStore,
    now: Timestamp,
    given: Option<String>,
) -> anyhow::Result<Option<String>> {
    let tenant = TenantId::new(keys::DEFAULT_TENANT);
    if let Some(key) = given {
        anyhow::ensure!(key.len() >= SHORTEST, "{GIVEN}: expected at least {SHORTEST} characters, got {}", key.len());
        let known = store.key_by_hash(&keys::hash(&key)).await.context("reading the API key")?;
        // One that is known keeps its time: it says which is the older of two.
        if known.is_none_or(|known| known.tenant != tenant) {
            store.put_key(&keys::record(&key, tenant, GIVEN, now)).await.context("storing the API key")?;
        }
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
        let error = ensure(&store, at(4), Some("1234567".to_owned())).await.unwrap_err().to_string();
        assert_eq!(error, "MUSTER_API_KEY: expected at least 8 characters, got 7");
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
