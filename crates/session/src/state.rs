use serde::{Deserialize, Serialize};

/// Where a session is. Ranks only grow, except that a lost attempt may go back to [`State::Queued`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for `join_at`.
    Scheduled,
    /// Accepted; waits for a worker with room.
    Queued,
    /// A worker holds the lease and its bot is on the way in.
    Joining,
    /// The platform holds the bot in a lobby.
    WaitingRoom,
    /// Admitted, by positive evidence; nothing recorded yet.
    InMeeting,
    /// Admitted and capturing.
    Recording,
    /// On the way out; the reason is already decided.
    Leaving,
    /// Out of the call; artifacts are being settled.
    Processing,
    /// Everything settled; `bot.done` was sent.
    Done,
    /// The media was deleted, by request or retention.
    MediaExpired,
}

impl State {
    /// Every state, in order of rank.
    pub const ALL: [Self; 10] = [
        Self::Scheduled,
        Self::Queued,
        Self::Joining,
        Self::WaitingRoom,
        Self::InMeeting,
        Self::Recording,
        Self::Leaving,
        Self::Processing,
        Self::Done,
        Self::MediaExpired,
    ];

    /// True while a bot may be running for the session.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Joining | Self::WaitingRoom | Self::InMeeting | Self::Recording | Self::Leaving)
    }

    /// True once the session is out of the call for good.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Processing | Self::Done | Self::MediaExpired)
    }

    /// The snake_case name used in storage and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Joining => "joining",
            Self::WaitingRoom => "waiting_room",
            Self::InMeeting => "in_meeting",
            Self::Recording => "recording",
            Self::Leaving => "leaving",
            Self::Processing => "processing",
            Self::Done => "done",
            Self::MediaExpired => "media_expired",
        }
    }

    /// The `status` string that MeetStream clients know.
    #[must_use]
    pub const fn wire_status(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Queued | Self::Joining => "Joining",
            Self::WaitingRoom => "InWaitingRoom",
            Self::InMeeting => "InMeeting",
            Self::Recording => "Recording",
            Self::Leaving => "Leaving",
            Self::Processing => "MediaProcessing",
            Self::Done => "Done",
            Self::MediaExpired => "MediaExpired",
        }
    }
}
