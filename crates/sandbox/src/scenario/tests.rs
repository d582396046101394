use std::time::Duration;

use super::*;

fn scenario(json: serde_json::Value) -> Scenario {
    serde_json::from_value(json).unwrap()
}

fn due(schedule: &mut Schedule, seconds: f64) -> Vec<(f64, Step)> {
    std::iter::from_fn(|| schedule.next_due(Duration::from_secs_f64(seconds)))
        .map(|(at, step)| (at.as_secs_f64(), step))
        .collect()
}

#[test]
fn steps_come_when_they_are_due_and_once() {
    let mut schedule = Schedule::new(&scenario(serde_json::json!({
        "participants": [
            {"id": "ana", "joins_at": 1, "leaves_at": 9, "speaks": [{"at": 2.5, "tone_hz": 440}]},
            {"id": "bo", "speaks": [{"at": 0, "tone_hz": 440}]},
        ],
        "timeline": [{"at": 1, "do": "admit"}, {"at": 9, "do": "end"}],
    })));
    assert_eq!(schedule.next_at(), Some(Duration::ZERO));
    assert_eq!(due(&mut schedule, 0.0), [(0.0, Step::Join(1)), (0.0, Step::Speak { participant: 1, item: 0 })]);
    assert_eq!(due(&mut schedule, 0.999), []);
    assert_eq!(due(&mut schedule, 1.0), [(1.0, Step::Join(0)), (1.0, Step::Act(0))]);
    assert_eq!(schedule.next_at(), Some(Duration::from_millis(2500)));
    assert_eq!(
        due(&mut schedule, 100.0),
        [(2.5, Step::Speak { participant: 0, item: 0 }), (9.0, Step::Act(1)), (9.0, Step::Leave(0))]
    );
    assert_eq!((due(&mut schedule, 200.0), schedule.next_at()), (vec![], None));
}

#[test]
fn a_repeated_speech_keeps_its_period_whenever_it_is_asked_for_and_stops_when_the_speaker_leaves() {
    let mut schedule = Schedule::new(&scenario(serde_json::json!({
        "participants": [{"id": "ana", "leaves_at": 4, "speaks": [{"at": 0.5, "every": 1, "tone_hz": 440, "ms": 100}]}],
    })));
    let step = Step::Speak { participant: 0, item: 0 };
    assert_eq!(due(&mut schedule, 1.7), [(0.0, Step::Join(0)), (0.5, step), (1.5, step)]);
    assert_eq!(due(&mut schedule, 99.0), [(2.5, step), (3.5, step), (4.0, Step::Leave(0))]);
}

#[test]
fn every_mistake_is_reported_with_its_field() {
    let invalid = scenario(serde_json::json!({
        "lobby": {"mode": "admit_after", "seconds": -1},
        "participants": [
            {"id": "a b", "joins_at": 5, "leaves_at": 5, "speaks": [{"at": 1, "tone_hz": 5}, {"at": 6}]},
            {"id": "x", "name": "", "speaks": [{"at": 0, "file": "a.wav", "ms": 5}]},
            {"id": "x"},
        ],
        "timeline": [{"at": 1e9, "do": "speak", "target": "nobody", "tone_hz": 440}, {"at": 0, "do": "chat", "text": " "}],
    }))
    .validate()
    .unwrap_err();
    let fields: Vec<&str> = invalid.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "lobby.seconds",
            "participants[0].id",
            "participants[0].leaves_at",
            "participants[0].speaks[0].at",
            "participants[0].speaks[0].tone_hz",
            "participants[0].speaks[1].at",
            "participants[0].speaks[1].tone_hz",
            "participants[1].name",
            "participants[1].speaks[0].ms",
            "participants[1].speaks[0].ms",
            "participants[2].id",
            "timeline[0].at",
            "timeline[0].target",
            "timeline[1].text",
        ]
    );
    assert!(invalid.to_string().contains("timeline[0].target: there is no participant `nobody`"), "{invalid}");
}

#[test]
fn the_built_in_meeting_is_valid_and_survives_json() {
    let hello = Scenario::hello();
    hello.validate().unwrap();
    let json = serde_json::to_value(&hello).unwrap();
    assert_eq!(scenario(json), hello);
}

#[test]
fn unknown_fields_and_actions_are_refused() {
    for bad in [
        serde_json::json!({"lobbby": {}}),
        serde_json::json!({"timeline": [{"at": 1, "do": "explode"}]}),
        serde_json::json!({"timeline": [{"at": 1, "do": "kick", "who": "x"}]}),
        serde_json::json!({"participants": [{"id": "a", "speaks": [{"at": 1, "tone": 440}]}]}),
    ] {
        assert!(serde_json::from_value::<Scenario>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn times_that_are_not_numbers_are_refused() {
    let mut scenario = Scenario::hello();
    scenario.timeline[0].at = f64::NAN;
    assert_eq!(scenario.validate().unwrap_err().0[0].field, "timeline[0].at");
}
