use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use muster_session::{BotId, Timestamp};
use serde::{Deserialize, Serialize};

/// Headers whose values are nobody's business later: the sender is known by now.
const SECRETS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
const REDACTED: &str = "redacted";

/// A webhook as it came in. In the queue it is one line of JSON and then the body, byte for byte; those that came in together may
/// be one message, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Name of the source that it was verified for.
    pub source: String,
    /// The bot of the address it was sent to, if that named one and was genuine.
    pub bot: Option<BotId>,
    /// When it came in.
    pub received_at: Timestamp,
    /// As they came, but for those that hold credentials.
    pub headers: HeaderMap,
    /// As it came.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    source: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bot: Option<BotId>,
    received_at: Timestamp,
    /// Bytes of the body.
    length: usize,
    /// Names and values; what is no text in a value is replaced.
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A message that is no webhook that came in.
#[derive(Debug, thiserror::Error)]
#[error("not a webhook that came in: {0}")]
pub struct BadEnvelope(String);

impl Envelope {
    /// What waits in the queue.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head = Head {
            source: Cow::Borrowed(&self.source),
            bot: self.bot,
            received_at: self.received_at,
            length: self.body.len(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str().into(), text(name, value))).collect(),
        };
        let mut message = Vec::with_capacity(self.body.len() + 1024);
        serde_json::to_writer(&mut message, &head).expect("a head is plain data");
        message.push(b'\n');
        message.extend_from_slice(&self.body);
        message
    }

    /// Reads every webhook of a message.
    pub fn decode(mut message: &[u8]) -> Result<Vec<Self>, BadEnvelope> {
        let mut webhooks = Vec::new();
        while webhooks.is_empty() || !message.is_empty() {
            let (webhook, rest) = Self::first(message)?;
            webhooks.push(webhook);
            message = rest;
        }
        Ok(webhooks)
    }

    fn first(message: &[u8]) -> Result<(Self, &[u8]), BadEnvelope> {
        let end = message.iter().position(|byte| *byte == b'\n');
        let (head, rest) = end.and_then(|end| message.split_at_checked(end)).ok_or_else(|| bad("it has no head"))?;
        let head: Head<'_> = serde_json::from_slice(head).map_err(bad)?;
        let rest = rest.get(1..).unwrap_or_default();
        let (body, rest) = rest.split_at_checked(head.length).ok_or_else(|| bad("its body is cut off"))?;
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in head.headers {
            let name = HeaderName::try_from(&*name).map_err(bad)?;
            headers.append(name, HeaderValue::try_from(&*value).map_err(bad)?);
        }
        let (source, bot, received_at) = (head.source.into_owned(), head.bot, head.received_at);
        Ok((Self { source, bot, received_at, headers, body: body.to_vec() }, rest))
    }
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Cow<'a, str> {
    match SECRETS.contains(&name.as_str()) {
        true => Cow::Borrowed(REDACTED),
        false => String::from_utf8_lossy(value.as_bytes()),
    }
}

fn bad(error: impl std::fmt::Display) -> BadEnvelope {
    BadEnvelope(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_and_headers_come_back_as_they_were_and_credentials_do_not() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        headers.append("authorization", HeaderValue::from_static("Bearer s3cret"));
        let envelope = Envelope {
            source: "zoom".into(),
            bot: Some(BotId::from_uuid(uuid::Uuid::from_u128(7))),
            received_at: Timestamp::from_millis(1_790_000_000_123),
            headers,
            body: b"{\"a\":\n1}\n\xff".to_vec(),
        };
        let message = envelope.encode();
        assert!(!String::from_utf8_lossy(&message).contains("s3cret"));
        let one = Envelope { body: Vec::new(), bot: None, ..envelope.clone() };
        let mut back = Envelope::decode(&[message, one.encode()].concat()).unwrap();
        assert_eq!((back.len(), back[1].body.len(), back[1].bot), (2, 0, None));
        let back = back.swap_remove(0);
        assert_eq!((back.source, back.bot, back.received_at), ("zoom".into(), envelope.bot, envelope.received_at));
        assert_eq!(back.body, envelope.body);
        assert_eq!(back.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(back.headers["authorization"], REDACTED);
    }

    #[test]
    fn what_is_none_is_refused() {
        let envelope = Envelope {
            source: "zoom".into(),
            bot: None,
            received_at: Timestamp::default(),
            headers: HeaderMap::new(),
            body: b"{}".to_vec(),
        };
        let mut cut_off = envelope.encode();
        cut_off.pop();
        for message in [&b""[..], b"{}", b"{}\n", b"\n", b"nonsense\n{}", &cut_off] {
            assert!(Envelope::decode(message).is_err(), "{message:?}");
        }
    }
}
