//! What a visit to a meeting tells.

use muster_session::EndReason;

/// Somebody in the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Participant {
    /// The platform's id.
    pub id: String,
    /// Display name; the id if the page shows none.
    pub name: String,
}

/// Something that happened on a meeting page.
#[derive(Clone, PartialEq, Debug)]
pub enum PageEvent {
    /// A step of the way in began.
    Step {
        /// As the pack calls it.
        name: String,
    },
    /// The page shows that we wait to be let in. May be said again.
    Lobby,
    /// The page shows that we are in the call. May be said again.
    Admitted,
    /// It is over, and nothing more will be said about lobby or admission.
    Over {
        /// Why.
        reason: EndReason,
        /// For people.
        message: String,
    },
    /// The others in the call, all of them; only when that changed.
    Roster(Vec<Participant>),
    /// A message; each is said once.
    Chat {
        /// The platform's id of the message.
        id: String,
        /// The platform's id of the author.
        from: String,
        /// The author's name.
        name: String,
        /// What was said.
        text: String,
    },
    /// A sound track began. Said again when its owner becomes known.
    TrackStarted {
        /// Number of the track, unique in this visit.
        track: u32,
        /// Id of the participant whose voice it carries.
        participant: Option<String>,
    },
    /// A track ended.
    TrackEnded {
        /// Its number.
        track: u32,
    },
    /// Sound.
    Audio {
        /// The track.
        track: u32,
        /// When the first sample was heard, in microseconds since 1970.
        at_us: u64,
        /// Mono samples at 48 kHz.
        pcm: Vec<i16>,
    },
    /// Audio bytes that the page received from the network so far.
    Received {
        /// How many.
        bytes: u64,
    },
    /// Worth knowing, changes nothing.
    Note {
        /// For people.
        text: String,
    },
}
