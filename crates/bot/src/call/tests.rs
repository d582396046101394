use super::*;
use crate::spec_for_tests;

const QUIET: Hearing =
    Hearing { others: 0, tracks: 0, samples: 0, received_bytes: None, received_at: None, peak_dbfs: f32::NEG_INFINITY };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn call() -> Call {
    let mut spec = spec_for_tests();
    spec.join_timeout_ms = 60_000;
    spec.capture_timeout_ms = 10_000;
    spec.leave.waiting_room_timeout = 120;
    Call::new(&spec, at(0))
}

fn people(names: &[&str]) -> Vec<Person> {
    names.iter().map(|name| Person { id: (*name).to_owned(), name: (*name).to_owned() }).collect()
}

fn end(call: &mut Call, second: i64) -> Option<EndReason> {
    call.tick(QUIET, at(second)).end.map(|end| end.reason)
}

#[test]
fn a_way_in_that_does_not_end_names_its_step() {
    let mut nowhere = call();
    assert_eq!(end(&mut nowhere, 59), None);
    assert_eq!(end(&mut nowhere, 60), Some(EndReason::ConnectionLost));
    let mut stuck = call();
    stuck.step("type the name");
    let due = stuck.tick(QUIET, at(60)).end.unwrap();
    assert_eq!(due.reason, EndReason::UiChanged);
    assert!(due.message.contains("type the name"), "{}", due.message);
}

#[test]
fn the_lobby_has_its_own_clock() {
    let mut call = call();
    assert_eq!(call.lobby(at(50)), Some(Report::WaitingRoom { at: at(50) }));
    assert_eq!(call.lobby(at(51)), None);
    assert_eq!(end(&mut call, 169), None);
    assert_eq!(end(&mut call, 170), Some(EndReason::LobbyTimeout));
}

#[test]
fn admission_is_reported_once_and_starts_the_rules() {
    let mut call = call();
    call.lobby(at(1));
    assert_eq!(call.admitted(at(10)), Some(Report::Admitted { at: at(10) }));
    assert_eq!(call.admitted(at(11)), None);
    assert_eq!(end(&mut call, 609), None);
    assert_eq!(end(&mut call, 610), Some(EndReason::NoOneJoined));
}

/// In a call with Ada, who spoke at once.
fn in_call_with_ada() -> Call {
    let mut call = call();
    call.admitted(at(0));
    call.roster(people(&["Ada"]), at(0));
    call.heard(at(0));
    call
}

#[test]
fn who_is_sent_back_and_not_let_in_again_was_removed_and_did_not_hear_silence() {
    let mut call = in_call_with_ada();
    assert!(matches!(call.lobby(at(50)), Some(Report::Note { .. })), "sent back, and said so");
    assert_eq!(call.lobby(at(51)), None, "once");
    // The waiting room shows nobody.
    call.roster(vec![], at(52));
    assert_eq!(call.tick(QUIET, at(169)), Due::default(), "100 s of silence are over");
    let due = call.tick(QUIET, at(170)).end.unwrap();
    assert_eq!(due.reason, EndReason::Kicked);
    assert!(due.message.contains("back to the waiting room") && due.message.contains("120 s"), "{}", due.message);
}

#[test]
fn who_is_let_in_again_has_the_time_of_the_rules_anew() {
    let mut call = in_call_with_ada();
    call.lobby(at(50));
    call.roster(vec![], at(51));
    assert!(matches!(call.admitted(at(160)), Some(Report::Note { .. })));
    assert_eq!(call.admitted(at(161)), None);
    assert_eq!(end(&mut call, 259), None);
    assert_eq!(end(&mut call, 260), Some(EndReason::Silence), "nobody spoke for 100 s since");
    call.heard(at(260));
    call.roster(people(&["Ada"]), at(261));
    assert!(call.lobby(at(300)).is_some(), "sent back again");
    assert_eq!(end(&mut call, 419), None);
    assert_eq!(end(&mut call, 420), Some(EndReason::Kicked));
}

#[test]
fn the_cap_holds_in_the_waiting_room_too() {
    let mut call = in_call_with_ada();
    call.lobby(at(14_390));
    assert_eq!(end(&mut call, 14_400), Some(EndReason::MaxDuration));
}

#[test]
fn a_page_that_hangs_is_a_crash_and_neither_silence_nor_an_empty_room() {
    for others in [&["Ada"][..], &[]] {
        let mut call = in_call_with_ada();
        // Everything was said long ago when the page begins to hang.
        let told = |second: i64| Hearing { received_bytes: Some(1), received_at: Some(at(second)), ..QUIET };
        call.room.track_started(1, Some("Ada".into()));
        call.roster(people(others), at(0));
        call.policy.everyone_left_timeout = 100;
        for second in 0..=97 {
            assert_eq!(call.tick(told(second), at(second)).end, None);
        }
        let mut repaired = false;
        let end = (98..400).find_map(|second| {
            let due = call.tick(told(97), at(second));
            repaired |= due.repair;
            due.end
        });
        let end = end.unwrap();
        assert_eq!((end.reason, repaired), (EndReason::BotCrashed, true));
        assert!(end.message.contains("hangs"), "{}", end.message);
    }
}

#[test]
fn a_roster_seen_before_admission_counts() {
    let mut call = call();
    assert_eq!(call.roster(people(&["Ada"]), at(5)).len(), 1);
    call.admitted(at(10));
    call.roster(vec![], at(20));
    assert_eq!(end(&mut call, 319), Some(EndReason::Silence), "accompanied, and nobody spoke for 100 s");
    call.heard(at(319));
    assert_eq!(end(&mut call, 320), None, "a voice is company");
}

#[test]
fn deafness_is_repaired_and_then_ends_the_call() {
    let mut call = call();
    call.admitted(at(0));
    call.roster(people(&["Ada"]), at(0));
    call.room.track_started(1, Some("Ada".into()));
    assert_eq!(call.tick(QUIET, at(1)), Due::default());
    let due = call.tick(QUIET, at(11));
    assert!(due.repair && due.end.is_none());
    assert!(matches!(&due.reports[..], [Report::Note { level, .. }] if level == "warn"));
    assert_eq!(call.tick(QUIET, at(12)), Due::default());
    assert_eq!(end(&mut call, 31), Some(EndReason::CaptureFailed));
}

#[test]
fn silence_is_never_called_success() {
    assert_eq!(reservation(0, 0, f32::NEG_INFINITY), None);
    assert!(reservation(5_000, 0, f32::NEG_INFINITY).is_some_and(|text| text.contains("nobody sent")));
    assert!(reservation(5_000, 9, -90.0).is_some_and(|text| text.contains("silent")));
    assert_eq!(reservation(5_000, 9, -20.0), None);
}
