//! Signatures on webhooks: [Standard Webhooks](https://www.standardwebhooks.com) and MeetStream's own header.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use muster_session::Timestamp;
use subtle::ConstantTimeEq;

use crate::mac::{Key, Tag, hex};

/// Same on every attempt at one message.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// Unix seconds of the attempt.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Signatures separated by blanks, each `v1,<base64>`.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// `sha256=<hex>` over the body alone.
pub const MEETSTREAM_SIGNATURE: HeaderName = HeaderName::from_static("x-meetstream-signature");
/// ISO 8601 time of the attempt, not signed.
pub const MEETSTREAM_TIMESTAMP: HeaderName = HeaderName::from_static("x-meetstream-timestamp");

/// How far a timestamp may be from the verifier's clock, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Base64 with or without its padding: services hand out both.
pub(crate) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Key sizes that Standard Webhooks allows.
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

/// A shared secret of the form `whsec_<base64>`, 24 to 64 bytes when decoded.
#[derive(Clone)]
pub struct SigningSecret {
    standard: Key,
    meetstream: Key,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}

/// Why a text is not a signing secret. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not base64.
    #[error("the signing secret must be base64 with the prefix whsec_")]
    NotBase64,
    /// Too short or too long.
    #[error("the signing secret must have {min} to {max} bytes when decoded, not {bytes}")]
    Length {
        /// What it has.
        bytes: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
}

/// Why a signed message is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is missing or unreadable.
    #[error("the header {header} is missing or unreadable")]
    Header {
        /// Its name.
        header: &'static str,
    },
    /// Too old or too new.
    #[error("the timestamp is more than five minutes from now")]
    Stale,
    /// No signature fits.
    #[error("no signature fits")]
    Mismatch,
}

/// Secrets that sign together: the newest first, and those that are on their way out. With none, nothing is signed.
#[derive(Clone, Debug, Default)]
pub struct Signer(Vec<SigningSecret>);

impl Signer {
    /// Of secrets in their order.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        secrets.into_iter().map(SigningSecret::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Of secrets separated by blanks.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        Self::of(text.split_whitespace())
    }

    /// Puts the signatures of a message and their timestamp into `headers`: one of each secret in `webhook-signature`. The
    /// header of MeetStream has room for one: the newest secret's.
    pub fn sign(&self, headers: &mut HeaderMap, id: &str, at: Timestamp, body: &[u8]) {
        let Some(newest) = self.0.first() else { return };
        let seconds = at.as_millis().div_euclid(1000);
        let all: Vec<String> = self.0.iter().map(|secret| secret.standard(id, seconds, body)).collect();
        let ascii = |text: String| HeaderValue::try_from(text).expect("base64, hex and RFC 3339 are visible ASCII");
        headers.insert(SIGNATURE, ascii(all.join(" ")));
        headers.insert(MEETSTREAM_SIGNATURE, ascii(newest.meetstream(body)));
        headers.insert(MEETSTREAM_TIMESTAMP, ascii(at.to_rfc3339()));
    }
}

impl SigningSecret {
    /// Reads `whsec_<base64>`; the prefix may be left out.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let key = decode(text, KEY_BYTES)?;
        Ok(Self { standard: Key::new(&key), meetstream: Key::new(text.as_bytes()) })
    }

    /// The value of `webhook-signature`: over id, Unix seconds and body.
    #[must_use]
    pub fn standard(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.standard_mac(id, seconds, body)))
    }

    /// The value of `x-meetstream-signature`: over the body alone, keyed with the characters of the secret as they are,
    /// which is what MeetStream's receivers compute.
    #[must_use]
    pub fn meetstream(&self, body: &[u8]) -> String {
        format!("sha256={}", hex(&self.meetstream.tag(&[body])))
    }

    /// Checks the Standard Webhooks headers of a received message; of several signatures one must fit.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), VerifyError> {
        let id = header(headers, &ID, "webhook-id")?;
        let seconds: i64 = header(headers, &TIMESTAMP, "webhook-timestamp")?
            .parse()
            .map_err(|_| VerifyError::Header { header: "webhook-timestamp" })?;
        let signatures = header(headers, &SIGNATURE, "webhook-signature")?;
        let at = Timestamp::from_millis(seconds.saturating_mul(1000));
        if now.since(at) > TOLERANCE || at.since(now) > TOLERANCE {
            return Err(VerifyError::Stale);
        }
        let want = self.standard_mac(id, seconds, body);
        let fits = signatures
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
            .any(|got| bool::from(got.ct_eq(&want)));
        if fits { Ok(()) } else { Err(VerifyError::Mismatch) }
    }

    /// Checks a value of `x-meetstream-signature`.
    pub fn verify_meetstream(&self, value: &str, body: &[u8]) -> Result<(), VerifyError> {
        let want = self.meetstream(body);
        let fits = value.trim().to_ascii_lowercase().as_bytes().ct_eq(want.as_bytes());
        if bool::from(fits) { Ok(()) } else { Err(VerifyError::Mismatch) }
    }

    fn standard_mac(&self, id: &str, seconds: i64, body: &[u8]) -> Tag {
        self.standard.tag(&[id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body])
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &'static str) -> Result<&'a str, VerifyError> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(VerifyError::Header { header: shown })
}

/// The secret `whsec_…` of random bytes.
#[must_use]
pub fn secret_of(bytes: &[u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}

/// Reads `whsec_<base64>`; prefix and padding may be left out.
pub(crate) fn decode(text: &str, bytes: RangeInclusive<usize>) -> Result<Vec<u8>, SecretError> {
    let key = LENIENT.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| SecretError::NotBase64)?;
    if bytes.contains(&key.len()) {
        Ok(key)
    } else {
        Err(SecretError::Length { bytes: key.len(), min: *bytes.start(), max: *bytes.end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const MESSAGE: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const SECONDS: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

    fn signed(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ID, HeaderValue::from_static(MESSAGE));
        headers.insert(TIMESTAMP, HeaderValue::from(SECONDS));
        headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
        headers
    }

    #[test]
    fn the_published_vector_comes_out() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        assert_eq!(secret.standard(MESSAGE, SECONDS, BODY), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        let bare = SigningSecret::parse(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(bare.standard(MESSAGE, SECONDS, BODY), secret.standard(MESSAGE, SECONDS, BODY));
    }

    #[test]
    fn the_meetstream_header_is_hex_over_the_body_keyed_with_the_secret_as_text() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let want = hex(&Key::new(SECRET.as_bytes()).tag(&[BODY]));
        assert_eq!(secret.meetstream(BODY), format!("sha256={want}"));
        assert_eq!(secret.verify_meetstream(&secret.meetstream(BODY).to_uppercase(), BODY), Ok(()));
        assert_eq!(secret.verify_meetstream(&secret.meetstream(BODY), b"{}"), Err(VerifyError::Mismatch));
        assert_eq!(secret.verify_meetstream("", BODY), Err(VerifyError::Mismatch));
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let now = Timestamp::from_millis(SECONDS * 1000);
        let good = secret.standard(MESSAGE, SECONDS, BODY);
        assert_eq!(secret.verify(&signed(&good), BODY, now), Ok(()));
        assert_eq!(secret.verify(&signed(&format!("v1,AAAA v2,x {good}")), BODY, now), Ok(()));
        assert_eq!(secret.verify(&signed(&good), b"{}", now), Err(VerifyError::Mismatch));
        assert_eq!(secret.verify(&signed("v1,AAAA"), BODY, now), Err(VerifyError::Mismatch));
        let other = SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(other.verify(&signed(&good), BODY, now), Err(VerifyError::Mismatch));
        for offset in [-301, 301] {
            let then = Timestamp::from_millis((SECONDS + offset) * 1000);
            assert_eq!(secret.verify(&signed(&good), BODY, then), Err(VerifyError::Stale), "{offset}");
        }
        let missing = secret.verify(&HeaderMap::new(), BODY, now);
        assert_eq!(missing, Err(VerifyError::Header { header: "webhook-id" }));
    }

    #[test]
    fn while_secrets_are_rotated_each_of_them_verifies() {
        let (new, old) = ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SECRET);
        let now = Timestamp::from_millis(SECONDS * 1000);
        let mut headers = signed("");
        Signer::parse(&format!(" {new}  {old}\n")).unwrap().sign(&mut headers, MESSAGE, now, BODY);
        let [new, old] = [new, old].map(|secret| SigningSecret::parse(secret).unwrap());
        for secret in [&new, &old] {
            assert_eq!(secret.verify(&headers, BODY, now), Ok(()));
        }
        let both = format!("{} {}", new.standard(MESSAGE, SECONDS, BODY), old.standard(MESSAGE, SECONDS, BODY));
        assert_eq!(headers[SIGNATURE], both);
        assert_eq!(headers[MEETSTREAM_SIGNATURE], new.meetstream(BODY));
        assert_eq!(headers[MEETSTREAM_TIMESTAMP], now.to_rfc3339());
        let mut unsigned = HeaderMap::new();
        Signer::parse(" ").unwrap().sign(&mut unsigned, MESSAGE, now, BODY);
        assert!(unsigned.is_empty());
    }

    #[test]
    fn secrets_are_checked_and_never_shown() {
        assert_eq!(SigningSecret::parse("whsec_!").unwrap_err(), SecretError::NotBase64);
        assert_eq!(SigningSecret::parse("whsec_AAAA").unwrap_err(), SecretError::Length { bytes: 3, min: 24, max: 64 });
        assert!(!format!("{:?}", SigningSecret::parse(SECRET).unwrap()).contains("C2FV"));
    }
}
