//! From the queue to the end of the call, and back.

use std::time::Duration;

use super::people::Person;
use super::{Outcome, Rejected};
use crate::event::Draft;
use crate::job::Job;
use crate::protocol::Report;
use crate::retry::{MAX_ATTEMPTS, attempt_backoff};
use crate::{End, EndReason, Lease, Session, State, Timestamp, WorkerId};

impl Session {
    pub(super) fn due(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.state == State::Scheduled, "due")?;
        self.enter(State::Queued, now);
        self.dispatch(Duration::ZERO, out);
        Ok(())
    }

    pub(super) fn hold(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.state == State::Scheduled && self.remote.is_none(), "hold")?;
        self.enter(State::Queued, now);
        self.wait_in_line(out, now);
        Ok(())
    }

    pub(super) fn release(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.state == State::Queued && self.held, "release")?;
        self.held = false;
        // From here on it waits for a worker, which has its own limit.
        self.since = now;
        self.note("Queued", "There is a place for the bot", now);
        out.jobs.push((Job::Run { bot: self.id, attempt: self.attempt + 1 }, Duration::ZERO));
        Ok(())
    }

    pub(super) fn wait_in_line(&mut self, out: &mut Outcome, now: Timestamp) {
        self.held = true;
        self.note("Queued", "Waiting in line for a place", now);
        self.overflow(out);
    }

    pub(super) fn reschedule(&mut self, join_at: Timestamp, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        self.require(self.state == State::Scheduled, "reschedule")?;
        if join_at <= now {
            return self.due(out, now);
        }
        if self.join_at == Some(join_at) {
            return Ok(());
        }
        let kept = self.expires_at.since(self.join_at.unwrap_or(self.created_at));
        self.join_at = Some(join_at);
        self.expires_at = join_at + kept;
        // A calendar may move it any number of times: what counts is how it was asked for, and where it is now.
        self.timeline.truncate(1);
        self.note("Scheduled", format!("Now joins at {join_at}"), now);
        Ok(())
    }

    pub(super) fn acquire(
        &mut self,
        owner: WorkerId,
        ttl: Duration,
        attempt: u32,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let waiting = self.state == State::Queued && !self.held && self.remote.is_none();
        self.require(waiting && attempt == self.attempt + 1, "acquire")?;
        self.attempt = attempt;
        self.fencing += 1;
        self.lease = Some(Lease { owner, until: now + ttl });
        self.enter(State::Joining, now);
        Ok(())
    }

    pub(super) fn report(&mut self, report: Report, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        // The bot's clock says when; it may run ahead of ours, but nothing happens in the future.
        match report {
            Report::Joining { at, simulated } => {
                self.require(self.state == State::Joining, "joining")?;
                self.simulated |= simulated;
                self.tell_joining(out, at.min(now));
            }
            Report::WaitingRoom { at } => {
                self.require(self.state == State::Joining, "waiting_room")?;
                self.enter(State::WaitingRoom, now);
                self.tell_lobby(out, at.min(now));
            }
            Report::Admitted { at } => {
                self.require(matches!(self.state, State::Joining | State::WaitingRoom), "admitted")?;
                self.enter(State::InMeeting, now);
                // Back after a loss: the longest stay still counts from the first time.
                let again = self.admitted_at.replace(self.admitted_at.unwrap_or(at.min(now))).is_some();
                self.tell_admitted(again, out, at.min(now));
            }
            Report::Recording { at } => {
                self.require(self.state == State::InMeeting, "recording")?;
                self.enter(State::Recording, now);
                self.tell_recording(out, at.min(now));
            }
            Report::Leaving { at, reason, message } => {
                self.require(self.state.is_live() && self.state != State::Leaving, "leaving")?;
                if self.was_admitted() && self.may_try_again(reason) {
                    // It comes back once this one is out, with what it recorded stored.
                    self.enter(State::Leaving, now);
                    return Ok(());
                }
                if self.goes_again(reason, &message, Duration::ZERO, out, now) {
                    return Ok(());
                }
                self.leaving(reason, message, out, at.min(now), now);
            }
            Report::Ended { at, reason, message, .. } => {
                self.require(self.state.is_live(), "ended")?;
                if self.end.is_none() && self.goes_again(reason, &message, Duration::ZERO, out, now) {
                    return Ok(());
                }
                // On its way out to come back, and then asked to leave for good.
                let asked = self.end.is_none() && self.state == State::Leaving && self.stop_requested.is_some();
                let (reason, message) = match asked {
                    true => (EndReason::LeaveRequested, EndReason::LeaveRequested.message().to_owned()),
                    false => (reason, message),
                };
                if self.end.is_none() {
                    self.leaving(reason, message.clone(), out, at.min(now), now);
                }
                self.terminate(reason, message, out, at.min(now), now);
            }
            Report::Participant { at, joined, id, name } => {
                self.require(self.state.is_live(), "report")?;
                self.tell_of(&Person { joined, id, name }, out, at.min(now));
            }
            Report::Ready | Report::Chat { .. } | Report::Health { .. } | Report::Note { .. } => {
                self.require(self.state.is_live(), "report")?;
            }
        }
        Ok(())
    }

    pub(super) fn tell_joining(&mut self, out: &mut Outcome, at: Timestamp) {
        let message = format!("Bot is joining the meeting (attempt {})", self.attempt);
        self.note("Joining", message.clone(), at);
        self.emit(out, Draft::new("bot.joining", Some("Joining"), message), at);
    }

    pub(super) fn tell_lobby(&mut self, out: &mut Outcome, at: Timestamp) {
        let message = "Bot is waiting to be let in";
        self.note("WaitingRoom", message, at);
        self.emit(out, Draft::new("bot.in_waiting_room", Some("InWaitingRoom"), message), at);
    }

    pub(super) fn tell_admitted(&mut self, again: bool, out: &mut Outcome, at: Timestamp) {
        let message = if again { "Bot joined the meeting again" } else { "Bot joined the meeting" };
        self.note("InMeeting", message, at);
        self.emit(out, Draft::new("bot.inmeeting", Some("InMeeting"), message), at);
    }

    pub(super) fn tell_recording(&mut self, out: &mut Outcome, at: Timestamp) {
        let message = "Bot is recording";
        self.note("Recording", message, at);
        self.emit(out, Draft::new("bot.recording", Some("Recording"), message), at);
    }

    pub(super) fn tell_leaving(&mut self, message: String, out: &mut Outcome, at: Timestamp) {
        self.note("Leaving", message.clone(), at);
        self.emit(out, Draft::new("bot.leaving", Some("Leaving"), message), at);
    }

    fn leaving(&mut self, reason: EndReason, message: String, out: &mut Outcome, at: Timestamp, now: Timestamp) {
        let (reason, message) = self.verdict(reason, message);
        self.enter(State::Leaving, now);
        self.end.get_or_insert(End { reason, message: message.clone(), at });
        self.tell_leaving(message, out, at);
    }

    pub(super) fn stop(&mut self, out: &mut Outcome, now: Timestamp) -> Result<(), Rejected> {
        match self.state {
            // Nobody runs it yet: it is over at once. A worker that holds a stale job finds it out by its state.
            State::Scheduled | State::Queued => {
                self.require(!self.is_theirs(), "stop")?;
                let (reason, message) = (EndReason::LeaveRequested, EndReason::LeaveRequested.message());
                self.stop_requested = Some(now);
                self.leaving(reason, message.to_owned(), out, now, now);
                self.terminate(reason, message.to_owned(), out, now, now);
                Ok(())
            }
            state if state.is_live() => {
                // One that its caller sent elsewhere can only be stopped there.
                self.require(!self.is_theirs(), "stop")?;
                self.stop_requested.get_or_insert(now);
                self.tend(out);
                Ok(())
            }
            _ => self.require(false, "stop"),
        }
    }

    /// True if the cause may pass: on the way in a bot is tried again some times, and after a loss from its call it is sent
    /// back once, if that was not ruled out.
    fn may_try_again(&self, reason: EndReason) -> bool {
        let left = match self.was_admitted() {
            true => self.rejoin && self.lost.is_none(),
            false => self.attempt < MAX_ATTEMPTS,
        };
        left && reason.worth_retry() && self.is_wanted()
    }

    /// True if one of our workers is to run its bot, and nothing speaks against another one doing so.
    fn is_wanted(&self) -> bool {
        self.remote.is_none() && self.stop_requested.is_none() && self.end.is_none()
    }

    /// Queues it again if its bot may be sent again: by another attempt, or by the same one at another worker.
    fn goes_again(
        &mut self,
        reason: EndReason,
        message: &str,
        pause: Duration,
        out: &mut Outcome,
        now: Timestamp,
    ) -> bool {
        self.hand_back(reason, out, now) || self.try_again(reason, message, pause, out, now)
    }

    /// Queues the same attempt again if the worker goes down while the bot is on its way in. The worker's end is no failure
    /// of the attempt: it is not counted, and there is nothing to wait for. [`deadline`](Session::deadline) bounds how often.
    fn hand_back(&mut self, reason: EndReason, out: &mut Outcome, now: Timestamp) -> bool {
        let on_its_way = matches!(self.state, State::Joining | State::WaitingRoom);
        if reason != EndReason::WorkerShutdown || !on_its_way || !self.is_wanted() {
            return false;
        }
        self.note("HandedBack", "The worker shuts down; another one sends the bot", now);
        self.handed_back.get_or_insert(now);
        self.attempt = self.attempt.saturating_sub(1);
        self.enter(State::Queued, now);
        self.lease = None;
        self.fencing += 1;
        // Over at once if it was handed back for too long.
        if self.overdue(out, now).is_err() {
            self.dispatch(Duration::ZERO, out);
        }
        true
    }

    /// Queues another attempt, not before `pause` is over, if there may be one.
    fn try_again(
        &mut self,
        reason: EndReason,
        message: &str,
        pause: Duration,
        out: &mut Outcome,
        now: Timestamp,
    ) -> bool {
        if !self.may_try_again(reason) {
            return false;
        }
        let next = self.attempt + 1;
        let (step, pause) = match self.was_admitted() {
            true => ("Rejoin", pause),
            false => ("Retry", pause.max(attempt_backoff(next))),
        };
        self.note(step, format!("Attempt {} failed ({reason}): {message}", self.attempt), now);
        if self.was_admitted() {
            self.lost = Some(End { reason, message: message.to_owned(), at: now });
        }
        self.handed_back = None;
        self.enter(State::Queued, now);
        self.lease = None;
        self.fencing += 1;
        out.jobs.push((Job::Run { bot: self.id, attempt: next }, pause));
        true
    }

    /// The reason that stands. What kept a bot from coming back is not why its call was lost.
    pub(super) fn verdict(&self, reason: EndReason, message: String) -> (EndReason, String) {
        let in_call = matches!(self.state, State::InMeeting | State::Recording | State::Leaving);
        match &self.lost {
            Some(lost) if !in_call && reason != EndReason::LeaveRequested => {
                (lost.reason, format!("{}; the bot could not come back: {message}", lost.message))
            }
            // It was not alone before.
            Some(_) if reason == EndReason::NoOneJoined => {
                (EndReason::EveryoneLeft, EndReason::EveryoneLeft.message().to_owned())
            }
            // Nothing was stopped that had not begun.
            None if reason == EndReason::WorkerShutdown && !self.was_admitted() => {
                let reason = match self.stop_requested {
                    Some(_) => EndReason::LeaveRequested,
                    None => EndReason::WorkerLost,
                };
                (reason, reason.message().to_owned())
            }
            _ => (reason, message),
        }
    }

    /// The bot is gone without a word of its own.
    pub(super) fn lost(&mut self, reason: EndReason, message: String, out: &mut Outcome, now: Timestamp) {
        self.lost_until(now, reason, message, out, now);
    }

    /// The same for a bot that may still be there until `gone`.
    pub(super) fn lost_until(
        &mut self,
        gone: Timestamp,
        reason: EndReason,
        message: String,
        out: &mut Outcome,
        now: Timestamp,
    ) {
        if self.goes_again(reason, &message, gone.since(now), out, now) {
            return;
        }
        // It had said why it was leaving, or was asked to: that stands.
        let (reason, message) = match (&self.end, self.stop_requested) {
            (Some(end), _) => (end.reason, end.message.clone()),
            (None, Some(_)) => (EndReason::LeaveRequested, EndReason::LeaveRequested.message().to_owned()),
            (None, None) => (reason, message),
        };
        self.terminate(reason, message, out, now, now);
    }
}
