//! Bots that run elsewhere.

use super::*;
use crate::{Looked, Observation, Remote};

fn elsewhere(remote: Remote, transcript: bool) -> (Session, Outcome) {
    Session::create(NewSession { remote: Some(remote), ..new(None, transcript) }, at(0))
}

fn theirs(transcript: bool) -> Session {
    elsewhere(Remote::theirs("recall", Some("r-1".into())), transcript).0
}

/// One that was asked for and is there.
fn ours(transcript: bool) -> Session {
    let mut session = elsewhere(Remote::ours("cloud"), transcript).0;
    step(&mut session, Input::Send, 1);
    step(&mut session, Input::Sent { bot: "m-1".into() }, 1);
    session
}

fn seen(observation: Observation, second: i64) -> Input {
    Input::Observe { observation, at: at(second) }
}

fn out_of_the_call(reason: EndReason) -> Observation {
    Observation::Ended { reason, message: reason.message().into() }
}

fn audio(failure: Option<&str>) -> Observation {
    Observation::Artifact { kind: ArtifactKind::Audio, failure: failure.map(str::to_owned) }
}

fn words() -> Observation {
    Observation::Artifact { kind: ArtifactKind::Transcript, failure: None }
}

#[test]
fn a_bot_of_its_callers_is_told_of_as_its_source_tells() {
    let (mut session, outcome) = elsewhere(Remote::theirs("recall", None), true);
    assert_eq!((session.state, outcome.jobs.len()), (State::Queued, 0), "nobody here runs it");
    let told = [
        (Observation::Joining, "bot.joining"),
        (Observation::WaitingRoom, "bot.in_waiting_room"),
        (Observation::InMeeting, "bot.inmeeting"),
        (Observation::Recording, "bot.recording"),
        (Observation::Leaving { why: None }, "bot.leaving"),
        (out_of_the_call(EndReason::Kicked), "bot.kicked"),
        (audio(None), "audio.processed"),
    ];
    for (second, (observation, event)) in (1..).zip(told) {
        assert_eq!(step(&mut session, seen(observation.clone(), second), second), [event]);
        // Whatever comes twice is refused, and harmless.
        let before = session.clone();
        assert!(session.apply(seen(observation, second), at(second)).is_err() || event == "bot.joining");
        if event != "bot.joining" {
            assert_eq!(session, before);
        }
    }
    assert_eq!(step(&mut session, seen(words(), 9), 9), ["transcription.processed", "bot.done"]);
    assert_eq!((session.state, session.admitted_at), (State::Done, Some(at(3))));
    assert!(session.apply(seen(Observation::Done, 10), at(10)).is_err());
}

#[test]
fn what_was_not_heard_of_is_told_first_and_what_comes_late_changes_nothing() {
    let mut session = theirs(false);
    assert_eq!(
        step(&mut session, seen(Observation::Recording, 5), 6),
        ["bot.joining", "bot.inmeeting", "bot.recording"]
    );
    for late in [Observation::Joining, Observation::WaitingRoom, Observation::InMeeting] {
        assert!(session.apply(seen(late, 1), at(7)).is_err());
    }
    // Of the attempt before.
    let mut session = theirs(false);
    step(&mut session, seen(Observation::Joining, 10), 10);
    assert_eq!(step(&mut session, seen(Observation::Joining, 20), 20), ["bot.joining"]);
    assert_eq!(session.attempt, 2);
    assert!(session.apply(seen(Observation::WaitingRoom, 15), at(21)).is_err());
    assert_eq!(step(&mut session, seen(Observation::WaitingRoom, 22), 22), ["bot.in_waiting_room"]);
}

#[test]
fn what_was_said_too_soon_counts_once_its_time_has_come() {
    let mut session = theirs(true);
    assert_eq!(step(&mut session, seen(audio(Some("disk full")), 1), 1), [""; 0]);
    assert_eq!(step(&mut session, seen(words(), 1), 1), [""; 0]);
    step(&mut session, seen(Observation::InMeeting, 2), 2);
    let events = step(&mut session, seen(out_of_the_call(EndReason::HostEnded), 3), 3);
    assert_eq!(events, ["bot.stopped", "audio.processed", "transcription.processed", "bot.done"]);
    let failed = ArtifactState::Failed { message: "disk full".into() };
    assert_eq!(session.artifacts[0], crate::Artifact { kind: ArtifactKind::Audio, state: failed });

    // It was in the call, or there were no recording.
    let mut session = theirs(false);
    step(&mut session, seen(audio(None), 1), 1);
    let events = step(&mut session, seen(out_of_the_call(EndReason::HostEnded), 3), 3);
    assert_eq!(events, ["bot.joining", "bot.inmeeting", "bot.stopped", "audio.processed", "bot.done"]);
}

#[test]
fn a_service_that_is_done_owes_nothing_more() {
    let mut session = theirs(true);
    step(&mut session, seen(Observation::InMeeting, 1), 1);
    step(&mut session, seen(out_of_the_call(EndReason::HostEnded), 2), 2);
    step(&mut session, seen(audio(None), 3), 3);
    assert_eq!(step(&mut session, seen(Observation::Done, 4), 4), ["transcription.failed", "bot.done"]);
    assert_eq!(session.transcripts[0].failure.as_deref(), Some("recall had none"));
    // Said before its call was over.
    let mut session = theirs(false);
    step(&mut session, seen(Observation::InMeeting, 1), 1);
    assert_eq!(step(&mut session, seen(Observation::Done, 4), 4), [""; 0]);
    let events = step(&mut session, seen(out_of_the_call(EndReason::HostEnded), 2), 5);
    assert_eq!(events, ["bot.stopped", "bot.done"], "a recording that nobody spoke of is not missed");
}

#[test]
fn a_bot_of_ours_is_sent_tended_and_fetched_from() {
    let (mut session, outcome) = elsewhere(Remote::ours("cloud"), true);
    let tend = [(Job::Tend { bot: session.id }, Duration::ZERO)];
    assert_eq!(outcome.jobs, tend);
    let stale = acquire(&session);
    assert!(session.apply(stale, at(1)).is_err(), "no worker takes it");
    assert!(session.apply(Input::Sent { bot: "m-1".into() }, at(1)).is_ok(), "the answer of an earlier attempt");
    let mut session = ours(true);
    assert_eq!((session.state, session.lease.is_some(), session.attempt), (State::Joining, false, 1));
    assert_eq!(step(&mut session, seen(Observation::Joining, 2), 2), ["bot.joining"]);
    step(&mut session, seen(Observation::InMeeting, 3), 3);
    let stop = session.apply(Input::Stop, at(4)).unwrap();
    assert_eq!((stop.jobs.as_slice(), session.stop_requested), (&tend[..], Some(at(4))));
    let outcome = session.apply(seen(out_of_the_call(EndReason::HostEnded), 5), at(5)).unwrap();
    assert_eq!(outcome.jobs, tend);
    assert_eq!(session.end.as_ref().map(|end| end.reason), Some(EndReason::LeaveRequested), "that is why");
    let outcome = session.apply(seen(audio(None), 6), at(6)).unwrap();
    assert_eq!((outcome.events.len(), outcome.jobs.as_slice()), (0, &tend[..]), "ours is there when it is fetched");
    assert_eq!(step(&mut session, settle(ArtifactKind::Audio), 7), ["audio.processed"]);
    assert_eq!(step(&mut session, settle(ArtifactKind::Transcript), 8), ["transcription.processed", "bot.done"]);
    let outcome = session.apply(Input::MediaDeleted { objects: 1 }, at(9)).unwrap();
    let forget = Job::Forget { bot: session.id, source: "cloud".into(), remote: "m-1".into(), tries: 0 };
    assert_eq!(outcome.jobs, [(forget, Duration::ZERO)], "what is kept there goes, too");
}

#[test]
fn an_end_without_an_admission_is_looked_into() {
    let mut session = ours(false);
    let outcome = session.apply(seen(out_of_the_call(EndReason::HostEnded), 5), at(5)).unwrap();
    assert_eq!((session.state, outcome.jobs.len(), outcome.events.len()), (State::Joining, 1, 0));
    let found = Input::RemoteEnded { admitted: true, reason: EndReason::HostEnded, message: "over".into(), at: at(5) };
    assert_eq!(step(&mut session, found, 6), ["bot.joining", "bot.inmeeting", "bot.stopped"]);
    let mut session = ours(false);
    let refused = seen(out_of_the_call(EndReason::JoinDenied), 5);
    assert_eq!(step(&mut session, refused, 5), ["bot.denied", "bot.done"]);
}

#[test]
fn what_cannot_be_had_elsewhere_ends_and_a_worker_or_a_service_has_it_never_both() {
    let mut session = elsewhere(Remote::ours("cloud"), false).0;
    step(&mut session, Input::Send, 1);
    assert!(session.apply(Input::Send, at(1)).is_err());
    assert_eq!(step(&mut session, Input::NotSent { message: "401".into() }, 2), ["bot.failed", "bot.done"]);

    let overflow = Some(Duration::from_secs(30));
    let (mut session, outcome) = Session::create(NewSession { overflow, ..new(None, false) }, at(0));
    assert_eq!(outcome.jobs[1], (Job::Tend { bot: session.id }, Duration::from_secs(30)));
    let outcome = session.apply(Input::HandOver { source: "cloud".into() }, at(30)).unwrap();
    assert_eq!(outcome.jobs, [(Job::Tend { bot: session.id }, Duration::ZERO)]);
    let late = acquire(&session);
    assert!(session.apply(late, at(31)).is_err());
    let (mut session, _) = Session::create(new(None, false), at(0));
    let taken = acquire(&session);
    step(&mut session, taken, 1);
    assert!(session.apply(Input::HandOver { source: "cloud".into() }, at(30)).is_err());

    let mut session = theirs(false);
    assert!(session.apply(Input::Stop, at(1)).is_err(), "it can only be stopped where it is");
    step(&mut session, seen(Observation::InMeeting, 1), 1);
    assert!(session.apply(Input::Stop, at(2)).is_err());
}

#[test]
fn what_only_its_end_is_heard_of_was_in_its_call_unless_it_was_in_the_lobby() {
    let mut session = theirs(false);
    let events = step(&mut session, seen(out_of_the_call(EndReason::CallEnded), 9), 9);
    assert_eq!(events, ["bot.joining", "bot.inmeeting", "bot.stopped"], "its recording is still to come");
    let mut session = theirs(false);
    step(&mut session, seen(Observation::WaitingRoom, 1), 1);
    assert_eq!(step(&mut session, seen(out_of_the_call(EndReason::CallEnded), 9), 9), ["bot.stopped", "bot.done"]);
    let mut session = theirs(false);
    assert!(session.apply(seen(out_of_the_call(EndReason::CallEnded), -301), at(9)).is_err(), "that of another");
}

#[test]
fn why_it_leaves_may_be_said_before_it_is_gone() {
    let mut session = theirs(false);
    step(&mut session, seen(Observation::InMeeting, 1), 1);
    step(&mut session, seen(Observation::Leaving { why: Some(EndReason::Silence) }, 2), 2);
    step(&mut session, seen(out_of_the_call(EndReason::CallEnded), 3), 3);
    assert_eq!(session.end.map(|end| end.reason), Some(EndReason::Silence));
}

fn refused() -> Input {
    Input::RemoteLooked(Looked::Refused("404 Not Found".into()))
}

#[test]
fn a_bot_that_its_service_disowns_is_given_up() {
    let mut session = ours(false);
    step(&mut session, seen(Observation::Recording, 3), 3);
    for second in [60, 120, 180, 240] {
        assert_eq!(step(&mut session, refused(), second), [""; 0]);
    }
    // Many at once are one: it may be its key, which somebody mends.
    assert_eq!(step(&mut session, refused(), 659), [""; 0]);
    assert_eq!(step(&mut session, refused(), 660), ["bot.failed"]);
    let end = session.end.clone().unwrap();
    assert_eq!(end.reason, EndReason::RemoteFailed);
    assert!(end.message.ends_with("how the bot fares: 404 Not Found"), "{}", end.message);
    assert_eq!(session.state, State::Processing, "what it recorded until then may be there");

    // One that is heard of in between is there.
    for heard in [Input::RemoteLooked(Looked::Heard), seen(Observation::Recording, 500)] {
        let mut session = ours(false);
        step(&mut session, seen(Observation::InMeeting, 3), 3);
        for second in [60, 120, 180, 240] {
            step(&mut session, refused(), second);
        }
        step(&mut session, heard, 500);
        assert_eq!(step(&mut session, refused(), 700), [""; 0]);
        assert!(session.state.is_live());
    }
    // A service that is away refuses nothing, and is written down once.
    let mut session = ours(false);
    step(&mut session, seen(Observation::InMeeting, 3), 3);
    step(&mut session, Input::RemoteLooked(Looked::Away), 60);
    let before = session.clone();
    assert!(session.apply(Input::RemoteLooked(Looked::Away), at(5_000)).is_err());
    assert_eq!(session, before);
    // Of one that its caller sent there we know nothing.
    assert!(theirs(false).apply(refused(), at(1)).is_err());
}

#[test]
fn a_bot_that_is_not_known_to_be_there_at_its_deadline_did_not_stay_for_too_long() {
    for (way, reason) in
        [(Observation::WaitingRoom, EndReason::LobbyTimeout), (Observation::Recording, EndReason::MaxDuration)]
    {
        for (looked, want) in [(Looked::Away, EndReason::RemoteFailed), (Looked::Heard, reason)] {
            let mut session = ours(false);
            step(&mut session, seen(way.clone(), 3), 3);
            step(&mut session, Input::RemoteLooked(Looked::Away), 60);
            let _ = session.apply(Input::RemoteLooked(looked), at(120));
            let deadline = session.deadline().unwrap();
            session.apply(Input::DeadlinePassed, deadline).unwrap();
            assert_eq!(session.end.map(|end| end.reason), Some(want));
        }
    }
}

#[test]
fn a_bot_of_its_callers_may_set_out_before_its_time() {
    let scheduled = |remote| Session::create(NewSession { remote: Some(remote), ..new(Some(at(600)), false) }, at(0)).0;
    let mut session = scheduled(Remote::theirs("recall", Some("r-1".into())));
    // What changes nothing in the queue changes nothing before it either.
    let before = session.clone();
    let person = Observation::Person { joined: true, id: "p-1".into(), name: "Ada".into() };
    for refused in [seen(person, 5), seen(out_of_the_call(EndReason::CallEnded), -301)] {
        let rejected = session.apply(refused, at(5)).unwrap_err();
        assert!(matches!(rejected, Rejected::NotNow { .. }), "{rejected}");
        assert_eq!(session, before);
    }
    assert_eq!(step(&mut session, seen(Observation::Joining, 420), 420), ["bot.joining"]);
    assert!(session.apply(Input::Due, at(600)).is_err(), "it has set out");
    assert_eq!(step(&mut session, seen(Observation::Recording, 430), 430), ["bot.inmeeting", "bot.recording"]);
    assert!(!session.has_place(), "it takes none of the fleet");
    assert_eq!(step(&mut session, seen(out_of_the_call(EndReason::Kicked), 500), 500), ["bot.kicked"]);

    // Nothing but why it failed was heard of it.
    let mut session = scheduled(Remote::theirs("recall", None));
    let failed = seen(out_of_the_call(EndReason::JoinDenied), 420);
    assert_eq!(step(&mut session, failed, 420), ["bot.denied", "bot.done"]);

    // What was recorded is no news of a call.
    let mut session = scheduled(Remote::theirs("recall", None));
    step(&mut session, seen(audio(None), 420), 420);
    assert_eq!(session.state, State::Scheduled);

    // One of ours is sent when its time has come.
    let mut session = scheduled(Remote::ours("cloud"));
    assert!(session.apply(seen(Observation::Joining, 420), at(420)).is_err());
}

fn inputs() -> impl Strategy<Value = (u8, i64)> {
    (0..16_u8, 0..100_i64)
}

fn input(kind: u8, second: i64) -> Input {
    let at = at(second);
    match kind {
        0 => Input::Send,
        1 => Input::Sent { bot: "m-1".into() },
        2 => Input::NotSent { message: "no".into() },
        3 => Input::Stop,
        4 => Input::RemoteEnded { admitted: second % 2 == 0, reason: EndReason::HostEnded, message: "over".into(), at },
        5 => settle(ArtifactKind::Audio),
        6 => settle(ArtifactKind::Transcript),
        14 => match second % 3 {
            0 => Input::RemoteLooked(Looked::Heard),
            1 => Input::RemoteLooked(Looked::Away),
            _ => refused(),
        },
        15 => Input::Due,
        kind => {
            let observation = match kind {
                7 => Observation::Joining,
                8 => Observation::WaitingRoom,
                9 => Observation::InMeeting,
                10 => Observation::Recording,
                11 => Observation::Leaving { why: None },
                12 => match second % 4 {
                    0 => audio(None),
                    1 => words(),
                    2 => audio(Some("lost")),
                    _ => Observation::Done,
                },
                _ => out_of_the_call(match second % 3 {
                    0 => EndReason::HostEnded,
                    1 => EndReason::LobbyTimeout,
                    _ => EndReason::Internal,
                }),
            };
            Input::Observe { observation, at }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_heard_the_invariants_hold_and_every_session_ends(
        ours: bool, transcript: bool, scheduled: bool, happenings in prop::collection::vec(inputs(), 0..60)
    ) {
        let remote = if ours { Remote::ours("cloud") } else { Remote::theirs("recall", None) };
        let join_at = scheduled.then(|| at(50));
        let new = NewSession { remote: Some(remote), ..new(join_at, transcript) };
        let (mut session, outcome) = Session::create(new, at(0));
        let mut events = outcome.events;
        for (kind, second) in happenings {
            let before = session.clone();
            match session.apply(input(kind, second), at(second)) {
                Ok(outcome) => events.extend(outcome.events),
                Err(_) => prop_assert_eq!(&session, &before),
            }
            prop_assert!(session.lease.is_none() && session.attempt <= MAX_ATTEMPTS);
            assert_lawful(&events);
            prop_assert!(events.iter().filter(|event| event.bot_event == "bot.inmeeting").count() <= 1);
        }
        // Its time comes, whatever was heard before.
        if let Ok(outcome) = session.apply(Input::Due, at(100)) {
            events.extend(outcome.events);
        }
        for _ in 0..20 {
            let Some(deadline) = session.deadline() else { break };
            events.extend(session.apply(Input::DeadlinePassed, deadline).unwrap().events);
        }
        prop_assert_eq!(session.state, State::Done);
        assert_lawful(&events);
    }
}
