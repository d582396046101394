//! Bots that run elsewhere. What is heard of them comes late, twice and in any order: how far it is (its rank) decides, and
//! when it happened where a rank can come again.

use std::time::Duration;

use super::people::Person;
use super::{Outcome, Rejected};
use crate::job::Job;
use crate::retry::MAX_ATTEMPTS;
use crate::{
    Artifact, ArtifactKind, ArtifactState, End, EndReason, Looked, Observation, Remote, Session, State, Terminal,
    Timestamp,
};

/// Longest time from asking for a bot elsewhere to lobby or admission, its tries there included.
const JOIN_WAIT: Duration = Duration::from_secs(1_800);
/// Longest way out: that it is over may be said late, or found by a look.
const LEAVE_WAIT: Duration = Duration::from_secs(900);
/// A bot that its caller has elsewhere keeps the rules of that place, which nobody told us. So long nothing was heard of it.
const SILENCE: Duration = Duration::from_secs(24 * 3_600);
/// So far another service's clock may be behind ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// A service that refused to say how a bot fares so often, and for so long, has disowned it. It is looked at once a minute or
/// two; so long somebody has to mend a key.
const REFUSALS: u32 = 5;
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// Pause before a look at a bot that says that it leaves.
const LOOK_AT_LEAVING: Duration = Duration::from_secs(20);

impl Session {
    /// The job goes to whoever runs the bot; for one that its caller runs there is nothing to do but to listen.
    pub(super) fn dispatch(&self, pause: Duration, out: &mut Outcome) {
        match &self.remote {
            None => {
                out.jobs.push((Job::Run { bot: self.id, attempt: self.attempt + 1 }, pause));
                self.overflow(out);
            }
            Some(_) => self.tend(out),
        }
    }

    /// Has it looked at when it has waited for too long, if it may run elsewhere then.
    pub(super) fn overflow(&self, out: &mut Outcome) {
        if let Some(after) = self.overflow_ms {
            out.jobs.push((Job::Tend { bot: self.id }, Duration::from_millis(after)));
        }
    }

    pub(super) fn forget_remote(&self, out: &mut Outcome) {
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.ours) else { return };
        if let Some(there) = remote.bot.clone() {
            let job = Job::Forget { bot: self.id, source: remote.source.clone(), remote: there, tries: 0 };
            out.jobs.push((job, Duration::ZERO));
        }
    }

    /// Its bot runs elsewhere, and we send it there.
    pub(super) fn is_ours_elsewhere(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.ours)
    }

    /// Its bot runs elsewhere, and its caller sent it there.
    pub(super) fn is_theirs(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.ours)
    }

    /// Asks for a look at a bot that we sent elsewhere.
    pub(super) fn tend(&self, out: &mut Outcome) {
        if self.is_ours_elsewhere() {
            out.jobs.push((Job::Tend { bot: self.id }, Duration::ZERO));
        }
    }

    /// When a state of a bot elsewhere has lasted too long, where that differs from those of our own.
    pub(super) fn remote_deadline(&self) -> Option<Timestamp> {
        let remote = self.remote.as_ref()?;
        match self.state {
            State::Queued | State::Joining | State::WaitingRoom | State::InMeeting | State::Recording
                if !remote.ours =>
            {
                Some(self.since + SILENCE)
            }
            State::Joining => Some(self.since + JOIN_WAIT),
            State::Leaving => Some(self.since + LEAVE_WAIT),
            _ => None,
        }
    }

    pub(super) fn hand_over(&mut self, source: String, out: &mut Outcome) -> Result<(), Rejected> {
        let fresh = self.state == State::Queued && self.attempt == 0 && self.remote.is_none();
        self.require(fresh, "hand_over")?;
        self.held = false;
        self.remote = Some(Remote::ours(source));
        self.tend(out);
        Ok(())
    }

    pub(super) fn send(&mut self, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.state == State::Queued && self.is_ours_elsewhere(), "send")?;
        self.attempt += 1;
        self.enter(State::Joining, now);
        Ok(())
    }

    pub(super) fn sent(&mut self, bot: String, out: &mut Outcome) -> Result<(), Rejected> {
        let unknown = self.remote.as_ref().is_some_and(|remote| remote.ours && remote.bot.is_none());
        self.require(unknown, "sent")?;
        if let Some(remote) = &mut self.remote {
            remote.bot = Some(bot);
        }
        // It may be over already: what is there is to be put in order.
        self.tend(out);
        Ok(())
    }

    pub(super) fn not_sent(&mut self, message: String, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        let waiting = self.remote.as_ref().is_some_and(|remote| remote.ours && remote.bot.is_none());
        self.require(waiting && self.state.is_live(), "not_sent")?;
        self.give_up_remote(message, out, now);
        Ok(())
    }

    /// It cannot be had, or fell silent. If it was asked to leave, that is why it ends.
    pub(super) fn give_up_remote(&mut self, message: String, out: &mut Outcome, now: Timestamp) {
        let (reason, message) = match self.stop_requested {
            Some(_) => (EndReason::LeaveRequested, EndReason::LeaveRequested.message().to_owned()),
            None => (EndReason::RemoteFailed, message),
        };
        self.terminate(reason, message, out, now, now);
    }

    /// Gives up one that was not heard of until the deadline of its state; answers whether that was so.
    pub(super) fn overdue_elsewhere(&mut self, out: &mut Outcome, now: Timestamp) -> bool {
        let Some(remote) = &self.remote else { return false };
        let silent = match self.state {
            State::Queued | State::Joining => true,
            // Nobody says that it was there for so long.
            State::WaitingRoom | State::InMeeting | State::Recording => !remote.ours || remote.unheard.is_some(),
            state => state.is_live() && !remote.ours,
        };
        if silent {
            self.give_up_remote(EndReason::RemoteFailed.message().to_owned(), out, now);
        }
        silent
    }

    pub(super) fn remote_looked(&mut self, looked: Looked, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        let live = self.state.is_live();
        let sent = self.remote.as_mut().filter(|remote| live && remote.ours && remote.bot.is_some());
        let Some(remote) = sent else { return self.require(false, "remote_looked") };
        let known = remote.unheard;
        let why = match looked {
            // What is known already is not written each time.
            Looked::Heard => {
                remote.unheard = None;
                return self.require(known.is_some(), "remote_looked");
            }
            Looked::Away => {
                remote.unheard.get_or_insert_default();
                return self.require(known.is_none(), "remote_looked");
            }
            Looked::Refused(why) => why,
        };
        let unheard = remote.unheard.get_or_insert_default();
        unheard.refusals = unheard.refusals.saturating_add(1);
        let since = *unheard.refused_since.get_or_insert(now);
        if unheard.refusals >= REFUSALS && now.since(since) >= REFUSED_FOR {
            self.give_up_remote(format!("The service does not say any more how the bot fares: {why}"), out, now);
        }
        Ok(())
    }

    pub(super) fn observe(
        &mut self,
        observation: Observation,
        at: Timestamp,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        // Its caller sent it, and perhaps before the time that we were told. What was recorded says nothing of that.
        let of_its_call = !matches!(observation, Observation::Artifact { .. } | Observation::Done);
        let early = self.state == State::Scheduled && self.is_theirs() && of_its_call;
        if !early {
            return self.observe_now(observation, at, out, now);
        }
        let since = self.since;
        self.enter(State::Queued, now);
        let observed = self.observe_now(observation, at, out, now);
        if observed.is_err() {
            self.enter(State::Scheduled, since);
        }
        observed
    }

    fn observe_now(
        &mut self,
        observation: Observation,
        at: Timestamp,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let Some(remote) = &self.remote else { return self.require(false, "observe") };
        let ours = remote.ours;
        // Nothing happens in the future, whatever their clocks say.
        let at = at.min(now);
        let newer = remote.seen_at.is_none_or(|seen| at >= seen);
        let before_admission = matches!(self.state, State::Queued | State::Joining | State::WaitingRoom);
        match observation {
            Observation::Joining => {
                let again = self.state == State::Joining && self.is_announced();
                let tries = if again { self.attempt < MAX_ATTEMPTS } else { true };
                self.require(newer && tries && matches!(self.state, State::Queued | State::Joining), "joining")?;
                if again || self.state == State::Queued {
                    self.attempt += 1;
                    self.enter(State::Joining, now);
                }
                self.tell_joining(out, at);
            }
            Observation::WaitingRoom => {
                self.require(newer && matches!(self.state, State::Queued | State::Joining), "waiting_room")?;
                self.on_its_way(out, at, now);
                self.enter(State::WaitingRoom, now);
                self.tell_lobby(out, at);
            }
            Observation::InMeeting => {
                self.require(before_admission, "in_meeting")?;
                self.let_in(out, at, now);
            }
            Observation::Recording => {
                self.require(before_admission || self.state == State::InMeeting, "recording")?;
                if before_admission {
                    self.let_in(out, at, now);
                }
                self.enter(State::Recording, now);
                self.tell_recording(out, at);
            }
            Observation::Leaving { why } => {
                self.require(self.state.is_live() && self.state != State::Leaving, "leaving")?;
                self.enter(State::Leaving, now);
                let message = why.map_or("Bot is leaving the meeting", EndReason::message);
                if let Some(reason) = why {
                    self.end.get_or_insert(End { reason, message: message.to_owned(), at });
                }
                self.tell_leaving(message.to_owned(), out, at);
                if ours {
                    out.jobs.push((Job::Tend { bot: self.id }, LOOK_AT_LEAVING));
                }
            }
            Observation::Ended { reason, message } => {
                // An end from well before it was made is that of another, in the same meeting.
                let its_own = at + CLOCKS_DIFFER >= self.created_at;
                self.require(its_own && (self.state == State::Queued || self.state.is_live()), "ended")?;
                let recorded = remote.settled.iter().any(|artifact| artifact.state == ArtifactState::Ready);
                let after_a_call = matches!(reason.terminal(), Terminal::Stopped | Terminal::Kicked);
                if ours && after_a_call && !self.was_admitted() {
                    // Perhaps we only have not heard yet that it was let in. A look will tell.
                    self.tend(out);
                } else {
                    // There is nobody to ask: only what left a call ends so, unless it was last seen in the lobby.
                    let from_a_call =
                        after_a_call && reason != EndReason::LeaveRequested && self.state != State::WaitingRoom;
                    self.remote_ended(recorded || from_a_call, (reason, message), out, at, now);
                }
            }
            Observation::Person { joined, id, name } => {
                self.require(self.state.is_live() && !self.media.participants.is_empty(), "person")?;
                self.tell_of(&Person { joined, id, name }, out, at);
            }
            Observation::Artifact { kind, failure } => self.heard_of(kind, failure, ours, out, now)?,
            Observation::Done => {
                self.require(!self.is_done() && !remote.done, "done")?;
                if let Some(remote) = &mut self.remote {
                    remote.done = true;
                }
                self.settle_heard(out, now)?;
                self.tend(out);
            }
        }
        if let Some(remote) = &mut self.remote {
            remote.unheard = None;
            remote.seen_at = Some(remote.seen_at.map_or(at, |seen| seen.max(at)));
        }
        Ok(())
    }

    pub(super) fn remote_ended(
        &mut self,
        admitted: bool,
        (reason, message): (EndReason, String),
        out: &mut Outcome,
        at: Timestamp,
        now: Timestamp,
    ) {
        if admitted && !self.was_admitted() {
            self.let_in(out, at, now);
        }
        let asked = self.stop_requested.is_some() && reason.terminal() == Terminal::Stopped;
        let (reason, message) = match asked {
            true => (EndReason::LeaveRequested, EndReason::LeaveRequested.message().to_owned()),
            false => (reason, message),
        };
        self.terminate(reason, message, out, at, now);
    }

    /// What a bot that was let in elsewhere owes. There is no manifest of what others recorded.
    pub(super) fn owed_by_remote(&self) -> Vec<ArtifactKind> {
        let transcript = self.transcript().map(|_| ArtifactKind::Transcript);
        std::iter::once(ArtifactKind::Audio).chain(transcript).collect()
    }

    /// Settles what its caller's service has said of artifacts. Those of a bot that we sent are fetched instead.
    pub(super) fn settle_heard(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        let Some(remote) = self.remote.clone().filter(|remote| !remote.ours) else { return Ok(()) };
        for kind in self.owed_by_remote() {
            let pending = |a: &Artifact| a.kind == kind && a.state == ArtifactState::Pending;
            if !self.artifacts.iter().any(pending) {
                continue;
            }
            let heard = remote.settled.iter().find(|artifact| artifact.kind == kind).map(|known| known.state.clone());
            match heard {
                Some(state) => self.settle(kind, state, out, now)?,
                None if !remote.done => {}
                // Not every service records, or says so: what nobody asked for is not missed.
                None if kind == ArtifactKind::Audio => self.artifacts.retain(|artifact| artifact.kind != kind),
                None => {
                    let message = format!("{} had none", remote.source);
                    self.settle(kind, ArtifactState::Failed { message }, out, now)?;
                }
            }
        }
        let pending = |artifact: &Artifact| artifact.state == ArtifactState::Pending;
        if self.state == State::Processing && !self.artifacts.iter().any(pending) {
            self.finish(out, now);
        }
        Ok(())
    }

    fn heard_of(
        &mut self,
        kind: ArtifactKind,
        failure: Option<String>,
        ours: bool,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let known = |remote: &Remote| remote.settled.iter().any(|artifact| artifact.kind == kind);
        let news = self.remote.as_ref().is_some_and(|remote| !known(remote));
        self.require(news && !self.is_done(), "artifact")?;
        let state = failure.map_or(ArtifactState::Ready, |message| ArtifactState::Failed { message });
        if let Some(remote) = &mut self.remote {
            remote.settled.push(Artifact { kind, state });
        }
        if ours {
            self.tend(out);
            return Ok(());
        }
        self.settle_heard(out, now)
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::MediaExpired)
    }

    fn is_announced(&self) -> bool {
        self.timeline.iter().any(|entry| entry.name == "Joining")
    }

    /// What came before and was not heard of is told first.
    fn on_its_way(&mut self, out: &mut Outcome, at: Timestamp, now: Timestamp) {
        if self.state == State::Queued {
            self.attempt += 1;
            self.enter(State::Joining, now);
        }
        if !self.is_announced() {
            self.tell_joining(out, at);
        }
    }

    fn let_in(&mut self, out: &mut Outcome, at: Timestamp, now: Timestamp) {
        self.on_its_way(out, at, now);
        self.enter(State::InMeeting, now);
        self.admitted_at = Some(at);
        self.tell_admitted(false, out, at);
    }
}
