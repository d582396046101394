//! The machine, step by step, and by any sequence of inputs.

mod remote;

use proptest::prelude::*;
use serde_json::{Map, json};
use uuid::Uuid;

use super::*;
use crate::leave::LeavePolicy;
use crate::retry::{MAX_ATTEMPTS, attempt_backoff};
use crate::{BotId, Fault, MediaPlan, Meeting, TenantId};

const TTL: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
}

fn new(join_at: Option<Timestamp>, transcript: bool) -> NewSession {
    NewSession {
        id: BotId::from_uuid(Uuid::from_u128(7)),
        tenant: TenantId::new("t"),
        request: json!({}),
        meeting: Meeting {
            link: "http://127.0.0.1/r".into(),
            platform: "sandbox".into(),
            label: "Sandbox".into(),
            join_url: "http://127.0.0.1/r".parse().unwrap(),
            key: "r".into(),
        },
        bot_name: "Notes".into(),
        callback_url: None,
        custom_attributes: Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan {
            transcript: transcript.then(|| TranscriptPlan { provider: "meetstream".into(), options: json!({}) }),
            ..MediaPlan::default()
        },
        deduplication_key: None,
        rejoin: false,
        remote: None,
        overflow: None,
        join_at,
        transcript_id: TranscriptId::from_uuid(Uuid::from_u128(8)),
        retention: Duration::from_secs(7 * 86_400),
    }
}

fn gone(session: &Session, reason: EndReason) -> Input {
    Input::BotGone { fencing: session.fencing, reason, message: "m".into() }
}

fn acquire(session: &Session) -> Input {
    Input::Acquire { owner: WorkerId::new("w"), ttl: TTL, attempt: session.attempt + 1 }
}

fn report(session: &Session, report: Report) -> Input {
    Input::Report { fencing: session.fencing, report }
}

fn ended(second: i64, reason: EndReason) -> Report {
    Report::Ended { at: at(second), reason, message: reason.message().into(), recorded_ms: 1 }
}

/// Applies an input that must be accepted, and answers the specific names of its events.
fn step(session: &mut Session, input: Input, second: i64) -> Vec<String> {
    let outcome = session.apply(input, at(second)).unwrap();
    outcome.events.into_iter().map(|event| event.bot_event).collect()
}

/// A session that was let in at second 2 and records.
fn recording(transcript: bool) -> Session {
    let (mut session, _) = Session::create(new(None, transcript), at(0));
    let input = acquire(&session);
    step(&mut session, input, 1);
    for told in [
        Report::Joining { at: at(1), simulated: false },
        Report::Admitted { at: at(2) },
        Report::Recording { at: at(2) },
    ] {
        let input = report(&session, told);
        step(&mut session, input, 2);
    }
    session
}

#[test]
fn a_simulated_bot_is_called_simulated_from_its_first_word_on() {
    for simulated in [false, true] {
        let (mut session, _) = Session::create(new(None, false), at(0));
        let input = acquire(&session);
        step(&mut session, input, 1);
        for told in [Report::Joining { at: at(1), simulated }, Report::Admitted { at: at(2) }] {
            let input = report(&session, told);
            let outcome = session.apply(input, at(2)).unwrap();
            assert_eq!(outcome.events[0].body.get("simulated"), simulated.then_some(&serde_json::json!(true)));
        }
        assert_eq!(session.simulated, simulated);
        let stored = serde_json::to_value(&session).unwrap();
        assert_eq!(stored.get("simulated").is_some(), simulated, "records of others stay as they were");
    }
}

#[test]
fn people_who_come_and_go_are_told_of_beside_the_others() {
    let hook = |joins, leaves| crate::ParticipantHook { url: "https://example.com/p".parse().unwrap(), joins, leaves };
    let mut session = recording(false);
    session.media.participants = vec![hook(true, false), hook(true, true)];
    let before = session.sequence;
    let mut told = |joined| {
        let person = Report::Participant { at: at(5), joined, id: "ada".into(), name: "Ada".into() };
        let input = report(&session, person);
        session.apply(input, at(5)).unwrap().events
    };
    let came = told(true);
    assert_eq!(came.iter().map(|event| event.sequence - crate::event::ASIDE).collect::<Vec<_>>(), [1, 2]);
    assert!(came.iter().all(|event| event.event == "participant_events.join" && event.to.is_some()));
    let data = &came[0].body["data"];
    assert_eq!(data["data"]["participant"]["full_name"], "Ada");
    assert_eq!(data["data"]["timestamp"]["relative"], 3.0, "since the bot was let in");
    assert_eq!(data["bot"]["id"], session_id());
    assert_eq!(told(false).len(), 1);
    assert_eq!(session.sequence, before, "the others have no gaps");
}

fn session_id() -> String {
    new(None, false).id.to_string()
}

fn settle(kind: ArtifactKind) -> Input {
    Input::Settle { kind, state: ArtifactState::Ready }
}

#[test]
fn a_create_runs_at_once_or_waits_for_its_time() {
    let (session, outcome) = Session::create(new(None, false), at(0));
    assert_eq!((session.state, outcome.events.len()), (State::Queued, 0));
    assert_eq!(outcome.jobs, [(Job::Run { bot: session.id, attempt: 1 }, Duration::ZERO)]);

    let (mut later, outcome) = Session::create(new(Some(at(600)), false), at(0));
    assert_eq!((later.state, outcome.jobs.len()), (State::Scheduled, 0));
    assert_eq!(outcome.events[0].bot_event, "bot.scheduled");
    assert_eq!(step(&mut later, Input::Reschedule { join_at: at(900) }, 1), [""; 0]);
    assert_eq!(later.join_at, Some(at(900)));
    // A calendar may say so again, and move it any number of times.
    for minute in 0..TIMELINE_MAX as i64 * 2 {
        step(&mut later, Input::Reschedule { join_at: at(1_000 + minute / 2 * 60) }, 1);
    }
    step(&mut later, Input::Reschedule { join_at: at(900) }, 2);
    step(&mut later, Input::Reschedule { join_at: at(900) }, 3);
    let lines: Vec<_> = later.timeline.iter().map(|entry| (entry.message.as_str(), entry.at)).collect();
    let (asked, moved) = (format!("Joins at {}", at(600)), format!("Now joins at {}", at(900)));
    assert_eq!(lines, [(asked.as_str(), at(0)), (moved.as_str(), at(2))]);
    assert_eq!(later.apply(Input::Due, at(900)).unwrap().jobs.len(), 1);
    assert_eq!(later.state, State::Queued);
    assert!(later.apply(Input::Reschedule { join_at: at(999) }, at(901)).is_err(), "it is on its way");
}

#[test]
fn a_normal_call_tells_everything_once_and_in_order() {
    let mut session = recording(true);
    let mut told: Vec<String> = Vec::new();
    let leaving = Report::Leaving { at: at(60), reason: EndReason::HostEnded, message: "over".into() };
    for input in [report(&session, leaving), report(&session, ended(61, EndReason::HostEnded))] {
        told.extend(step(&mut session, input, 61));
    }
    assert_eq!((session.state, session.lease.is_none()), (State::Processing, true));
    for kind in [ArtifactKind::Manifest, ArtifactKind::Audio, ArtifactKind::Transcript] {
        told.extend(step(&mut session, settle(kind), 70));
    }
    let want =
        ["bot.leaving", "bot.stopped", "manifest.completed", "audio.processed", "transcription.processed", "bot.done"];
    assert_eq!(told, want);
    assert_eq!((session.state, session.sequence), (State::Done, 9));
}

#[test]
fn who_was_never_let_in_goes_from_the_terminal_to_done() {
    let (mut session, _) = Session::create(new(None, true), at(0));
    let input = acquire(&session);
    step(&mut session, input, 1);
    let input = report(&session, Report::WaitingRoom { at: at(2) });
    step(&mut session, input, 2);
    let outcome = session.apply(report(&session, ended(9, EndReason::JoinDenied)), at(9)).unwrap();
    let told: Vec<_> = outcome.events.iter().map(|e| (e.event.as_str(), e.bot_event.as_str())).collect();
    assert_eq!(told, [("bot.leaving", "bot.leaving"), ("bot.stopped", "bot.denied"), ("bot.done", "bot.done")]);
    assert_eq!(outcome.events[1].body["status_code"], 500);
    assert_eq!(session.transcripts[0].status, TranscriptStatus::Failed);
}

/// Invariant: at most one live bot per session; a stale token changes nothing.
#[test]
fn a_stale_token_changes_nothing() {
    let mut session = recording(false);
    let before = session.clone();
    let stale = Input::Report { fencing: session.fencing - 1, report: ended(3, EndReason::Kicked) };
    assert!(matches!(session.apply(stale, at(3)), Err(Rejected::StaleToken { .. })));
    assert!(session.apply(acquire(&before), at(3)).is_err(), "somebody runs it");
    assert_eq!(session, before);
}

#[test]
fn a_loss_is_tried_again_before_admission_and_without_leave_not_after() {
    let (mut session, _) = Session::create(new(None, false), at(0));
    for attempt in 1..=MAX_ATTEMPTS {
        let input = acquire(&session);
        step(&mut session, input, i64::from(attempt));
        let gone = Input::BotGone { fencing: session.fencing, reason: EndReason::BotCrashed, message: "died".into() };
        let outcome = session.apply(gone, at(i64::from(attempt))).unwrap();
        if attempt < MAX_ATTEMPTS {
            let next = Job::Run { bot: session.id, attempt: attempt + 1 };
            assert_eq!(outcome.jobs, [(next, attempt_backoff(attempt + 1))]);
            assert!(outcome.events.is_empty(), "the caller is not told of every attempt");
        } else {
            assert_eq!(outcome.events[0].bot_event, "bot.failed");
        }
    }
    assert_eq!(session.state, State::Done);

    let mut session = recording(false);
    assert!(session.apply(Input::LeaseExpired, at(30)).is_err(), "it was renewed, or is not over yet");
    assert_eq!(step(&mut session, Input::LeaseExpired, 99), ["bot.failed"]);
    assert_eq!(session.end.as_ref().unwrap().reason, EndReason::WorkerLost);
    assert_eq!(session.state, State::Processing, "what was recorded is still settled");
}

/// A session that was lost in its call at second 99 and is on its way back.
fn coming_back() -> Session {
    let mut session = Session { rejoin: true, ..recording(false) };
    let outcome = session.apply(Input::LeaseExpired, at(99)).unwrap();
    assert_eq!(outcome.jobs, [(Job::Run { bot: session.id, attempt: 2 }, Duration::ZERO)], "the call goes on");
    assert_eq!((session.state, outcome.events.len()), (State::Queued, 0));
    session
}

#[test]
fn a_bot_that_is_lost_in_its_call_comes_back_once() {
    let mut session = coming_back();
    let input = acquire(&session);
    step(&mut session, input, 100);
    let back = [
        Report::Joining { at: at(100), simulated: false },
        Report::Admitted { at: at(101) },
        Report::Recording { at: at(102) },
    ];
    for (told, event) in back.into_iter().zip(["bot.joining", "bot.inmeeting", "bot.recording"]) {
        let outcome = session.apply(report(&session, told), at(102)).unwrap();
        assert_eq!((outcome.events[0].bot_event.as_str(), &outcome.events[0].body["attempt"]), (event, &json!(2)));
    }
    assert_eq!(session.admitted_at, Some(at(2)), "its stay counts from the first time");
    // Lost again: it is over, and what was recorded is settled.
    let gone = Input::BotGone { fencing: session.fencing, reason: EndReason::BotCrashed, message: "died".into() };
    assert_eq!(step(&mut session, gone, 200), ["bot.failed"]);
    assert_eq!((session.state, session.end.unwrap().reason), (State::Processing, EndReason::BotCrashed));
}

#[test]
fn a_machine_short_of_memory_costs_no_call_and_a_bot_that_takes_too_much_its_own() {
    for (reason, comes_back) in [(EndReason::HostOutOfMemory, true), (EndReason::OverBudget, false)] {
        let mut session = Session { rejoin: true, ..recording(false) };
        let gone = Input::BotGone { fencing: session.fencing, reason, message: "memory".into() };
        session.apply(gone, at(50)).unwrap();
        assert_eq!(session.state == State::Queued, comes_back, "{reason}");
        assert_eq!(reason.fault(), Fault::Us);
    }
}

#[test]
fn a_bot_that_cannot_come_back_ends_by_its_loss() {
    let mut session = coming_back();
    let input = acquire(&session);
    step(&mut session, input, 100);
    let input = report(&session, ended(101, EndReason::MeetingOver));
    assert_eq!(step(&mut session, input, 101), ["bot.leaving", "bot.failed"]);
    let end = session.end.as_ref().unwrap();
    assert_eq!(end.reason, EndReason::WorkerLost);
    assert!(end.message.contains("could not come back: The meeting was already over"), "{}", end.message);
    assert_eq!(session.state, State::Processing);

    let mut session = coming_back();
    assert_eq!(session.deadline(), Some(at(99) + REJOIN_WAIT), "nobody waits an hour for it");
    step(&mut session, Input::DeadlinePassed, 99 + 300);
    assert_eq!(session.end.unwrap().reason, EndReason::WorkerLost);

    let mut session = coming_back();
    assert_eq!(step(&mut session, Input::Stop, 100), ["bot.leaving", "bot.stopped"]);
    assert_eq!(session.end.unwrap().reason, EndReason::LeaveRequested);

    // Nobody waits for a bot that was asked to leave, and a human decision is not appealed.
    let mut session = Session { rejoin: true, ..recording(false) };
    step(&mut session, Input::Stop, 60);
    assert_eq!(step(&mut session, Input::LeaseExpired, 99), ["bot.stopped"]);
    let mut session = Session { rejoin: true, ..recording(false) };
    let input = report(&session, ended(60, EndReason::Kicked));
    assert_eq!(step(&mut session, input, 60), ["bot.leaving", "bot.kicked"]);
}

/// The next attempt is made once the bot is out, so that there are never two, and nothing of the recording is lost.
#[test]
fn a_bot_that_says_it_lost_its_call_gets_out_before_it_comes_back() {
    let lost = |reason| Report::Leaving { at: at(60), reason, message: "no connection".into() };
    let mut session = Session { rejoin: true, ..recording(false) };
    let outcome = session.apply(report(&session, lost(EndReason::ConnectionLost)), at(60)).unwrap();
    assert!(outcome.jobs.is_empty() && outcome.events.is_empty());
    assert_eq!((session.state, &session.end), (State::Leaving, &None));
    let mut stuck = session.clone();
    let outcome = session.apply(report(&session, ended(62, EndReason::ConnectionLost)), at(62)).unwrap();
    assert_eq!(outcome.jobs, [(Job::Run { bot: session.id, attempt: 2 }, Duration::ZERO)]);
    assert_eq!(session.lost.unwrap().reason, EndReason::ConnectionLost);
    // One that is asked to leave for good meanwhile is not sent back.
    let mut asked = stuck.clone();
    step(&mut asked, Input::Stop, 61);
    let input = report(&asked, ended(62, EndReason::ConnectionLost));
    assert_eq!(step(&mut asked, input, 62), ["bot.leaving", "bot.stopped"]);
    assert_eq!(asked.end.unwrap().reason, EndReason::LeaveRequested);
    // One that does not get out is lost all the same; nobody is sent in while its worker holds it.
    let now = at(60) + LEAVE_WAIT;
    stuck.lease.as_mut().unwrap().until = now + TTL;
    let outcome = stuck.apply(Input::DeadlinePassed, now).unwrap();
    assert_eq!(stuck.state, State::Queued);
    assert_eq!(outcome.jobs, [(Job::Run { bot: stuck.id, attempt: 2 }, TTL)]);
}

#[test]
fn who_comes_back_to_an_empty_call_says_that_everyone_left() {
    let mut session = coming_back();
    let input = acquire(&session);
    step(&mut session, input, 100);
    let input = report(&session, Report::Admitted { at: at(101) });
    step(&mut session, input, 101);
    let longest = session.leave.longest_stay();
    assert!(session.deadline().unwrap() > at(101) + longest + GRACE, "it may have waited to be let in");
    let input = report(&session, ended(400, EndReason::NoOneJoined));
    step(&mut session, input, 400);
    assert_eq!(session.end.unwrap().reason, EndReason::EveryoneLeft);
}

#[test]
fn the_reason_is_decided_once() {
    let mut session = recording(false);
    let leaving = Report::Leaving { at: at(60), reason: EndReason::EveryoneLeft, message: "alone".into() };
    let input = report(&session, leaving);
    step(&mut session, input, 60);
    let input = report(&session, ended(61, EndReason::BotCrashed));
    assert_eq!(step(&mut session, input, 61), ["bot.stopped"]);
    assert_eq!(session.end.unwrap().reason, EndReason::EveryoneLeft);

    let mut session = recording(false);
    step(&mut session, Input::Stop, 60);
    assert_eq!(step(&mut session, Input::LeaseExpired, 99), ["bot.stopped"], "it was asked to leave");
    let (mut queued, _) = Session::create(new(None, false), at(0));
    assert_eq!(step(&mut queued, Input::Stop, 1), ["bot.leaving", "bot.stopped", "bot.done"]);
}

#[test]
fn a_later_transcript_and_a_deletion_tell_only_whom_they_concern() {
    let mut session = recording(true);
    let input = report(&session, ended(60, EndReason::HostEnded));
    step(&mut session, input, 60);
    step(&mut session, settle(ArtifactKind::Manifest), 61);
    step(&mut session, settle(ArtifactKind::Audio), 61);
    let failed = ArtifactState::Failed { message: "no".into() };
    let input = Input::Settle { kind: ArtifactKind::Transcript, state: failed };
    let outcome = session.apply(input, at(62)).unwrap();
    assert_eq!(outcome.events[0].bot_event, "transcription.failed");
    assert_eq!(outcome.events[1].body["status_code"], 500, "something was not made");

    let (id, plan) = (TranscriptId::from_uuid(Uuid::from_u128(9)), session.transcripts[0].plan.clone());
    let url: url::Url = "https://example.com/t".parse().unwrap();
    step(&mut session, Input::AddTranscript { id, plan, callback_url: Some(url.clone()) }, 70);
    let outcome = session.apply(Input::SettleTranscript { id, result: Ok(()) }, at(80)).unwrap();
    assert_eq!(outcome.events[0].to, Some(url));
    let outcome = session.apply(Input::MediaDeleted { objects: 3 }, at(90)).unwrap();
    assert_eq!(outcome.events[0].body["deleted_objects"], 3);
    assert!(outcome.events[0].body.get("custom_attributes").is_none());
    assert_eq!(session.state, State::MediaExpired);
}

/// A recorded session of this plan whose call is over and everything settled but its transcript.
fn all_but_the_transcript(media: MediaPlan) -> Session {
    let (mut session, _) = Session::create(NewSession { media, ..new(None, false) }, at(0));
    let input = acquire(&session);
    step(&mut session, input, 1);
    let input = report(&session, Report::Admitted { at: at(2) });
    step(&mut session, input, 2);
    let input = report(&session, ended(60, EndReason::HostEnded));
    step(&mut session, input, 60);
    step(&mut session, settle(ArtifactKind::Manifest), 61);
    step(&mut session, settle(ArtifactKind::Audio), 61);
    session
}

fn later(number: u128) -> (TranscriptId, Input) {
    let id = TranscriptId::from_uuid(Uuid::from_u128(number));
    let plan = TranscriptPlan { provider: "deepgram".into(), options: json!({}) };
    (id, Input::AddTranscript { id, plan, callback_url: Some("https://example.com/t".parse().unwrap()) })
}

#[test]
fn live_words_alone_owe_a_transcript_too() {
    let plan = TranscriptPlan { provider: "deepgram_streaming".into(), options: json!({}) };
    let mut session = all_but_the_transcript(MediaPlan { streaming: Some(plan), ..MediaPlan::default() });
    assert_eq!(session.state, State::Processing, "it is not done without its transcript");
    assert_eq!(session.transcript().unwrap().status, TranscriptStatus::Processing);
    let told = step(&mut session, settle(ArtifactKind::Transcript), 62);
    assert_eq!(told, ["transcription.processed", "bot.done"]);
    assert_eq!(session.transcript().unwrap().status, TranscriptStatus::Success);
}

#[test]
fn a_later_transcript_is_settled_whether_or_not_the_bot_had_one_of_its_own() {
    let mut session = all_but_the_transcript(MediaPlan::default());
    assert_eq!((session.state, session.transcript()), (State::Done, None));
    let (id, add) = later(9);
    step(&mut session, add, 70);
    assert_eq!(session.transcript(), None, "it is not the bot's own");
    assert_eq!(step(&mut session, Input::SettleTranscript { id, result: Ok(()) }, 80), ["transcription.processed"]);
    assert_eq!(session.transcripts[0].status, TranscriptStatus::Success);
    assert!(
        session.apply(Input::SettleTranscript { id, result: Err("late".into()) }, at(81)).is_err(),
        "it is settled"
    );

    let mut session = recording(true);
    let input = report(&session, ended(60, EndReason::HostEnded));
    step(&mut session, input, 60);
    let own = session.transcript().unwrap().id;
    let input = Input::SettleTranscript { id: own, result: Ok(()) };
    assert!(session.apply(input, at(61)).is_err(), "the bot's own is an artifact");
}

#[test]
fn a_later_transcript_that_does_not_come_fails_at_its_deadline() {
    let mut session = all_but_the_transcript(MediaPlan::default());
    assert_eq!(session.deadline(), None);
    let ((_, first), (second_id, second)) = (later(9), later(10));
    step(&mut session, first, 100);
    step(&mut session, second, 400);
    assert_eq!(session.deadline(), Some(at(100) + PROCESS_WAIT));
    assert!(session.apply(Input::DeadlinePassed, at(400)).is_err(), "there is time left");
    let outcome = session.apply(Input::DeadlinePassed, at(100) + PROCESS_WAIT).unwrap();
    assert_eq!(outcome.events.len(), 1, "the other one still has time");
    assert_eq!(outcome.events[0].bot_event, "transcription.failed");
    let failure = session.transcripts[0].failure.as_deref();
    assert_eq!(failure, Some("not finished before the transcription deadline"));
    assert_eq!(session.deadline(), Some(at(400) + PROCESS_WAIT));
    step(&mut session, Input::SettleTranscript { id: second_id, result: Ok(()) }, 500);
    assert_eq!((session.deadline(), session.state), (None, State::Done));

    let (_, third) = later(11);
    step(&mut session, third, 600);
    let told = step(&mut session, Input::MediaDeleted { objects: 1 }, 601);
    assert_eq!(told, ["transcription.failed", "data_deletion"], "nothing is left to make it of");
    assert_eq!(session.deadline(), None);
}

#[test]
fn one_that_waits_in_line_has_no_place_and_no_job_until_it_is_released() {
    let (mut session, outcome) = Session::create_held(new(None, false), at(0));
    assert!(outcome.jobs.is_empty() && session.held && !session.has_place());
    let early = session.apply(acquire(&session), at(1)).unwrap_err();
    assert_eq!(early, Rejected::NotNow { input: "acquire", state: State::Queued });
    assert_eq!(session.deadline(), Some(at(0) + HELD_WAIT));
    let mut late = session.clone();
    late.apply(Input::DeadlinePassed, at(0) + HELD_WAIT).unwrap();
    let end = late.end.unwrap();
    assert_eq!((end.reason, end.message.as_str()), (EndReason::NoCapacity, NO_PLACE));
    let released = session.apply(Input::Release, at(2)).unwrap();
    assert_eq!(session.deadline(), Some(at(2) + QUEUE_WAIT), "a worker has all of its time");
    assert_eq!(released.jobs, [(Job::Run { bot: session.id, attempt: 1 }, Duration::ZERO)]);
    assert!(session.has_place());
    assert!(session.apply(Input::Release, at(3)).is_err(), "one place is enough");
    session.apply(acquire(&session), at(3)).unwrap();
    assert!(session.has_place());
    session.apply(gone(&session, EndReason::Kicked), at(4)).unwrap();
    assert!(!session.has_place(), "it is over");
}

#[test]
fn a_scheduled_one_may_have_to_wait_in_line() {
    let (mut session, _) = Session::create(new(Some(at(10)), false), at(0));
    assert!(!session.has_place());
    assert!(session.apply(Input::Hold, at(10)).unwrap().jobs.is_empty());
    assert!(session.held);
    let stopped = session.apply(Input::Stop, at(11)).unwrap();
    assert_eq!(stopped.events.last().map(|event| event.event.as_str()), Some("bot.done"));
    assert!(!session.held);
}

/// Acquires it, has its worker go down before it is let in, and expects the same attempt to be queued at once.
fn handed_back(session: &mut Session, lobby: bool, second: i64) {
    let attempt = session.attempt;
    session.apply(acquire(session), at(second)).unwrap();
    if lobby {
        session.apply(report(session, Report::WaitingRoom { at: at(second) }), at(second)).unwrap();
    }
    let token = session.fencing;
    let out = session.apply(gone(session, EndReason::WorkerShutdown), at(second)).unwrap();
    assert_eq!((session.state, session.attempt, out.events.len()), (State::Queued, attempt, 0));
    assert_eq!(out.jobs, [(Job::Run { bot: session.id, attempt: attempt + 1 }, Duration::ZERO)]);
    assert!(session.fencing > token && session.lease.is_none() && session.has_place());
}

#[test]
fn one_that_was_not_let_in_when_its_worker_goes_down_is_handed_back() {
    let (mut session, _) = Session::create(new(None, false), at(0));
    // However often that is: nothing was tried and failed.
    for second in 1..10 {
        handed_back(&mut session, second % 2 == 0, second);
    }
    // So all attempts are left.
    for attempt in 1..=MAX_ATTEMPTS {
        session.apply(acquire(&session), at(10)).unwrap();
        assert_eq!(session.attempt, attempt);
        if attempt < MAX_ATTEMPTS {
            session.apply(gone(&session, EndReason::BotCrashed), at(10)).unwrap();
            handed_back(&mut session, true, 11);
        }
    }
    let report = Report::Admitted { at: at(11) };
    session.apply(Input::Report { fencing: session.fencing, report }, at(11)).unwrap();
    session.apply(gone(&session, EndReason::WorkerShutdown), at(12)).unwrap();
    assert_eq!(session.end.map(|end| end.reason), Some(EndReason::WorkerShutdown), "its call is over");
}

#[test]
fn one_on_its_way_back_into_its_call_is_handed_back_too() {
    let mut session = coming_back();
    for second in 100..104 {
        handed_back(&mut session, second % 2 == 0, second);
    }
    assert_eq!(session.deadline(), Some(at(103) + REJOIN_WAIT), "the call goes on without it");
    session.apply(acquire(&session), at(104)).unwrap();
    session.apply(report(&session, Report::Admitted { at: at(105) }), at(105)).unwrap();
    assert_eq!((session.state, session.attempt), (State::InMeeting, 2));
}

/// A bot that says itself that its worker goes down says nothing else than its worker does.
#[test]
fn its_own_word_hands_it_back_as_well() {
    let reason = EndReason::WorkerShutdown;
    for told in [Report::Leaving { at: at(3), reason, message: "m".into() }, ended(3, reason)] {
        let (mut session, _) = Session::create(new(None, false), at(0));
        session.apply(acquire(&session), at(1)).unwrap();
        let out = session.apply(report(&session, told), at(3)).unwrap();
        assert_eq!(out.jobs, [(Job::Run { bot: session.id, attempt: 1 }, Duration::ZERO)]);
        assert_eq!((session.state, session.attempt), (State::Queued, 0));
    }
}

/// Invariant: one that is handed back without end does not wait for ever.
#[test]
fn all_that_it_is_handed_back_takes_no_longer_than_one_way_in_may() {
    let (mut session, _) = Session::create(new(None, false), at(0));
    let longest = QUEUE_WAIT + JOIN_WAIT + session.leave.lobby() + GRACE;
    handed_back(&mut session, false, 10);
    assert_eq!(session.deadline(), Some(at(10) + QUEUE_WAIT), "it waits for a worker as long as any");
    let end = at(10) + longest;
    let late = i64::try_from(longest.as_secs()).unwrap() - 90;
    handed_back(&mut session, true, late);
    assert_eq!(session.deadline(), Some(end));
    let mut waiting = session.clone();
    assert_eq!(step(&mut waiting, Input::DeadlinePassed, late + 100), ["bot.failed", "bot.done"]);
    assert_eq!(waiting.end.unwrap().reason, EndReason::NoCapacity);
    let mut failed = session.clone();
    failed.apply(acquire(&failed), at(late)).unwrap();
    failed.apply(gone(&failed, EndReason::BotCrashed), at(late)).unwrap();
    assert_eq!(failed.deadline(), Some(at(late) + QUEUE_WAIT), "another attempt is another way in");
    session.apply(acquire(&session), at(late)).unwrap();
    let out = session.apply(gone(&session, EndReason::WorkerShutdown), end).unwrap();
    assert_eq!(session.end.map(|end| end.reason), Some(EndReason::NoCapacity));
    assert!(out.jobs.is_empty() && out.events[0].body["status_code"] == 500);
}

#[test]
fn one_that_was_asked_to_leave_is_not_handed_back_and_left_because_it_was_asked() {
    let ends: [fn(&Session) -> Input; 2] = [
        |session| report(session, ended(3, EndReason::WorkerShutdown)),
        |session| gone(session, EndReason::WorkerShutdown),
    ];
    for end in ends {
        let (mut session, _) = Session::create(new(None, false), at(0));
        session.apply(acquire(&session), at(1)).unwrap();
        session.apply(Input::Stop, at(2)).unwrap();
        session.apply(end(&session), at(3)).unwrap();
        assert_eq!(session.end.unwrap().reason, EndReason::LeaveRequested);
    }
}

/// What may happen, with the token and the time left open.
fn inputs() -> impl Strategy<Value = (u8, bool, i64, usize)> {
    (0_u8..22, prop::bool::weighted(0.85), -5_i64..400, 0..EndReason::ALL.len())
}

fn input(session: &Session, kind: u8, right_token: bool, now: Timestamp, reason: usize) -> Input {
    let fencing = if right_token { session.fencing } else { session.fencing.wrapping_sub(1) };
    let (reason, message) = (EndReason::ALL[reason], "m".to_owned());
    let id = TranscriptId::from_uuid(Uuid::from_u128(9));
    let say = |report| Input::Report { fencing, report };
    match kind {
        0 => Input::Due,
        1 | 2 => acquire(session),
        3 => say(Report::Joining { at: now, simulated: false }),
        4 => say(Report::WaitingRoom { at: now }),
        5 | 6 => say(Report::Admitted { at: now }),
        7 | 8 => say(Report::Recording { at: now }),
        9 => say(Report::Leaving { at: now, reason, message }),
        10 => say(Report::Ended { at: now, reason, message, recorded_ms: 0 }),
        11 => Input::BotGone { fencing, reason, message },
        12 => Input::Stop,
        13 => Input::LeaseExpired,
        14 => Input::DeadlinePassed,
        15 => settle(ArtifactKind::Manifest),
        16 => settle(ArtifactKind::Audio),
        17 => Input::Settle { kind: ArtifactKind::Transcript, state: ArtifactState::Failed { message } },
        18 => Input::AddTranscript {
            id,
            plan: TranscriptPlan { provider: "p".into(), options: json!({}) },
            callback_url: Some("https://example.com/t".parse().unwrap()),
        },
        19 => Input::Hold,
        20 => Input::Release,
        _ => Input::SettleTranscript { id, result: Ok(()) },
    }
}

fn assert_lawful(events: &[Event]) {
    // Invariant: sequence and time of a bot's events never go backwards.
    assert!(events.iter().map(|event| event.sequence).eq(1..=events.len() as u64));
    assert!(events.is_sorted_by_key(|event| event.at));
    // Invariant: exactly one terminal event, then at most artifact events, then exactly one `bot.done`.
    let own: Vec<&Event> = events.iter().filter(|event| event.to.is_none()).collect();
    let terminals: Vec<usize> = (0..own.len()).filter(|i| own[*i].event == "bot.stopped").collect();
    let done: Vec<usize> = (0..own.len()).filter(|i| own[*i].event == "bot.done").collect();
    assert!(terminals.len() <= 1 && done.len() <= terminals.len());
    if let Some(terminal) = terminals.first() {
        let after = &own[terminal + 1..];
        let artifact = |event: &&&Event| {
            ["manifest.", "audio.", "transcription."].iter().any(|prefix| event.event.starts_with(prefix))
        };
        let artifacts = after.iter().take_while(artifact).count();
        assert!(artifacts <= 3 && after.len() - artifacts == done.len(), "{after:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_and_every_session_ends(
        scheduled: bool, held: bool, transcript: bool, streaming: bool, rejoin: bool, happenings in prop::collection::vec(inputs(), 0..60)
    ) {
        let join_at = scheduled.then(|| at(300));
        let mut new = NewSession { rejoin, ..new(join_at, transcript) };
        new.media.streaming =
            streaming.then(|| TranscriptPlan { provider: "meetstream_streaming".into(), options: json!({}) });
        let made = if held { Session::create_held(new, at(0)) } else { Session::create(new, at(0)) };
        let (mut session, outcome) = made;
        let (mut events, mut now) = (outcome.events, at(0));
        for (kind, right_token, pause, reason) in happenings {
            // Clocks of bots and servers differ, and go back.
            now = if pause < 0 { now - Duration::from_secs(pause.unsigned_abs()) } else { now + Duration::from_secs(pause.unsigned_abs()) };
            let before = session.clone();
            match session.apply(input(&before, kind, right_token, now, reason), now) {
                Ok(outcome) => {
                    prop_assert!(right_token || !matches!(kind, 3..=11), "a stale token was accepted");
                    events.extend(outcome.events);
                }
                Err(_) => prop_assert_eq!(&session, &before),
            }
            prop_assert!(session.fencing >= before.fencing && session.attempt <= MAX_ATTEMPTS + u32::from(rejoin));
            prop_assert_eq!(session.lease.is_some(), session.state.is_live());
            prop_assert!(session.state == State::Queued || !session.held);
            // Invariant: a worker's end before admission is no attempt, and no stop.
            prop_assert!(session.attempt >= before.attempt || session.state == State::Queued || session.end.is_some());
            let stopped = session.end.as_ref().is_some_and(|end| end.reason == EndReason::WorkerShutdown);
            prop_assert!(!stopped || session.was_admitted());
            assert_lawful(&events);
        }
        // Invariant: every state has a deadline, so no session hangs.
        for _ in 0..20 {
            if session.state == State::Scheduled {
                events.extend(session.apply(Input::Due, at(100_000)).unwrap().events);
            }
            let Some(deadline) = session.deadline() else { break };
            events.extend(session.apply(Input::DeadlinePassed, deadline).unwrap().events);
        }
        prop_assert_eq!(session.state, State::Done);
        prop_assert!(session.transcripts.iter().all(|t| t.status != TranscriptStatus::Processing));
        assert_lawful(&events);
    }
}
