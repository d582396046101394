//! API keys: made here, known afterwards only by their hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_session::{TenantId, Timestamp};
use muster_store::ApiKey;
use sha2::{Digest, Sha256};

/// The tenant of a fresh installation.
pub const DEFAULT_TENANT: &str = "default";
/// Longest key that is looked up.
pub const MAX_BYTES: usize = 512;
/// What the name of a tenant has.
pub const TENANT_NAME: &str = "1 to 64 letters, digits, - and _";
const TENANT_CHARS: usize = 64;
/// How much of a key is kept to recognise it by, at most: of a short one, a third.
pub const PREFIX_CHARS: usize = 12;
const ID_PREFIX: &str = "key_";
/// Hexadecimal digits of an id.
const ID_CHARS: usize = 16;

/// A new random key: 256 bits behind a recognisable prefix.
pub fn generate() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("mst_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Hex SHA-256. Keys are random and long, so a plain fast hash is enough.
#[must_use]
pub fn hash(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a tenant can be called so, here and in the configuration.
#[must_use]
pub fn is_tenant_name(name: &str) -> bool {
    (1..=TENANT_CHARS).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// What a key is called where it must not be said. Neither the key nor its hash can be told from it.
#[must_use]
pub fn id(key: &ApiKey) -> String {
    id_of_hash(&key.hash)
}

/// The [`id`] of what is sent as a key.
#[must_use]
pub fn id_of(key: &str) -> String {
    id_of_hash(&hash(key))
}

fn id_of_hash(hashed: &str) -> String {
    format!("{ID_PREFIX}{}", &hash(hashed)[..ID_CHARS])
}

/// Whether this may be an [`id`].
#[must_use]
pub fn is_id(text: &str) -> bool {
    let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    text.strip_prefix(ID_PREFIX).is_some_and(|rest| rest.len() == ID_CHARS && rest.chars().all(digit))
}

/// The record of a key.
#[must_use]
pub fn record(key: &str, tenant: TenantId, name: &str, now: Timestamp) -> ApiKey {
    ApiKey {
        hash: hash(key),
        tenant,
        name: name.to_owned(),
        prefix: key.chars().take(PREFIX_CHARS.min(key.chars().count() / 3)).collect(),
        created_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_their_hash_is_sha256() {
        assert_ne!(generate().unwrap(), generate().unwrap());
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_key_is_recognised_by_little_of_it() {
        let record = |key: &str| record(key, TenantId::new("a"), "", Timestamp::from_millis(0));
        let key = generate().unwrap();
        assert_eq!(record(&key).prefix, key[..12]);
        assert_eq!(record("password").prefix, "pa");
        assert_eq!(record("ééé").prefix, "é");
        assert_eq!(id(&record("abc")), "key_dfe7a23fefeea519", "made of the hash of the hash");
        assert_eq!(id_of("abc"), id(&record("abc")));
        assert_ne!(id_of("abc"), id_of("abd"));
        assert!(is_id(&id_of("abc")));
        for no in
            ["", "key_", "key_dfe7a23fefeea51", "key_dfe7a23fefeea5190", "key_DFE7A23FEFEEA519", "mst_dfe7a23fefeea519"]
        {
            assert!(!is_id(no), "{no}");
        }
    }

    #[test]
    fn tenants_have_names() {
        let longest = "x".repeat(64);
        for good in ["default", "Acme_2-eu", "7", &longest] {
            assert!(is_tenant_name(good), "{good}");
        }
        for bad in ["", "a b", "a.b", "a/b", "é", "a\n", &format!("{longest}x")] {
            assert!(!is_tenant_name(bad), "{bad}");
        }
    }
}
