//! The session state machine: the only place where a session changes.

mod call;
mod people;
mod remote;
mod settle;

use std::time::Duration;

use crate::event::{Draft, Event};
use crate::job::Job;
use crate::protocol::Report;
use crate::{
    ArtifactKind, ArtifactState, EndReason, Looked, NewSession, Observation, Session, State, TimelineEntry, Timestamp,
    TranscriptId, TranscriptPlan, TranscriptRecord, TranscriptStatus, WorkerId,
};

/// Slack on top of a bot's own timeouts before the control role ends a state from outside.
const GRACE: Duration = Duration::from_secs(60);
/// Longest wait for a worker with room.
const QUEUE_WAIT: Duration = Duration::from_secs(3_600);
/// Longest wait in line for a place.
const HELD_WAIT: Duration = Duration::from_secs(4 * 3_600);
/// The same for a bot that was in its call: the call goes on without it.
const REJOIN_WAIT: Duration = Duration::from_secs(300);
/// Longest time from acquiring to lobby or admission.
const JOIN_WAIT: Duration = Duration::from_secs(300);
/// Longest way out.
const LEAVE_WAIT: Duration = Duration::from_secs(90);
/// Longest settling of artifacts, and longest making of a transcript that was asked for after the call.
const PROCESS_WAIT: Duration = Duration::from_secs(2 * 3_600);
/// Why a bot did not join that waited in line for too long.
const NO_PLACE: &str = "Waited in line too long: no place of its tenant's, or of the fleet, became free in time";
/// The timeline keeps its first lines, and the first of each name; a bot that flaps cannot grow its record without bound.
const TIMELINE_MAX: usize = 200;

/// Something that happened to a session.
#[derive(Clone, Debug)]
pub enum Input {
    /// `join_at` is near enough: queue it.
    Due,
    /// `join_at` is near enough, and there is no place for it: it waits in line.
    Hold,
    /// There is a place for one that waits in line.
    Release,
    /// A worker takes the queued session for `attempt`.
    Acquire {
        /// The worker.
        owner: WorkerId,
        /// How long the lease holds unless renewed.
        ttl: Duration,
        /// The attempt the job was made for; another one means that the job is stale.
        attempt: u32,
    },
    /// The bot says something; the worker vouches for it with its fencing token.
    Report {
        /// Token of the acquisition.
        fencing: u64,
        /// What it says.
        report: Report,
    },
    /// The bot's process ended, or never became ready, without reporting an end.
    BotGone {
        /// Token of the acquisition.
        fencing: u64,
        /// What it looks like from outside.
        reason: EndReason,
        /// Detail for people.
        message: String,
    },
    /// The caller wants it to leave.
    Stop,
    /// A new time for a scheduled session.
    Reschedule {
        /// When to join.
        join_at: Timestamp,
    },
    /// The lease ran out: the worker is gone.
    LeaseExpired,
    /// The state's deadline ([`Session::deadline`]) passed.
    DeadlinePassed,
    /// An artifact is there or will not come.
    Settle {
        /// Which.
        kind: ArtifactKind,
        /// How it went.
        state: ArtifactState,
    },
    /// A transcript asked for after the call.
    AddTranscript {
        /// A fresh id.
        id: TranscriptId,
        /// Who makes it.
        plan: TranscriptPlan,
        /// Receives its one event.
        callback_url: Option<url::Url>,
    },
    /// That transcript is there or will not come.
    SettleTranscript {
        /// Which.
        id: TranscriptId,
        /// How it went.
        result: Result<(), String>,
    },
    /// No worker took it in time: it is to run elsewhere, where this source says how it goes.
    HandOver {
        /// Name of the source.
        source: String,
    },
    /// Its bot is about to be asked for elsewhere.
    Send,
    /// That bot's id there.
    Sent {
        /// The id.
        bot: String,
    },
    /// It cannot be had there.
    NotSent {
        /// Why, for people.
        message: String,
    },
    /// Its source says how the bot that runs elsewhere fares.
    Observe {
        /// What it says.
        observation: Observation,
        /// When that was, by the clock there.
        at: Timestamp,
    },
    /// A look at a bot that we sent elsewhere found that it is out of its call.
    RemoteEnded {
        /// It was in the call.
        admitted: bool,
        /// Why it left.
        reason: EndReason,
        /// The same in their words.
        message: String,
        /// When that was, by the clock there.
        at: Timestamp,
    },
    /// What else came of a look at it.
    RemoteLooked(Looked),
    /// The media was deleted.
    MediaDeleted {
        /// Objects removed.
        objects: u64,
    },
}

/// What a transition causes; committed in the same write as the record.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Webhooks, in order.
    pub events: Vec<Event>,
    /// Jobs to enqueue, each after a pause.
    pub jobs: Vec<(Job, Duration)>,
}

/// Why an input changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The writer lost the session to a later acquisition: it must stop its bot.
    #[error("fencing token {got} is not the current one ({current})")]
    StaleToken {
        /// The writer's token.
        got: u64,
        /// The session's.
        current: u64,
    },
    /// Not possible in this state; late and duplicate inputs end here and are harmless.
    #[error("{input} is not possible in state {state}", state = state.as_str())]
    NotNow {
        /// What came.
        input: &'static str,
        /// Where the session is.
        state: State,
    },
}

impl Session {
    /// Makes a session: queued, or scheduled when `join_at` is in the future.
    #[must_use]
    pub fn create(new: NewSession, now: Timestamp) -> (Self, Outcome) {
        Self::make(new, false, now)
    }

    /// The same when there is no place for it now: one that our workers would run at once waits in line until it is
    /// [released](Input::Release).
    #[must_use]
    pub fn create_held(new: NewSession, now: Timestamp) -> (Self, Outcome) {
        Self::make(new, true, now)
    }

    fn make(new: NewSession, hold: bool, now: Timestamp) -> (Self, Outcome) {
        let scheduled = new.join_at.filter(|at| *at > now);
        let owed = new.media.owed_transcript().cloned();
        let transcripts =
            owed.into_iter().map(|plan| TranscriptRecord::new(new.transcript_id, plan, None, now)).collect();
        let mut session = Self {
            id: new.id,
            tenant: new.tenant,
            version: 0,
            request: new.request,
            meeting: new.meeting,
            bot_name: new.bot_name,
            callback_url: new.callback_url,
            custom_attributes: new.custom_attributes,
            leave: new.leave,
            media: new.media,
            deduplication_key: new.deduplication_key,
            rejoin: new.rejoin,
            lost: None,
            handed_back: None,
            state: if scheduled.is_some() { State::Scheduled } else { State::Queued },
            since: now,
            held: false,
            place: false,
            attempt: 0,
            remote: new.remote,
            overflow_ms: new.overflow.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            simulated: false,
            fencing: 0,
            lease: None,
            sequence: 0,
            asides: 0,
            last_event_at: now,
            stop_requested: None,
            end: None,
            timeline: Vec::new(),
            artifacts: Vec::new(),
            transcripts,
            join_at: scheduled,
            created_at: now,
            updated_at: now,
            admitted_at: None,
            ended_at: None,
            expires_at: scheduled.unwrap_or(now) + new.retention,
        };
        let mut out = Outcome::default();
        if let Some(at) = scheduled {
            session.note("Scheduled", format!("Joins at {at}"), now);
            session.emit(
                &mut out,
                Draft::new("bot.scheduled", Some("Scheduled"), format!("Bot scheduled for {at}")),
                now,
            );
        } else if hold && session.remote.is_none() {
            session.wait_in_line(&mut out, now);
        } else {
            session.dispatch(Duration::ZERO, &mut out);
        }
        (session, out)
    }

    /// Takes one input. On `Err` the session is unchanged.
    pub fn apply(&mut self, input: Input, now: Timestamp) -> Result<Outcome, Rejected> {
        let mut out = Outcome::default();
        match input {
            Input::Due => self.due(&mut out, now)?,
            Input::Hold => self.hold(&mut out, now)?,
            Input::Release => self.release(&mut out, now)?,
            Input::Reschedule { join_at } => self.reschedule(join_at, &mut out, now)?,
            Input::Acquire { owner, ttl, attempt } => self.acquire(owner, ttl, attempt, now)?,
            Input::Report { fencing, report } => {
                self.check_token(fencing)?;
                self.report(report, &mut out, now)?;
            }
            Input::BotGone { fencing, reason, message } => {
                self.check_token(fencing)?;
                self.require(self.state.is_live(), "bot_gone")?;
                self.lost(reason, message, &mut out, now);
            }
            Input::Stop => self.stop(&mut out, now)?,
            Input::LeaseExpired => {
                let over = self.lease.as_ref().is_some_and(|lease| lease.until <= now);
                self.require(self.state.is_live() && over, "lease_expired")?;
                self.lost(EndReason::WorkerLost, EndReason::WorkerLost.message().to_owned(), &mut out, now);
            }
            Input::DeadlinePassed => self.overdue(&mut out, now)?,
            Input::Settle { kind, state } => self.settle(kind, state, &mut out, now)?,
            Input::AddTranscript { id, plan, callback_url } => {
                self.require(self.state == State::Done, "add_transcript")?;
                self.transcripts.push(TranscriptRecord::new(id, plan, callback_url, now));
                out.jobs.push((Job::Transcribe { bot: self.id, transcript: id }, Duration::ZERO));
            }
            Input::SettleTranscript { id, result } => self.settle_transcript(id, &result, &mut out, now)?,
            Input::HandOver { source } => self.hand_over(source, &mut out)?,
            Input::Send => self.send(now)?,
            Input::Sent { bot } => self.sent(bot, &mut out)?,
            Input::NotSent { message } => self.not_sent(message, &mut out, now)?,
            Input::Observe { observation, at } => self.observe(observation, at, &mut out, now)?,
            Input::RemoteEnded { admitted, reason, message, at } => {
                self.require(self.remote.is_some() && self.state.is_live(), "remote_ended")?;
                self.remote_ended(admitted, (reason, message), &mut out, at.min(now), now);
            }
            Input::RemoteLooked(looked) => self.remote_looked(looked, &mut out, now)?,
            Input::MediaDeleted { objects } => {
                self.require(self.state == State::Done, "media_deleted")?;
                self.give_up_transcripts("the recording was deleted", |_| true, &mut out, now)?;
                self.enter(State::MediaExpired, now);
                self.note("MediaExpired", format!("{objects} objects deleted"), now);
                let mut draft = Draft::new("data_deletion", None, format!("Deleted {objects} stored objects"))
                    .with("status", "success")
                    .with("deleted_objects", objects);
                draft.with_attributes = false;
                self.emit(&mut out, draft, now);
                // What is kept there goes, too.
                self.forget_remote(&mut out);
            }
        }
        self.updated_at = now;
        Ok(out)
    }

    /// When the present state has lasted too long, or `None` where waiting is the point. A session that is done waits
    /// only for transcripts that were asked for since.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        if let Some(deadline) = self.remote_deadline() {
            return Some(deadline);
        }
        Some(match self.state {
            State::Scheduled | State::MediaExpired => return None,
            State::Done => return self.added_transcripts().filter_map(TranscriptRecord::deadline).min(),
            State::Queued if self.lost.is_some() => self.queued_until(REJOIN_WAIT),
            State::Queued if self.held => self.since + HELD_WAIT,
            State::Queued => self.queued_until(QUEUE_WAIT),
            State::Joining => self.since + JOIN_WAIT,
            State::WaitingRoom => self.since + self.leave.lobby() + GRACE,
            State::InMeeting | State::Recording => {
                // A bot that came back counts what was left of its stay from its new admission.
                let way_back = if self.lost.is_some() { JOIN_WAIT + self.leave.lobby() } else { Duration::ZERO };
                self.admitted_at.unwrap_or(self.since) + self.leave.longest_stay() + way_back + GRACE
            }
            State::Leaving => self.since + LEAVE_WAIT,
            State::Processing => self.since + PROCESS_WAIT,
        })
    }

    /// When it has waited for a worker for too long, if one may take `wait`. All the ways in of one that is handed back again
    /// and again take no longer together than one that is not handed back may.
    fn queued_until(&self, wait: Duration) -> Timestamp {
        let until = self.since + wait;
        let together = wait + JOIN_WAIT + self.leave.lobby() + GRACE;
        self.handed_back.map_or(until, |first| until.min(first + together))
    }

    /// The lease runs out at this time; what a session without one is not waiting for.
    #[must_use]
    pub fn lease_until(&self) -> Option<Timestamp> {
        self.lease.as_ref().map(|lease| lease.until)
    }

    /// True if it has one of its tenant's places: it is on its way to a worker of ours, or a worker has it.
    #[must_use]
    pub fn has_place(&self) -> bool {
        let on_its_way = self.state == State::Queued && !self.held;
        self.remote.is_none() && (on_its_way || self.state.is_live())
    }

    /// True if it was ever let in.
    #[must_use]
    pub const fn was_admitted(&self) -> bool {
        self.admitted_at.is_some()
    }

    /// The transcript of the create request, if it asked for one: after the call, or of the live words.
    #[must_use]
    pub fn transcript(&self) -> Option<&TranscriptRecord> {
        self.own_transcripts().first()
    }

    /// The transcript of the create request comes first; there is none if it did not ask for one.
    fn own_transcripts(&self) -> &[TranscriptRecord] {
        &self.transcripts[..self.own_count()]
    }

    fn own_transcript_mut(&mut self) -> Option<&mut TranscriptRecord> {
        let own = self.own_count();
        self.transcripts[..own].first_mut()
    }

    /// Those that were asked for after the call.
    fn added_transcripts(&self) -> impl Iterator<Item = &TranscriptRecord> {
        self.transcripts.iter().skip(self.own_count())
    }

    fn own_count(&self) -> usize {
        let owed = self.media.owed_transcript();
        usize::from(self.transcripts.first().is_some_and(|first| owed == Some(&first.plan)))
    }

    /// The `status` that MeetStream clients read.
    #[must_use]
    pub fn wire_status(&self) -> &'static str {
        self.state.wire_status()
    }

    fn require(&self, holds: bool, input: &'static str) -> Result<(), Rejected> {
        if holds { Ok(()) } else { Err(Rejected::NotNow { input, state: self.state }) }
    }

    fn check_token(&self, got: u64) -> Result<(), Rejected> {
        if got == self.fencing { Ok(()) } else { Err(Rejected::StaleToken { got, current: self.fencing }) }
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.since = now;
    }

    fn note(&mut self, name: &str, message: impl Into<String>, at: Timestamp) {
        if self.timeline.len() < TIMELINE_MAX || self.timeline.iter().all(|entry| entry.name != name) {
            self.timeline.push(TimelineEntry { name: name.to_owned(), message: message.into(), at });
        }
    }

    fn emit(&mut self, out: &mut Outcome, draft: Draft, at: Timestamp) {
        self.sequence += 1;
        self.last_event_at = self.last_event_at.max(at);
        let draft = if self.simulated { draft.with("simulated", true) } else { draft };
        out.events.push(draft.build(self.id, self.sequence, self.attempt, self.last_event_at, &self.custom_attributes));
    }

    fn overdue(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.deadline().is_some_and(|deadline| deadline <= now), "deadline_passed")?;
        if self.overdue_elsewhere(out, now) {
            return Ok(());
        }
        // Its worker may hold it yet, and the bot is out of the call when it does not any more.
        let gone = self.lease_until().unwrap_or(now);
        match self.state {
            State::Processing => {
                for artifact in self.artifacts.clone() {
                    if artifact.state == ArtifactState::Pending {
                        let message = "not finished before the processing deadline".to_owned();
                        self.settle(artifact.kind, ArtifactState::Failed { message }, out, now)?;
                    }
                }
            }
            State::Queued => {
                let reason = EndReason::NoCapacity;
                let message = if self.held { NO_PLACE } else { reason.message() };
                self.terminate(reason, message.to_owned(), out, now, now);
            }
            State::Joining => {
                self.lost_until(gone, EndReason::LaunchTimeout, "Not in the meeting in time".to_owned(), out, now);
            }
            State::WaitingRoom => {
                let reason = EndReason::LobbyTimeout;
                self.lost(reason, reason.message().to_owned(), out, now);
            }
            State::InMeeting | State::Recording => {
                let reason = EndReason::MaxDuration;
                self.lost(reason, reason.message().to_owned(), out, now);
            }
            State::Leaving => {
                self.lost_until(gone, EndReason::Internal, "Did not get out in time".to_owned(), out, now);
            }
            State::Done => {
                let over = |t: &TranscriptRecord| t.deadline().is_some_and(|deadline| deadline <= now);
                self.give_up_transcripts("not finished before the transcription deadline", over, out, now)?;
            }
            State::Scheduled | State::MediaExpired => {}
        }
        Ok(())
    }
}

impl TranscriptRecord {
    /// When it has been made for too long; `None` once it is settled. The one of the create request has the session's.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        (self.status == TranscriptStatus::Processing).then(|| self.created_at + PROCESS_WAIT)
    }
}

#[cfg(test)]
mod tests;
