//! What happened in a room, and exactly when.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::watch;

/// Entries that a room keeps; the oldest go first.
const KEPT: usize = 20_000;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct LogEntry {
    /// Counts from 1 in each room.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub event: LogEvent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each field is the id or name of whom it is about, or said by the variant")]
pub enum LogEvent {
    /// The room exists.
    RoomCreated,
    /// The zero of the scenario's times.
    ClockStarted,
    /// A guest waits.
    GuestInLobby { id: String, name: String },
    /// A guest is in the call.
    GuestAdmitted { id: String, name: String },
    /// A guest was refused.
    GuestDenied { id: String, name: String },
    /// A guest was removed by the host.
    GuestRemoved { id: String, name: String },
    /// A guest left by itself.
    GuestLeft { id: String, name: String },
    /// A guest did not come back in time.
    GuestLost { id: String, name: String },
    /// A guest's signalling connection is gone.
    GuestAway { id: String, name: String },
    /// A guest came back.
    GuestResumed { id: String, name: String },
    /// Media flows to a guest; `session` counts its connections.
    MediaConnected { id: String, session: u32 },
    /// A guest was cut off.
    NetworkDropped { id: String, name: String },
    /// A guest may come back.
    NetworkReturned { id: String, name: String },
    /// A guest turned its microphone on or off.
    Mic { id: String, on: bool },
    /// A virtual participant joined.
    ParticipantJoined { id: String, name: String },
    /// A virtual participant left.
    ParticipantLeft { id: String, name: String },
    /// The first packet of a sound was sent, at this entry's time, to so many guests. `item` is its index in `speaks`;
    /// there is none for actions.
    SpeechStarted { id: String, item: Option<usize>, sound: String, ms: u64, listeners: usize },
    /// The last packet of a sound was sent.
    SpeechEnded { id: String, item: Option<usize> },
    /// A chat message.
    Chat { id: String, from: String, from_name: String, text: String },
    /// A planned action had nothing to act on.
    ActionFailed { action: String, message: String },
    /// The meeting is over for everybody.
    RoomEnded,
}

/// A log that can be waited on.
#[derive(Debug)]
pub(crate) struct Log {
    entries: Mutex<VecDeque<LogEntry>>,
    last: watch::Sender<u64>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), last: watch::Sender::new(0) }
    }

    pub(crate) fn push(&self, at_ms: u64, event: LogEvent) {
        self.last.send_modify(|last| {
            *last += 1;
            let mut entries = self.entries.lock().expect("nothing panics while it holds this");
            if entries.len() == KEPT {
                entries.pop_front();
            }
            entries.push_back(LogEntry { seq: *last, at_ms, event });
        });
    }

    pub(crate) fn after(&self, seq: u64) -> Vec<LogEntry> {
        let entries = self.entries.lock().expect("nothing panics while it holds this");
        let start = entries.partition_point(|entry| entry.seq <= seq);
        entries.range(start..).cloned().collect()
    }

    /// Entries after `seq`, as soon as there is one. Cancel safe.
    pub(crate) async fn wait_after(&self, seq: u64) -> Vec<LogEntry> {
        let mut last = self.last.subscribe();
        // The sender lives in self, so this cannot fail.
        drop(last.wait_for(|last| *last > seq).await);
        self.after(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_gets_what_comes_and_nothing_twice() {
        let log = Log::new();
        log.push(1, LogEvent::RoomCreated);
        assert_eq!(log.wait_after(0).await.len(), 1);
        let (entries, ()) = tokio::join!(log.wait_after(1), async {
            tokio::task::yield_now().await;
            log.push(2, LogEvent::ClockStarted);
        });
        assert_eq!(entries.iter().map(|e| (e.seq, e.at_ms)).collect::<Vec<_>>(), [(2, 2)]);
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let log = Log::new();
        for at in 0..=KEPT as u64 {
            log.push(at, LogEvent::RoomCreated);
        }
        let entries = log.after(0);
        assert_eq!((entries.len(), entries[0].seq), (KEPT, 2));
    }
}
