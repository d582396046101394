//! What a room tells about itself.

use serde::Serialize;

use super::Room;
use super::guest::Guest;
use crate::engine::Moment;
use crate::scenario::Clock;

/// One line of the list of rooms.
#[derive(Clone, Debug, Serialize)]
pub struct RoomSummary {
    /// Its name.
    pub name: String,
    /// The host has ended the meeting.
    pub over: bool,
    /// Guests, in the lobby and in the call.
    pub guests: usize,
    /// Virtual participants in the call.
    pub participants: usize,
}

/// A room, now.
#[derive(Clone, Debug, Serialize)]
pub struct RoomState {
    /// Its name.
    pub name: String,
    /// Somebody wrote its scenario; other rooms exist because somebody entered them.
    pub scripted: bool,
    /// The host has ended the meeting.
    pub over: bool,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// What the scenario's times count from.
    pub clock: Clock,
    /// When that was, in milliseconds since 1970; none if it is still to come.
    pub clock_started_at_ms: Option<u64>,
    /// Milliseconds since then.
    pub elapsed_ms: Option<u64>,
    /// Those with a page.
    pub guests: Vec<GuestState>,
    /// Virtual participants in the call.
    pub participants: Vec<ParticipantState>,
}

/// Somebody with a page.
#[derive(Clone, Debug, Serialize)]
pub struct GuestState {
    /// Also the id of its MediaStream at the others.
    pub id: String,
    /// As it said.
    pub name: String,
    /// `lobby` or `call`.
    pub place: &'static str,
    /// `connected`, `away` (its signalling is gone) or `dropped` (by a `network_drop`).
    pub network: &'static str,
    /// Media flows.
    pub media: bool,
    /// Its connections so far.
    pub session: u32,
    /// Its microphone is on.
    pub mic: bool,
    /// When it came to the door, in milliseconds since 1970.
    pub arrived_at_ms: u64,
}

/// A virtual participant in the call.
#[derive(Clone, Debug, Serialize)]
pub struct ParticipantState {
    /// Also the id of its MediaStream.
    pub id: String,
    /// Shown to the others.
    pub name: String,
    /// It is saying something.
    pub speaking: bool,
}

impl Room {
    pub(crate) fn summary(&self) -> RoomSummary {
        RoomSummary {
            name: self.name.clone(),
            over: self.over,
            guests: self.guests.len(),
            participants: self.voices.len(),
        }
    }

    pub(crate) fn state(&self, now: Moment) -> RoomState {
        let elapsed = self.zero.map(|zero| now.instant.saturating_duration_since(zero.instant).as_millis());
        let participants = self.voices.values().map(|voice| ParticipantState {
            id: voice.id.clone(),
            name: voice.name.clone(),
            speaking: voice.is_speaking(),
        });
        RoomState {
            name: self.name.clone(),
            scripted: self.scripted,
            over: self.over,
            created_at_ms: self.created.epoch_ms,
            clock: self.script.scenario.clock,
            clock_started_at_ms: self.zero.map(|zero| zero.epoch_ms),
            elapsed_ms: elapsed.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            guests: self.guests.values().map(guest_state).collect(),
            participants: participants.collect(),
        }
    }
}

fn guest_state(guest: &Guest) -> GuestState {
    let network = match (guest.cut, &guest.connection) {
        (true, _) => "dropped",
        (false, None) => "away",
        (false, Some(_)) => "connected",
    };
    GuestState {
        id: guest.id.clone(),
        name: guest.name.clone(),
        place: if guest.is_in_call() { "call" } else { "lobby" },
        network,
        media: guest.peer.as_ref().is_some_and(crate::peer::Peer::is_connected),
        session: guest.sessions,
        mic: guest.mic,
        arrived_at_ms: guest.since.epoch_ms,
    }
}
