//! Somebody with a page.

use std::time::Instant;

use super::Connection;
use crate::engine::Moment;
use crate::peer::Peer;
use crate::wire::ServerMessage;

/// What a lobby does with a guest after its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admit,
    Deny,
}

/// Where a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Lobby {
        /// Decided by time; an action decides if none.
        until: Option<(Instant, Verdict)>,
    },
    Call,
}

#[derive(Debug)]
pub(super) struct Guest {
    pub(super) id: String,
    pub(super) name: String,
    /// Who shows it comes back as this guest.
    pub(super) token: String,
    pub(super) place: Place,
    pub(super) since: Moment,
    pub(super) connection: Option<Connection>,
    /// When it is given up; none while it has a connection.
    pub(super) away_until: Option<Instant>,
    /// Its network does not work, in either direction.
    pub(super) cut: bool,
    /// In the call with a connection only.
    pub(super) peer: Option<Peer>,
    /// Peers so far.
    pub(super) sessions: u32,
    /// An offer may be needed.
    pub(super) renegotiate: bool,
    pub(super) mic: bool,
    pub(super) mic_line: MicLine,
}

impl Guest {
    pub(super) fn new(id: String, name: String, place: Place, connection: Connection, now: Moment) -> Self {
        Self {
            id,
            name,
            token: uuid::Uuid::new_v4().simple().to_string(),
            place,
            since: now,
            connection: Some(connection),
            away_until: None,
            cut: false,
            peer: None,
            sessions: 0,
            renegotiate: false,
            mic: false,
            mic_line: MicLine::default(),
        }
    }

    pub(super) fn is_in_call(&self) -> bool {
        self.place == Place::Call
    }

    pub(super) fn tell(&self, message: ServerMessage) {
        if let Some(connection) = &self.connection {
            connection.send(message);
        }
    }

    /// Takes its connections away. It is given up at `until` unless it comes back.
    pub(super) fn disconnect(&mut self, until: Instant) {
        self.connection = None;
        self.peer = None;
        // A second interruption does not give a second chance: the page counts from the first one too.
        self.away_until.get_or_insert(until);
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        let lobby = match self.place {
            Place::Lobby { until } => until.map(|(at, _)| at),
            Place::Call => None,
        };
        let peer = self.peer.as_ref().map(|peer| peer.next);
        [lobby, self.away_until, peer].into_iter().flatten().min()
    }
}

/// Puts the RTP times of a guest's microphone on one line through all of its connections, each of which begins
/// anywhere.
#[derive(Debug, Default)]
pub(super) struct MicLine {
    session: u32,
    /// Added to the times of this session, modulo 2^64.
    shift: u64,
    /// The time that was sent last, and when.
    last: Option<(u64, Instant)>,
}

impl MicLine {
    /// The time to send instead of `time`, in samples at 48 kHz.
    pub(super) fn place(&mut self, session: u32, time: u64, now: Instant) -> u64 {
        if session != self.session || self.last.is_none() {
            let start = self.last.map_or(0, |(last, at)| {
                let gap = now.saturating_duration_since(at).as_micros() * 48 / 1_000;
                last.saturating_add(u64::try_from(gap).unwrap_or(u64::MAX).max(960))
            });
            self.shift = start.wrapping_sub(time);
            self.session = session;
        }
        let placed = time.wrapping_add(self.shift);
        self.last = Some((placed, now));
        placed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_microphone_is_on_one_line_through_all_connections() {
        let (mut line, zero) = (MicLine::default(), Instant::now());
        let at = |ms| zero + Duration::from_millis(ms);
        assert_eq!(line.place(1, 70_000, at(0)), 0);
        assert_eq!(line.place(1, 70_960, at(21)), 960);
        // A new connection, two seconds later, with another beginning.
        assert_eq!(line.place(2, 5, at(2_021)), 960 + 96_000);
        assert_eq!(line.place(2, 965, at(2_040)), 960 + 96_000 + 960);
    }
}
