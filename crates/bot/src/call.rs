//! The life of one call, decided: what to report, when to record, when to leave and why. Pure; the driver acts.

use std::time::Duration;

use muster_session::leave::{BotDetection, LeavePolicy, Presence};
use muster_session::protocol::{BotSpec, Report};
use muster_session::{EndReason, Timestamp};

use crate::report::Level;
use crate::room::{Change, Person, Room};
use crate::watchdog::{CaptureWatch, Finding, Hearing, PageWatch, SILENCE_DBFS};

/// Why the call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: EndReason,
    pub(crate) message: String,
}

impl End {
    /// With the usual words for the reason.
    pub(crate) fn plain(reason: EndReason) -> Self {
        Self { reason, message: reason.message().to_owned() }
    }

    pub(crate) fn new(reason: EndReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What to do after a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Due {
    pub(crate) reports: Vec<Report>,
    /// Attach to the audio again.
    pub(crate) repair: bool,
    pub(crate) end: Option<End>,
}

/// Where the bot is, by evidence.
#[derive(Clone, Debug)]
enum Stage {
    /// On the way in; the step it is at, if it got to one.
    Joining {
        step: Option<String>,
    },
    Lobby {
        since: Timestamp,
    },
    InCall(Box<InCall>),
}

/// What is watched in the call.
#[derive(Clone, Debug)]
struct InCall {
    presence: Presence,
    capture: CaptureWatch,
    page: PageWatch,
    /// Since when it is back in the waiting room, if it was sent there.
    sent_back: Option<Timestamp>,
}

/// One attempt at one meeting.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    policy: LeavePolicy,
    join_timeout: Duration,
    capture_timeout: Duration,
    began: Timestamp,
    stage: Stage,
    pub(crate) room: Room,
}

impl Call {
    pub(crate) fn new(spec: &BotSpec, now: Timestamp) -> Self {
        Self {
            policy: spec.leave.clone(),
            join_timeout: Duration::from_millis(spec.join_timeout_ms),
            capture_timeout: Duration::from_millis(spec.capture_timeout_ms),
            began: now,
            stage: Stage::Joining { step: None },
            room: Room::default(),
        }
    }

    /// The page is at a step of the way in.
    pub(crate) fn step(&mut self, name: &str) {
        if let Stage::Joining { step } = &mut self.stage {
            *step = Some(name.to_owned());
        }
    }

    /// Held in a lobby. Sent back there from the call, the bot is still treated as in it, but waits no longer than before.
    pub(crate) fn lobby(&mut self, now: Timestamp) -> Option<Report> {
        match &mut self.stage {
            Stage::Joining { .. } => {
                self.stage = Stage::Lobby { since: now };
                Some(Report::WaitingRoom { at: now })
            }
            Stage::Lobby { .. } => None,
            Stage::InCall(inside) if inside.sent_back.is_some() => None,
            Stage::InCall(inside) => {
                inside.sent_back = Some(now);
                Some(Level::Warn.note(now, "the bot was sent back to the waiting room".to_owned()))
            }
        }
    }

    /// Let in. `None` if that is known.
    pub(crate) fn admitted(&mut self, now: Timestamp) -> Option<Report> {
        if let Stage::InCall(inside) = &mut self.stage {
            inside.sent_back.take()?;
            inside.presence.resume(now);
            return Some(Level::Info.note(now, "the bot was let in again".to_owned()));
        }
        let mut presence = Presence::new(now);
        presence.roster(self.room.names(), detection(&self.policy), now);
        let (capture, page) = (CaptureWatch::new(self.capture_timeout), PageWatch::new(self.capture_timeout));
        self.stage = Stage::InCall(Box::new(InCall { presence, capture, page, sent_back: None }));
        Some(Report::Admitted { at: now })
    }

    /// The others in the call.
    pub(crate) fn roster(&mut self, others: Vec<Person>, now: Timestamp) -> Vec<Report> {
        let changes = self.room.roster(others);
        if let Stage::InCall(inside) = &mut self.stage {
            inside.presence.roster(self.room.names(), detection(&self.policy), now);
        }
        let report = |Change { joined, person: Person { id, name } }| Report::Participant { at: now, joined, id, name };
        changes.into_iter().map(report).collect()
    }

    /// A voice was heard.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        if let Stage::InCall(inside) = &mut self.stage {
            inside.presence.heard(now);
        }
    }

    /// Checks every deadline and rule. `hearing` counts others and tracks by itself.
    pub(crate) fn tick(&mut self, hearing: Hearing, now: Timestamp) -> Due {
        let hearing = Hearing { others: self.room.others(), tracks: self.room.tracks(), ..hearing };
        match &mut self.stage {
            Stage::Joining { step } => {
                let late = now.since(self.began) >= self.join_timeout;
                let end = late.then(|| not_joined(self.join_timeout, step.as_deref()));
                Due { end, ..Due::default() }
            }
            Stage::Lobby { since } => {
                let late = now.since(*since) >= self.policy.lobby();
                Due { end: late.then(|| End::plain(EndReason::LobbyTimeout)), ..Due::default() }
            }
            Stage::InCall(inside) => inside.tick(&self.policy, hearing, now),
        }
    }
}

impl InCall {
    fn tick(&mut self, policy: &LeavePolicy, hearing: Hearing, now: Timestamp) -> Due {
        let found = self.page.observe(hearing, now);
        // Who sees nothing of the call does not know who spoke or left: of the rules only the cap counts then.
        let is_blind = self.sent_back.is_some() || self.page.is_in_doubt();
        let reason = policy.decide(&self.presence, now);
        if let Some(reason) = reason.filter(|reason| !is_blind || *reason == EndReason::MaxDuration) {
            return Due { end: Some(End::plain(reason)), ..Due::default() };
        }
        if let Some(since) = self.sent_back {
            let late = now.since(since) >= policy.lobby();
            return Due { end: late.then(|| not_let_in_again(policy.lobby())), ..Due::default() };
        }
        judge(if is_blind { found } else { self.capture.observe(hearing, now) }, now)
    }
}

fn detection(policy: &LeavePolicy) -> Option<&BotDetection> {
    policy.bot_detection.as_ref()
}

fn not_joined(timeout: Duration, step: Option<&str>) -> End {
    let seconds = timeout.as_secs();
    match step {
        Some(step) => {
            End::new(EndReason::UiChanged, format!("not in the meeting after {seconds} s; stuck at step `{step}`"))
        }
        None => End::new(EndReason::ConnectionLost, format!("the meeting page did not load within {seconds} s")),
    }
}

/// Whoever sent it back has removed it from the call: it was let in before, and what it recorded is there.
fn not_let_in_again(timeout: Duration) -> End {
    let seconds = timeout.as_secs();
    let message =
        format!("A participant sent the bot back to the waiting room, and nobody let it in again within {seconds} s");
    End::new(EndReason::Kicked, message)
}

fn judge(finding: Option<Finding>, now: Timestamp) -> Due {
    match finding {
        None => Due::default(),
        Some(Finding::Note(text)) => Due { reports: vec![Level::Info.note(now, text)], ..Due::default() },
        Some(Finding::Repair(text)) => {
            Due { reports: vec![Level::Warn.note(now, text)], repair: true, ..Due::default() }
        }
        Some(Finding::Failed(text)) => Due { end: Some(End::new(EndReason::CaptureFailed, text)), ..Due::default() },
        // As if it had crashed: another page may hear what this one does not.
        Some(Finding::Hangs(text)) => Due { end: Some(End::new(EndReason::BotCrashed, text)), ..Due::default() },
    }
}

/// What has to be said about a recording at its end, if it is not what it seems. Silence is never passed off as success.
pub(crate) fn reservation(recorded_ms: u64, samples: u64, peak_dbfs: f32) -> Option<&'static str> {
    if recorded_ms == 0 {
        None
    } else if samples == 0 {
        Some("nobody sent audio; the recording is empty")
    } else if peak_dbfs <= SILENCE_DBFS {
        Some("captured, but silent: nothing can be heard in the recording")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
