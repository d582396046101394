//! API keys: made here, known afterwards only by their hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_session::{TenantId, Timestamp};
use muster_store::ApiKey;
use sha2::{Digest, Sha256};

/// The tenant of a fresh installation.
pub const DEFAULT_TENANT: &str = "default";
/// How much of a key is kept to recognise it by.
const PREFIX_CHARS: usize = 8;

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

/// The record of a key.
#[must_use]
pub fn record(key: &str, tenant: TenantId, name: &str, now: Timestamp) -> ApiKey {
    ApiKey {
        hash: hash(key),
        tenant,
        name: name.to_owned(),
        prefix: key.chars().take(PREFIX_CHARS).collect(),
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
}
