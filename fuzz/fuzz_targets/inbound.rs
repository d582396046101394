//! A webhook of any kind, with any headers and body: checking and reading it ends without a panic, only what is signed passes, and
//! what is read is within its bounds.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use muster_hooks::inbound::{Content, Encoding, Generic, Kind, Source};
use muster_session::{TenantId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let generic = Generic {
        header: "x-webhook-signature".into(),
        encoding: Encoding::Hex,
        prefix: "sha256=".into(),
        content: Content::IdTimestampBody,
        separator: ".".into(),
        timestamp_header: Some("webhook-timestamp".into()),
        id_header: Some("webhook-id".into()),
    };
    let kinds = [
        Kind::MeetStream,
        Kind::Zoom,
        Kind::Recall,
        Kind::Svix,
        Kind::Standard,
        Kind::Attendee,
        Kind::Vexa,
        Kind::Generic(generic),
    ];
    let secrets = ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];
    let source = |kind| {
        Source::new("fuzz", TenantId::new("t"), kind, &secrets, Duration::from_secs(300)).expect("good for every kind")
    };
    kinds.into_iter().map(source).collect()
});

/// Lines `name: value` up to an empty one, then the body.
fn split(mut data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&data[..end], &data[end + 1..]);
        data = rest;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
        {
            headers.insert(name, value);
        }
    }
    (headers, data)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let source = &SOURCES[usize::from(*first) % SOURCES.len()];
    let (headers, body) = split(rest);
    if let Err(refusal) = source.verify(&headers, body, NOW) {
        assert!(!refusal.to_string().is_empty());
    }
    let Ok(reading) = source.read(&headers, body) else { return };
    assert!((1..=200).contains(&reading.id.len()) && reading.id.is_ascii());
    assert!(reading.event.len() <= 200);
    assert_eq!(source.read(&headers, body), Ok(reading));
});
