//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::mac::Key;

fn sources() -> Vec<Source> {
    let generic = Generic {
        header: "x-webhook-signature".into(),
        encoding: Encoding::Base64,
        prefix: String::new(),
        content: Content::IdTimestampBody,
        separator: ".".into(),
        timestamp_header: Some("webhook-timestamp".into()),
        id_header: Some("webhook-id".into()),
    };
    ["meetstream", "zoom", "recall", "svix", "standard", "attendee", "vexa"]
        .into_iter()
        .map(kind)
        .chain([Kind::Generic(generic)])
        .map(|kind| source(kind, &[ANY]))
        .collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("bot.stopped")),
        Just(json!("bot.state_change")),
        Just(json!("meeting.participant_left")),
    ];
    let key = prop_oneof![
        ".{0,4}",
        proptest::sample::select(vec![
            "event",
            "bot_event",
            "type",
            "data",
            "bot",
            "bot_id",
            "status",
            "code",
            "trigger",
            "event_type",
            "payload",
            "object",
            "participant",
            "customer_key",
            "timestamp",
            "event_ts",
            "meeting",
            "words",
            "id",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn reading_is_bounded_and_the_same_each_time(value in any_json(), junk in vec(any::<u8>(), 0..64)) {
        for source in sources() {
            for body in [value.to_string().into_bytes(), junk.clone()] {
                let first = source.read(&HeaderMap::new(), &body);
                prop_assert_eq!(&first, &source.read(&HeaderMap::new(), &body));
                let Ok(reading) = first else { continue };
                prop_assert!((1..=200).contains(&reading.id.len()) && reading.id.is_ascii());
                prop_assert!(reading.event.len() <= 200);
                prop_assert!(reading.theirs.is_none_or(|id| (1..=200).contains(&id.len())));
            }
        }
    }

    #[test]
    fn python_would_leave_alone_what_it_wrote(value in any_json()) {
        let once = canonical::json(value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&canonical::json(&once), &Some(once.clone()));
        let again: Value = serde_json::from_slice(&once).unwrap();
        prop_assert_eq!(again, value);
    }

    #[test]
    fn one_bit_makes_a_signature_void(body in vec(any::<u8>(), 1..200), index: prop::sample::Index, bit in 0u8..8) {
        let key = Key::new(ANY.as_bytes());
        let signature = format!("sha256={}", crate::mac::hex(&key.tag(&[&body])));
        let meetstream = source(Kind::MeetStream, &[ANY]);
        let of = headers(&[("x-meetstream-signature", &signature)]);
        prop_assert_eq!(meetstream.verify(&of, &body, NOW), Ok(Verified::Event));
        let mut changed = body.clone();
        changed[index.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(meetstream.verify(&of, &changed, NOW), Err(Refusal::Mismatch));
    }
}
