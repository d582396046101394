//! Addresses that nobody can make up: where a service does not sign its webhooks, the address it was given vouches for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use muster_session::BotId;
use sha2::Sha256;
use url::Url;

type HmacSha256 = Hmac<Sha256>;

/// The address that webhooks of a source about this bot are to be sent to.
#[must_use]
pub fn callback(public_url: &Url, secret: &[u8], source: &str, bot: BotId) -> Url {
    let mut url = public_url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/webhooks/{source}"));
    let token = URL_SAFE_NO_PAD.encode(mac(secret, source, bot).finalize().into_bytes());
    url.query_pairs_mut().append_pair("bot", &bot.to_string()).append_pair("token", &token);
    url
}

/// Whether a token is that of the address of this source and bot. In constant time.
#[must_use]
pub fn verify(secret: &[u8], source: &str, bot: BotId, token: &str) -> bool {
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|token| mac(secret, source, bot).verify_slice(&token).is_ok())
}

fn mac(secret: &[u8], source: &str, bot: BotId) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(secret).expect("HMAC takes keys of any length");
    // The name has no line break, so the parts cannot be moved into each other; and no link to media begins so.
    mac.update(b"webhooks\n");
    mac.update(source.as_bytes());
    mac.update(b"\n");
    mac.update(bot.as_uuid().as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_vouches_for_its_source_and_bot_alone() {
        let bot = |number| BotId::from_uuid(uuid::Uuid::from_u128(number));
        let url = callback(&"https://muster.example/base/".parse().unwrap(), b"secret", "cloud", bot(7));
        assert!(url.as_str().starts_with("https://muster.example/base/webhooks/cloud?bot=00000000-"), "{url}");
        let token = url.query_pairs().find(|(name, _)| name == "token").unwrap().1.into_owned();
        assert!(verify(b"secret", "cloud", bot(7), &token));
        assert!(!verify(b"secret", "cloud", bot(8), &token));
        assert!(!verify(b"secret", "other", bot(7), &token));
        assert!(!verify(b"other", "cloud", bot(7), &token));
        for bad in ["", "zz", "é", "a", &token[1..], &format!("{token}00")] {
            assert!(!verify(b"secret", "cloud", bot(7), bad), "{bad}");
        }
    }
}
