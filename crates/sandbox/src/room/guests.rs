//! The way of guests through a room: door, lobby, call, and out.

use std::time::Duration;

use super::guest::{Guest, Place, Verdict};
use super::{Connection, Entered, Room};
use crate::engine::{Moment, Outside};
use crate::log::LogEvent;
use crate::scenario::LobbyMode;
use crate::scenario::validate::{MAX_NAME, MAX_TEXT};
use crate::wire::{ChatMessage, ClientMessage, ServerMessage};

impl Room {
    /// Somebody says hello at the door: a new guest, or one who comes back with the token `resume`.
    pub(crate) fn enter(
        &mut self,
        name: String,
        resume: Option<&str>,
        connection: Connection,
        now: Moment,
        out: &Outside,
    ) -> Entered {
        if self.over {
            connection.send(ServerMessage::Ended);
            return Entered::Refused;
        }
        match resume {
            Some(token) => self.resume(token, connection, now, out),
            None => self.arrive(name.trim(), connection, now, out),
        }
    }

    fn arrive(&mut self, name: &str, connection: Connection, now: Moment, out: &Outside) -> Entered {
        let refuse = |code, message| {
            connection.send(ServerMessage::Error { code, message });
            Entered::Refused
        };
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return refuse("bad_name", format!("a name must have 1 to {MAX_NAME} characters"));
        }
        if self.is_full(out) {
            return refuse("room_full", "this meeting is full".to_owned());
        }
        let lobby = &self.script.scenario.lobby;
        // A time beyond the clock's range is as good as never.
        let after = |verdict| {
            let at = Duration::try_from_secs_f64(lobby.seconds).ok().and_then(|wait| now.instant.checked_add(wait));
            Place::Lobby { until: at.map(|at| (at, verdict)) }
        };
        let place = match lobby.mode {
            LobbyMode::Open | LobbyMode::Hold => Place::Lobby { until: None },
            LobbyMode::AdmitAfter => after(Verdict::Admit),
            LobbyMode::DenyAfter => after(Verdict::Deny),
        };
        let open = lobby.mode == LobbyMode::Open;
        let id = self.new_guest_id();
        let guest = Guest::new(id.clone(), name.to_owned(), place, connection, now);
        self.welcome(&guest);
        self.guests.insert(id.clone(), guest);
        self.empty_since = None;
        if open {
            self.admit(&id, now, out);
        } else if let Some(guest) = self.guests.get(&id) {
            guest.tell(ServerMessage::Lobby);
            self.note(now, LogEvent::GuestInLobby { id: id.clone(), name: name.to_owned() });
        }
        Entered::As(id)
    }

    fn resume(&mut self, token: &str, connection: Connection, now: Moment, out: &Outside) -> Entered {
        let Some(guest) = self.guests.values_mut().find(|guest| guest.token == token) else {
            let message = "your place in this meeting is gone".to_owned();
            connection.send(ServerMessage::Error { code: "lost", message });
            return Entered::Refused;
        };
        if guest.cut {
            // Its network does not work: there is nobody to answer.
            return Entered::Refused;
        }
        guest.connection = Some(connection);
        guest.away_until = None;
        let (id, name, in_call) = (guest.id.clone(), guest.name.clone(), guest.is_in_call());
        if let Some(guest) = self.guests.get(&id) {
            self.welcome(guest);
            guest.tell(if in_call { ServerMessage::Admitted } else { ServerMessage::Lobby });
            if in_call {
                guest.tell(ServerMessage::Roster { participants: self.roster() });
            }
        }
        self.note(now, LogEvent::GuestResumed { id: id.clone(), name });
        if in_call {
            self.connect_media(&id, now, out);
        }
        Entered::As(id)
    }

    fn welcome(&self, guest: &Guest) {
        let reconnect = self.script.scenario.reconnect().as_millis();
        guest.tell(ServerMessage::Welcome {
            self_id: guest.id.clone(),
            token: guest.token.clone(),
            reconnect_ms: u64::try_from(reconnect).unwrap_or(u64::MAX),
        });
    }

    /// An id that nobody has or may get: it names a stream, so it must not be a virtual participant's either.
    fn new_guest_id(&mut self) -> String {
        loop {
            let id = format!("guest-{}", self.next_guest);
            self.next_guest += 1;
            let planned = self.script.scenario.participants.iter().any(|participant| participant.id == id);
            if !planned && !self.voices.contains_key(&id) && !self.guests.contains_key(&id) {
                return id;
            }
        }
    }

    /// Hears what a guest's page says on `connection`.
    pub(crate) fn heard(&mut self, id: &str, connection: u64, message: ClientMessage, now: Moment, out: &Outside) {
        let Some(guest) = self.guests.get_mut(id) else { return };
        // What an older connection still had to say does not count any more.
        if guest.connection.as_ref().is_none_or(|current| current.id != connection) {
            return;
        }
        match message {
            ClientMessage::Hello { .. } => {
                let message = "hello may be said only once".to_owned();
                guest.tell(ServerMessage::Error { code: "bad_message", message });
                self.leave(id, now);
            }
            ClientMessage::Answer { session, sdp } => self.answer(id, session, &sdp, now),
            ClientMessage::Candidate { session, candidate } => {
                if let Some(peer) = guest.peer.as_mut().filter(|peer| peer.session == session) {
                    peer.candidate(&candidate);
                    peer.next = now.instant;
                }
            }
            ClientMessage::Restart { session } => {
                if guest.is_in_call() && guest.sessions == session {
                    self.connect_media(id, now, out);
                }
            }
            ClientMessage::Mic { on } => {
                if guest.mic != on {
                    guest.mic = on;
                    self.roster_changed = true;
                    self.note(now, LogEvent::Mic { id: id.to_owned(), on });
                }
            }
            ClientMessage::Chat { text } => {
                if guest.is_in_call() && !text.trim().is_empty() && text.chars().count() <= MAX_TEXT {
                    let (from, name) = (guest.id.clone(), guest.name.clone());
                    self.chat(from, name, text, now);
                }
            }
            ClientMessage::Leave => self.leave(id, now),
        }
    }

    fn answer(&mut self, id: &str, session: u32, sdp: &str, now: Moment) {
        let Some(guest) = self.guests.get_mut(id) else { return };
        let Some(peer) = guest.peer.as_mut().filter(|peer| peer.session == session) else { return };
        peer.next = now.instant;
        match peer.answer(sdp) {
            // The call may have changed while the page was thinking.
            Ok(()) => guest.renegotiate = true,
            Err(error) => {
                let message = format!("the answer cannot be used: {error}");
                guest.tell(ServerMessage::Error { code: "bad_answer", message });
                self.leave(id, now);
            }
        }
    }

    /// Writes into the chat of everybody in the call.
    pub(super) fn chat(&mut self, from: String, from_name: String, text: String, now: Moment) {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (from_, name_, text_) = (from.clone(), from_name.clone(), text.clone());
        self.note(now, LogEvent::Chat { id: id.clone(), from: from_, from_name: name_, text: text_ });
        let message = ChatMessage { id, from, from_name, text, at: now.epoch_ms };
        for guest in self.guests.values().filter(|guest| guest.is_in_call()) {
            guest.tell(ServerMessage::Chat(message.clone()));
        }
    }

    /// A guest's signalling connection ended.
    pub(crate) fn gone(&mut self, id: &str, connection: u64, now: Moment) {
        let until = now.instant + self.script.scenario.reconnect();
        let Some(guest) = self.guests.get_mut(id) else { return };
        if guest.connection.as_ref().is_some_and(|current| current.id == connection) {
            guest.disconnect(until);
            let event = LogEvent::GuestAway { id: guest.id.clone(), name: guest.name.clone() };
            self.note(now, event);
        }
    }

    /// Lets a guest in from the lobby.
    pub(super) fn admit(&mut self, id: &str, now: Moment, out: &Outside) {
        let Some(guest) = self.guests.get_mut(id).filter(|guest| !guest.is_in_call()) else { return };
        guest.place = Place::Call;
        guest.tell(ServerMessage::Admitted);
        let event = LogEvent::GuestAdmitted { id: guest.id.clone(), name: guest.name.clone() };
        let connected = guest.connection.is_some();
        self.note(now, event);
        if connected {
            self.connect_media(id, now, out);
        }
        self.call_changed();
        self.start_clock(now);
    }

    /// Refuses a guest in the lobby.
    pub(super) fn deny(&mut self, id: &str, now: Moment) {
        self.dismiss(id, Some(ServerMessage::Denied { reason: "host" }), now, |id, name| LogEvent::GuestDenied {
            id,
            name,
        });
    }

    /// Removes a guest from the call.
    pub(super) fn remove(&mut self, id: &str, now: Moment) {
        self.dismiss(id, Some(ServerMessage::Removed), now, |id, name| LogEvent::GuestRemoved { id, name });
    }

    fn leave(&mut self, id: &str, now: Moment) {
        self.dismiss(id, None, now, |id, name| LogEvent::GuestLeft { id, name });
    }

    /// Gives up those who did not come back in time.
    pub(super) fn forget_lost(&mut self, now: Moment) {
        let late = self.guests.values().filter(|guest| guest.away_until.is_some_and(|until| until <= now.instant));
        for id in late.map(|guest| guest.id.clone()).collect::<Vec<_>>() {
            self.dismiss(&id, None, now, |id, name| LogEvent::GuestLost { id, name });
        }
    }

    /// Cuts a guest off: its page sees a closed socket and silence.
    pub(super) fn cut_off(&mut self, id: &str, now: Moment) {
        let until = now.instant + self.script.scenario.reconnect();
        let Some(guest) = self.guests.get_mut(id) else { return };
        guest.cut = true;
        guest.disconnect(until);
        let event = LogEvent::NetworkDropped { id: guest.id.clone(), name: guest.name.clone() };
        self.note(now, event);
    }

    /// Lets a guest who was cut off come back.
    pub(super) fn reach_again(&mut self, id: &str, now: Moment) {
        let Some(guest) = self.guests.get_mut(id) else { return };
        guest.cut = false;
        let event = LogEvent::NetworkReturned { id: guest.id.clone(), name: guest.name.clone() };
        self.note(now, event);
    }

    /// Takes a guest out, with its last words to it.
    fn dismiss(
        &mut self,
        id: &str,
        last_words: Option<ServerMessage>,
        now: Moment,
        event: impl FnOnce(String, String) -> LogEvent,
    ) {
        let Some(guest) = self.guests.remove(id) else { return };
        if let Some(message) = last_words {
            guest.tell(message);
        }
        if guest.is_in_call() {
            self.call_changed();
        }
        if self.guests.is_empty() {
            self.empty_since = Some(now.instant);
        }
        self.note(now, event(guest.id, guest.name));
    }
}
