//! One meeting: who is in it, and what happens to them.
//!
//! A room has no clock and no sockets of its own: every method takes the moment it happens at, and datagrams leave by
//! the [`Outside`]. What changes is written to the room's log at once; rosters and offers go out when the room is next
//! moved forward.

mod act;
pub(crate) mod connection;
mod guest;
mod guests;
mod media;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod voice;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use connection::{Connection, Entered};
use guest::{Guest, Place, Verdict};
use voice::{Started, Utterance, Voice};

use crate::engine::{Moment, Outside};
use crate::log::{Log, LogEvent};
use crate::scenario::{Clock, Schedule, Step};
use crate::speech::Script;
use crate::wire::{RosterEntry, ServerMessage};

#[derive(Debug)]
pub(crate) struct Room {
    name: String,
    script: Script,
    /// Somebody wrote the scenario: the room does not begin anew after its end.
    scripted: bool,
    schedule: Schedule,
    created: Moment,
    /// The zero of the scenario's times.
    zero: Option<Moment>,
    over: bool,
    /// By id.
    guests: BTreeMap<String, Guest>,
    /// Virtual participants in the call, by id.
    voices: BTreeMap<String, Voice>,
    log: Arc<Log>,
    /// Names the next guest.
    next_guest: u64,
    /// Everybody has to be told who is in the call.
    roster_changed: bool,
    /// Since when nobody is here; none while there is a guest.
    empty_since: Option<Instant>,
}

impl Room {
    /// A room with a scenario that somebody wrote.
    pub(crate) fn new(name: String, script: Script, now: Moment) -> Self {
        Self::make(name, script, now, true)
    }

    /// A room that exists because somebody entered it.
    pub(crate) fn unscripted(name: String, script: Script, now: Moment) -> Self {
        Self::make(name, script, now, false)
    }

    fn make(name: String, script: Script, now: Moment, scripted: bool) -> Self {
        let log = Arc::new(Log::new());
        log.push(now.epoch_ms, LogEvent::RoomCreated);
        let mut room = Self {
            name,
            schedule: Schedule::new(&script.scenario),
            script,
            scripted,
            created: now,
            zero: None,
            over: false,
            guests: BTreeMap::new(),
            voices: BTreeMap::new(),
            log,
            next_guest: 1,
            roster_changed: false,
            empty_since: Some(now.instant),
        };
        if room.script.scenario.clock == Clock::Creation {
            room.start_clock(now);
        }
        room
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// True if whoever enters next should find a new room of this name.
    pub(crate) fn is_over_and_unscripted(&self) -> bool {
        self.over && !self.scripted
    }

    /// True if the room may be forgotten.
    pub(crate) fn is_expired(&self, now: Instant, idle: Duration) -> bool {
        self.empty_since.is_some_and(|since| now.saturating_duration_since(since) >= idle)
    }

    /// True while the media grid matters here: somebody speaks, or somebody could hear silence.
    pub(crate) fn has_voices(&self) -> bool {
        let heard = self.guests.values().any(|guest| guest.peer.is_some());
        self.voices.values().any(|voice| heard || voice.is_speaking())
    }

    /// When this room has to be moved forward at the latest; the media grid comes on top.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let guests = self.guests.values().filter_map(Guest::next_wake);
        let step = self.zero.zip(self.schedule.next_at()).and_then(|(zero, at)| zero.instant.checked_add(at));
        guests.chain(step).min()
    }

    /// Does what has become due, tells who has to know, and moves the connections' time forward.
    pub(crate) fn advance(&mut self, now: Moment, out: &Outside) {
        if self.over {
            return;
        }
        self.judge(now, out);
        self.forget_lost(now);
        self.follow_script(now, out);
        self.tell_roster();
        self.negotiate(now);
        self.pump(now, out);
    }

    /// Sends the 20 ms of audio that belong to `tick` of the media grid, which was at `at`.
    pub(crate) fn tick(&mut self, tick: u64, at: Moment, now: Moment, out: &Outside) {
        if self.over || self.voices.is_empty() {
            return;
        }
        let mut events = Vec::new();
        for voice in self.voices.values_mut() {
            let (packet, heard) = voice.speak();
            let mut listeners = 0;
            for peer in self.guests.values_mut().filter_map(|guest| guest.peer.as_mut()) {
                let sent = peer.send(&voice.id, now.instant, tick * 960, packet.level, Arc::clone(&packet.data));
                listeners += usize::from(sent);
            }
            let id = &voice.id;
            if let Some(Started { item, sound, ms }) = heard.started {
                events.push(LogEvent::SpeechStarted { id: id.clone(), item, sound, ms, listeners });
            }
            if let Some(item) = heard.ended {
                events.push(LogEvent::SpeechEnded { id: id.clone(), item });
            }
        }
        for event in events {
            // Times of speech are those of the grid, as in the RTP timestamps, however late this task is.
            self.log.push(at.epoch_ms, event);
        }
        self.pump(now, out);
    }

    /// The host ends the meeting for everybody.
    pub(crate) fn end(&mut self, now: Moment) {
        if self.over {
            return;
        }
        self.over = true;
        for id in self.voices.keys().cloned().collect::<Vec<_>>() {
            self.remove_voice(&id, now);
        }
        for guest in self.guests.values().filter(|guest| !guest.cut) {
            guest.tell(ServerMessage::Ended);
        }
        self.guests.clear();
        self.empty_since = Some(now.instant);
        self.note(now, LogEvent::RoomEnded);
    }

    fn note(&self, now: Moment, event: LogEvent) {
        self.log.push(now.epoch_ms, event);
    }

    fn start_clock(&mut self, now: Moment) {
        if self.zero.is_none() {
            self.zero = Some(now);
            self.note(now, LogEvent::ClockStarted);
        }
    }

    /// Decides about guests who have waited long enough.
    fn judge(&mut self, now: Moment, out: &Outside) {
        for id in self.guests.keys().cloned().collect::<Vec<_>>() {
            let Some(Place::Lobby { until: Some((at, verdict)) }) = self.guests.get(&id).map(|guest| guest.place)
            else {
                continue;
            };
            if at <= now.instant {
                match verdict {
                    Verdict::Admit => self.admit(&id, now, out),
                    Verdict::Deny => self.deny(&id, now),
                }
            }
        }
    }

    fn follow_script(&mut self, now: Moment, out: &Outside) {
        let Some(zero) = self.zero else { return };
        let elapsed = now.instant.saturating_duration_since(zero.instant);
        while !self.over
            && let Some((_, step)) = self.schedule.next_due(elapsed)
        {
            self.step(step, now, out);
        }
    }

    fn step(&mut self, step: Step, now: Moment, out: &Outside) {
        match step {
            Step::Join(index) => {
                let participant = &self.script.scenario.participants[index];
                let (id, name) = (participant.id.clone(), participant.shown_name().to_owned());
                if let Err(message) = self.add_voice(id, name, now, out) {
                    self.note(now, LogEvent::ActionFailed { action: "participant_join".to_owned(), message });
                }
            }
            Step::Leave(index) => {
                // An action may have removed it before: that is no mistake of the plan.
                self.remove_voice(&self.script.scenario.participants[index].id.clone(), now);
            }
            Step::Speak { participant, item } => {
                let id = &self.script.scenario.participants[participant].id;
                if let (Some(voice), Some(speech)) = (self.voices.get_mut(id), self.script.spoken(participant, item)) {
                    voice.queue(Utterance { speech, item: Some(item) });
                }
            }
            Step::Act(index) => {
                let action = self.script.scenario.timeline[index].action.clone();
                if let Err(message) = self.act(&action, self.script.acted(index), now, out) {
                    self.note(now, LogEvent::ActionFailed { action: action.name().to_owned(), message });
                }
            }
        }
    }

    /// A virtual participant joins.
    fn add_voice(&mut self, id: String, name: String, now: Moment, out: &Outside) -> Result<(), String> {
        if self.voices.contains_key(&id) || self.guests.contains_key(&id) {
            return Err(format!("`{id}` is in the call already"));
        }
        if self.is_full(out) {
            return Err(format!("the room has {} participants, which is all it may have", out.max_participants));
        }
        self.note(now, LogEvent::ParticipantJoined { id: id.clone(), name: name.clone() });
        self.voices.insert(id.clone(), Voice::new(id, name));
        self.call_changed();
        Ok(())
    }

    /// A virtual participant leaves, in the middle of a word if need be. False if it was not here.
    fn remove_voice(&mut self, id: &str, now: Moment) -> bool {
        let Some(voice) = self.voices.remove(id) else { return false };
        if let Some(item) = voice.interrupted() {
            self.note(now, LogEvent::SpeechEnded { id: voice.id.clone(), item });
        }
        self.note(now, LogEvent::ParticipantLeft { id: voice.id, name: voice.name });
        self.call_changed();
        true
    }

    fn is_full(&self, out: &Outside) -> bool {
        self.guests.len() + self.voices.len() >= out.max_participants
    }

    /// Who is in the call has changed: everybody is told, and hears exactly the others.
    fn call_changed(&mut self) {
        self.roster_changed = true;
        for guest in self.guests.values_mut() {
            guest.renegotiate = true;
        }
    }

    fn tell_roster(&mut self) {
        if std::mem::take(&mut self.roster_changed) {
            let participants = self.roster();
            for guest in self.guests.values().filter(|guest| guest.is_in_call()) {
                guest.tell(ServerMessage::Roster { participants: participants.clone() });
            }
        }
    }

    fn roster(&self) -> Vec<RosterEntry> {
        let voices = self.voices.values().map(|v| RosterEntry { id: v.id.clone(), name: v.name.clone(), mic: true });
        let guests = self.guests.values().filter(|guest| guest.is_in_call());
        let guests = guests.map(|g| RosterEntry { id: g.id.clone(), name: g.name.clone(), mic: g.mic });
        voices.chain(guests).collect()
    }
}
