//! Signatures: known answers, made by the senders' own libraries (`vectors/make.py`), and what must not pass.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use muster_session::{TenantId, Timestamp};
use serde_json::{Value, json};

use super::*;

mod properties;
mod reading;

const TOLERANCE: Duration = Duration::from_secs(300);
const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn kind(name: &str) -> Kind {
    match name {
        "meetstream" => Kind::MeetStream,
        "zoom" => Kind::Zoom,
        "recall" => Kind::Recall,
        "svix" => Kind::Svix,
        "standard" => Kind::Standard,
        "attendee" => Kind::Attendee,
        "vexa" => Kind::Vexa,
        name => panic!("no kind {name}"),
    }
}

/// A secret that every kind takes: text, and the base64 of 32 bytes.
const ANY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn source(kind: Kind, secrets: &[&str]) -> Source {
    Source::new("theirs", TenantId::new("t"), kind, secrets, TOLERANCE).unwrap()
}

fn headers(of: &[(&str, &str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect()
}

struct Vector {
    name: String,
    source: Source,
    /// One more secret before the one that fits.
    rotated: Source,
    other: Source,
    headers: HeaderMap,
    body: String,
    at: Timestamp,
    time_signed: bool,
    want: Verified,
}

fn vectors() -> Vec<Vector> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../../vectors/signatures.json")).unwrap();
    all.iter()
        .enumerate()
        .map(|(index, one)| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            let secret = text("secret");
            let of: Vec<_> = one["headers"].as_object().unwrap().iter().collect();
            Vector {
                name: format!("{index}: {} by {}", text("kind"), text("by")),
                source: source(kind(&text("kind")), &[&secret]),
                rotated: source(kind(&text("kind")), &[ANY, &secret]),
                other: source(kind(&text("kind")), &[ANY]),
                headers: headers(
                    &of.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect::<Vec<_>>(),
                ),
                body: text("body"),
                at: Timestamp::from_millis(one["at"].as_i64().unwrap()),
                time_signed: one["time_signed"].as_bool().unwrap(),
                want: one.get("challenge").map_or(Verified::Event, |answer| Verified::Challenge(answer.clone())),
            }
        })
        .collect()
}

#[test]
fn what_their_libraries_sign_passes_and_nothing_else() {
    for Vector { name, source, rotated, other, headers, body, at, time_signed, want } in vectors() {
        // The svix vectors are signed with the secret that is another one's in the others.
        let fits_other = name.contains("by svix");
        assert_eq!(source.verify(&headers, body.as_bytes(), at).as_ref(), Ok(&want), "{name}");
        assert_eq!(rotated.verify(&headers, body.as_bytes(), at).as_ref(), Ok(&want), "{name}");
        if !fits_other {
            assert_eq!(other.verify(&headers, body.as_bytes(), at), Err(Refusal::Mismatch), "{name}");
        }
        let changed = if body.contains("bot_1") { body.replace("bot_1", "bot_2") } else { format!("[{body}0]") };
        let refused = source.verify(&headers, changed.as_bytes(), at).unwrap_err();
        assert!(matches!(refused, Refusal::Mismatch | Refusal::Body), "{name}: {refused}");
        for offset in [Duration::from_secs(301), Duration::from_millis(300_001)] {
            for now in [at + offset, at - offset] {
                let got = source.verify(&headers, body.as_bytes(), now);
                // Attendee says nothing of the time.
                let want = if name.contains("attendee") { Ok(want.clone()) } else { Err(Refusal::Stale) };
                assert_eq!(got, want, "{name} at {now}");
            }
        }
        for now in [at + TOLERANCE, at - TOLERANCE] {
            assert_eq!(source.verify(&headers, body.as_bytes(), now).as_ref(), Ok(&want), "{name} at {now}");
        }
        if time_signed {
            let mut later = headers.clone();
            let (_, time) = later.iter_mut().find(|(name, _)| name.as_str().ends_with("timestamp")).unwrap();
            *time = HeaderValue::from_static("1790000001");
            assert_eq!(source.verify(&later, body.as_bytes(), at), Err(Refusal::Mismatch), "{name}");
        }
    }
}

#[test]
fn every_header_is_needed_and_named() {
    for Vector { name, source, headers, body, at, .. } in vectors() {
        for gone in headers.keys().filter(|name| name.as_str() != "x-meetstream-timestamp") {
            let mut without = headers.clone();
            without.remove(gone);
            let got = source.verify(&without, body.as_bytes(), at).unwrap_err();
            // Without svix-id, the names of Standard Webhooks are looked for.
            let named = if gone == "svix-id" { "webhook-id" } else { gone.as_str() };
            assert_eq!(got, Refusal::Header { header: named.into() }, "{name}");
        }
    }
}

#[test]
fn times_that_are_none_and_ids_that_blur_are_refused() {
    for (name, value) in [
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "+1790000000"),
        ("webhook-timestamp", "99999999999999999999"),
        ("webhook-id", "msg.1"),
        ("webhook-id", ""),
        ("webhook-id", "\u{fc}"),
    ] {
        let mut of =
            headers(&[("webhook-id", "m"), ("webhook-timestamp", "1790000000"), ("webhook-signature", "v1,AA")]);
        of.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        let got = source(Kind::Standard, &[WHSEC]).verify(&of, b"{}", NOW);
        assert_eq!(got, Err(Refusal::Header { header: name.into() }), "{value}");
    }
}

#[test]
fn standard_sources_know_no_header_of_svix() {
    let svix = vectors().into_iter().find(|vector| vector.name.contains("by svix")).unwrap();
    let standard = source(Kind::Standard, &[ANY]);
    let got = standard.verify(&svix.headers, svix.body.as_bytes(), svix.at);
    assert_eq!(got, Err(Refusal::Header { header: "webhook-id".into() }));
}

#[test]
fn a_question_that_is_not_signed_gets_no_answer() {
    let zoom = source(Kind::Zoom, &["secret"]);
    let of = headers(&[("x-zm-signature", "v0=00"), ("x-zm-request-timestamp", "1790000000")]);
    let question = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": "t" } }).to_string();
    assert_eq!(zoom.verify(&of, question.as_bytes(), NOW), Err(Refusal::Mismatch));
}

#[test]
fn a_generic_scheme_is_what_it_is_described_as() {
    let key = crate::mac::Key::new(b"secret");
    let generic = |encoding, prefix: &str, content, separator: &str| {
        Kind::Generic(Generic {
            header: "X-Signature".into(),
            encoding,
            prefix: prefix.into(),
            content,
            separator: separator.into(),
            timestamp_header: Some("X-Time".into()),
            id_header: Some("X-Id".into()),
        })
    };
    let hex = |parts: &[&[u8]]| crate::mac::hex(&key.tag(parts));
    let base64 = |parts: &[&[u8]]| {
        use base64::Engine as _;
        crate::sign::LENIENT.encode(key.tag(parts))
    };
    let time = "2026-09-21T14:13:20Z";
    for (kind, signature) in [
        (generic(Encoding::Hex, "sha256=", Content::Body, ""), format!("sha256={}", hex(&[b"body"]))),
        (generic(Encoding::Base64, "", Content::Body, ""), base64(&[b"body"])),
        (generic(Encoding::Hex, "", Content::TimestampBody, "."), hex(&[time.as_bytes(), b".body"])),
        (
            generic(Encoding::Hex, "v1=", Content::IdTimestampBody, "|"),
            format!("v1={}", hex(&[b"id.1|", time.as_bytes(), b"|body"])),
        ),
    ] {
        let source = source(kind, &["secret"]);
        let of = headers(&[("x-signature", &signature), ("x-time", time), ("x-id", "id.1")]);
        assert_eq!(source.verify(&of, b"body", NOW), Ok(Verified::Event), "{source:?}");
        assert_eq!(source.verify(&of, b"bodz", NOW), Err(Refusal::Mismatch), "{source:?}");
        assert_eq!(source.verify(&of, b"body", NOW + Duration::from_secs(301)), Err(Refusal::Stale), "{source:?}");
        assert_eq!(source.read(&of, b"{}").unwrap().id, "id.1");
    }
    let blurred = source(generic(Encoding::Hex, "", Content::TimestampBody, ":"), &["secret"]);
    let of = headers(&[("x-signature", &hex(&[time.as_bytes(), b":body"])), ("x-time", time)]);
    assert_eq!(blurred.verify(&of, b"body", NOW), Err(Refusal::Header { header: "x-time".into() }));
}

#[test]
fn secrets_are_checked_and_never_shown() {
    let new = |kind, secrets: &[&str]| Source::new("n", TenantId::new("t"), kind, secrets, TOLERANCE);
    let problem = |kind, secret: &str| match new(kind, &[ANY, secret]).unwrap_err() {
        SourceError::Secret { number: 2, problem } => problem,
        error => panic!("{error}"),
    };
    assert_eq!(problem(Kind::MeetStream, ""), SecretProblem::Empty);
    assert_eq!(problem(Kind::Svix, "whsec_!"), SecretProblem::Standard(SecretError::NotBase64));
    assert!(matches!(
        problem(Kind::Recall, "whsec_AAAA"),
        SecretProblem::Standard(SecretError::Length { bytes: 3, .. })
    ));
    for wrong in ["AAAA", "not base64", WHSEC] {
        assert_eq!(problem(Kind::Attendee, wrong), SecretProblem::Attendee);
    }
    assert_eq!(new(Kind::Zoom, &[]).unwrap_err(), SourceError::Secrets { count: 0 });
    assert_eq!(new(Kind::Zoom, &["s"; 9]).unwrap_err(), SourceError::Secrets { count: 9 });
    let shown = format!("{:?} {}", source(Kind::Zoom, &["hunter2"]), new(Kind::Attendee, &["hunter2"]).unwrap_err());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_generic_scheme_has_to_hold_together() {
    let good = Generic {
        header: "x-signature".into(),
        encoding: Encoding::Hex,
        prefix: String::new(),
        content: Content::IdTimestampBody,
        separator: ".".into(),
        timestamp_header: Some("x-time".into()),
        id_header: Some("x-id".into()),
    };
    for (broken, field) in [
        (Generic { header: "x signature".into(), ..good.clone() }, "header"),
        (Generic { timestamp_header: None, ..good.clone() }, "timestamp_header"),
        (Generic { id_header: None, ..good.clone() }, "id_header"),
        (Generic { id_header: Some(String::new()), ..good.clone() }, "id_header"),
        (Generic { separator: String::new(), ..good.clone() }, "separator"),
    ] {
        let error = Source::new("n", TenantId::new("t"), Kind::Generic(broken), &["s"], TOLERANCE).unwrap_err();
        assert!(matches!(error, SourceError::Generic { field: named, .. } if named == field), "{field}: {error}");
    }
}

#[test]
fn json_is_written_as_python_writes_it() {
    let all: Vec<(String, String)> = serde_json::from_str(include_str!("../../vectors/canonical.json")).unwrap();
    assert!(all.len() > 500);
    for (text, want) in all {
        let got = canonical::json(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(got.as_ref(), Some(&want), "{text}");
    }
    for wrong in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "nul",
        "NaN",
        "1 2",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\t\"",
        "[1}",
        "\u{feff}1",
    ] {
        assert_eq!(canonical::json(wrong.as_bytes()), None, "{wrong}");
    }
    assert_eq!(canonical::json(b"\"\xff\""), None);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(canonical::json(deep(100).as_bytes()).is_some());
    assert_eq!(canonical::json(deep(100_000).as_bytes()), None);
}
