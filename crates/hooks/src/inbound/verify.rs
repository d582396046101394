//! Signatures of webhooks that come in.

use std::borrow::Cow;

use base64::Engine as _;
use http::HeaderMap;
use muster_session::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::{Choice, ConstantTimeEq};

use super::{Content, Encoding, Generic, Kind, Secret, Source, canonical};
use crate::mac::{Tag, hex, unhex};
use crate::sign::LENIENT;

/// Signatures that are looked at in one header.
const MAX_SIGNATURES: usize = 16;
/// Longest body that is looked into for a challenge, in bytes.
const MAX_CHALLENGE: usize = 4_096;

/// A message that was signed with a secret of its source.
#[derive(Clone, Debug, PartialEq)]
pub enum Verified {
    /// It tells something.
    Event,
    /// It asks whether we are the one who knows the secret. This is the body of the answer.
    Challenge(Value),
}

/// Why a message is not to be believed. Tells its sender nothing of the secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is missing or unreadable.
    #[error("the header {header} is missing or unreadable")]
    Header {
        /// Its name.
        header: String,
    },
    /// The time of sending is too far from now.
    #[error("the time of sending is too far from now")]
    Stale,
    /// The body has to be read before its signature can be checked, and cannot be.
    #[error("the body cannot be read")]
    Body,
    /// No signature fits.
    #[error("no signature fits")]
    Mismatch,
}

impl Refusal {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Header { .. } => "header",
            Self::Stale => "stale",
            Self::Body => "body",
            Self::Mismatch => "mismatch",
        }
    }
}

/// What a message says of itself.
struct Claim<'a> {
    /// Stands before the body in what is signed.
    before: [&'a [u8]; 4],
    body: Cow<'a, [u8]>,
    signatures: Vec<Tag>,
    /// When it was sent, signed or not.
    at: Option<Timestamp>,
}

impl Source {
    /// Checks where a message comes from. One signature has to fit one of the secrets; how long that takes does not depend
    /// on which. Where the sender says when it sent the message, that must be near `now`; only some schemes sign it.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, Refusal> {
        let claim = self.claim(headers, body)?;
        if claim.at.is_some_and(|at| now.since(at) > self.tolerance || at.since(now) > self.tolerance) {
            return Err(Refusal::Stale);
        }
        let secret = claim.signed_with(&self.secrets).ok_or(Refusal::Mismatch)?;
        match &self.kind {
            Kind::Zoom => Ok(challenge(body, secret).map_or(Verified::Event, Verified::Challenge)),
            _ => Ok(Verified::Event),
        }
    }

    fn claim<'a>(&self, headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
        match &self.kind {
            Kind::MeetStream => meetstream(headers, body),
            Kind::Zoom => zoom(headers, body),
            Kind::Recall | Kind::Svix => standard(headers, body, true),
            Kind::Standard => standard(headers, body, false),
            Kind::Attendee => attendee(headers, body),
            Kind::Vexa => vexa(headers, body),
            Kind::Generic(generic) => generic.claim(headers, body),
        }
    }
}

impl Claim<'_> {
    /// The first secret that one of the signatures was made with. All are tried, whichever fits.
    fn signed_with<'s>(&self, secrets: &'s [Secret]) -> Option<&'s Secret> {
        let [a, b, c, d] = self.before;
        let fits = |secret: &Secret| {
            let want = secret.0.tag(&[a, b, c, d, &self.body]);
            self.signatures.iter().fold(Choice::from(0), |any, got| any | got.ct_eq(&want))
        };
        let fitting: Vec<Choice> = secrets.iter().map(fits).collect();
        fitting.into_iter().position(bool::from).map(|index| &secrets[index])
    }
}

/// `sha256=<hex>` over the body. The time is sent along, but not signed.
fn meetstream<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
    const TIMESTAMP: &str = "x-meetstream-timestamp";
    let signature = header(headers, "x-meetstream-signature")?;
    let at = if headers.contains_key(TIMESTAMP) { Some(time(headers, TIMESTAMP)?.1) } else { None };
    let signatures = unhex(strip(signature, "sha256=")).into_iter().collect();
    Ok(Claim { before: [b""; 4], body: body.into(), signatures, at })
}

/// `v0=<hex>` over `v0:<time>:<body>`.
fn zoom<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
    let signature = header(headers, "x-zm-signature")?;
    let (sent, at) = time(headers, "x-zm-request-timestamp")?;
    let signatures = signature.strip_prefix("v0=").and_then(unhex).into_iter().collect();
    Ok(Claim { before: [b"v0:", sent.as_bytes(), b":", b""], body: body.into(), signatures, at: Some(at) })
}

/// `v1,<base64>` over `<id>.<time>.<body>`, several divided by blanks.
fn standard<'a>(headers: &'a HeaderMap, body: &'a [u8], svix: bool) -> Result<Claim<'a>, Refusal> {
    let [id, timestamp, signature] = if svix && headers.contains_key("svix-id") {
        ["svix-id", "svix-timestamp", "svix-signature"]
    } else {
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
    };
    let identity = header(headers, id)?;
    // A full stop would make the division between the parts a guess.
    if identity.is_empty() || identity.contains('.') {
        return Err(missing(id));
    }
    let (sent, at) = time(headers, timestamp)?;
    let signatures = header(headers, signature)?
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|one| unbase64(one.strip_prefix("v1,")?))
        .collect();
    let before = [identity.as_bytes(), b".", sent.as_bytes(), b"."];
    Ok(Claim { before, body: body.into(), signatures, at: Some(at) })
}

/// Base64 over the body as Python would write it with sorted keys.
fn attendee<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
    let signatures = unbase64(header(headers, "x-webhook-signature")?).into_iter().collect();
    let body = canonical::json(body).ok_or(Refusal::Body)?;
    Ok(Claim { before: [b""; 4], body: body.into(), signatures, at: None })
}

/// `sha256=<hex>` over `<time>.<body>`.
fn vexa<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
    let signature = header(headers, "x-webhook-signature")?;
    let (sent, at) = time(headers, "x-webhook-timestamp")?;
    let signatures = unhex(strip(signature, "sha256=")).into_iter().collect();
    Ok(Claim { before: [sent.as_bytes(), b".", b"", b""], body: body.into(), signatures, at: Some(at) })
}

impl Generic {
    fn claim<'a>(&self, headers: &'a HeaderMap, body: &'a [u8]) -> Result<Claim<'a>, Refusal> {
        let signature = header(headers, &self.header)?;
        let signature = signature.strip_prefix(&*self.prefix).ok_or(Refusal::Mismatch)?;
        let signatures = match self.encoding {
            Encoding::Hex => unhex(signature),
            Encoding::Base64 => unbase64(signature),
        };
        let sent = self.timestamp_header.as_deref().map(|name| time(headers, name)).transpose()?;
        let at = sent.map(|(_, at)| at);
        let mut signed = Vec::new();
        if self.content == Content::IdTimestampBody {
            signed.extend_from_slice(self.part(headers, self.id_header.as_deref())?.as_bytes());
            signed.extend_from_slice(self.separator.as_bytes());
        }
        if self.content != Content::Body {
            signed.extend_from_slice(self.part(headers, self.timestamp_header.as_deref())?.as_bytes());
            signed.extend_from_slice(self.separator.as_bytes());
        }
        let body = if signed.is_empty() {
            body.into()
        } else {
            signed.extend_from_slice(body);
            signed.into()
        };
        Ok(Claim { before: [b""; 4], body, signatures: signatures.into_iter().collect(), at })
    }

    /// A header that is signed. One with the separator in it would make the division between the parts a guess.
    fn part<'a>(&self, headers: &'a HeaderMap, name: Option<&str>) -> Result<&'a str, Refusal> {
        let name = name.expect("checked when the source was made");
        let value = header(headers, name)?;
        if value.is_empty() || value.contains(&self.separator) { Err(missing(name)) } else { Ok(value) }
    }
}

/// The answer to Zoom's question whether the address is ours, if this is that question.
fn challenge(body: &[u8], secret: &Secret) -> Option<Value> {
    #[derive(Deserialize)]
    struct Question {
        event: String,
        payload: Payload,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        plain_token: String,
    }

    if body.len() > MAX_CHALLENGE {
        return None;
    }
    let question: Question = serde_json::from_slice(body).ok()?;
    if question.event != "endpoint.url_validation" {
        return None;
    }
    let token = question.payload.plain_token;
    let encrypted = hex(&secret.0.tag(&[token.as_bytes()]));
    Some(json!({ "plainToken": token, "encryptedToken": encrypted }))
}

fn missing(name: &str) -> Refusal {
    Refusal::Header { header: name.to_ascii_lowercase() }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).ok_or_else(|| missing(name))
}

/// A time as it is written, and as it is meant.
fn time<'a>(headers: &'a HeaderMap, name: &str) -> Result<(&'a str, Timestamp), Refusal> {
    let text = header(headers, name)?;
    let at = unix(text).or_else(|| Timestamp::parse(text)).ok_or_else(|| missing(name))?;
    Ok((text, at))
}

/// Unix seconds, or milliseconds from 1973 on.
pub(super) fn unix(text: &str) -> Option<Timestamp> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    Some(Timestamp::from_millis(if number < 100_000_000_000 { number * 1_000 } else { number }))
}

fn strip<'a>(text: &'a str, prefix: &str) -> &'a str {
    text.strip_prefix(prefix).unwrap_or(text)
}

fn unbase64(text: &str) -> Option<Tag> {
    // The 32 bytes of a tag are at most 44 characters; what is longer is not decoded.
    (text.len() <= 44).then(|| LENIENT.decode(text).ok())??.try_into().ok()
}
