//! Meetings that bots are wanted for: as a file says, or as an ordinary working week has them.

mod read;
mod week;

use std::time::Duration;

pub use read::TraceError;

/// One meeting, which one bot attends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meeting {
    /// When it begins, from the beginning of the trace.
    pub start: Duration,
    /// How long it lasts.
    pub duration: Duration,
    /// Whose it is: an index into [`Trace::tenants`].
    pub tenant: u32,
    /// How long before its beginning the bot was asked for; zero for one that is asked for when the meeting is there.
    pub booked: Duration,
}

/// Meetings in the order of their beginning.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// In order.
    pub meetings: Vec<Meeting>,
    /// Names of those who have them.
    pub tenants: Vec<String>,
}

impl Trace {
    /// A working week, from Monday 0:00: so many meetings, most of them booked, most of them at the full or the half hour, with
    /// Monday 9:00 above all. The same for the same seed.
    ///
    /// Days weigh 23, 21, 20, 20, 14, 1 and 1 of 100; hours rise at 9 and 10, fall at noon and rise again at 14. 45 % begin at the
    /// full hour, 30 % at the half, 10 % at a quarter, the others at any minute; at Monday 9:00 it is three times as many as else in
    /// that hour. They are planned for 15 to 90 minutes and last 0.7 to 1.1 times that, 3 % up to three hours. 85 % were booked an
    /// hour to a week before; for the others a bot is asked for when they begin. Ten tenants, the largest with a third of them.
    #[must_use]
    pub fn weekday(meetings: usize, seed: u64) -> Self {
        let (made, tenants) = week::meetings(meetings, seed);
        Self::sorted(made, tenants)
    }

    fn sorted(mut meetings: Vec<Meeting>, tenants: Vec<String>) -> Self {
        meetings.sort_by_key(|meeting| (meeting.start, meeting.tenant, meeting.duration, meeting.booked));
        Self { meetings, tenants }
    }

    /// Until the last meeting is over.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.meetings.iter().map(|meeting| meeting.start + meeting.duration).max().unwrap_or_default()
    }

    /// Most meetings at a time, each with a bot.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.concurrent().map(|(_, bots)| bots).max().unwrap_or(0)
    }

    /// How many meetings there are from each moment on at which that changes, in order.
    pub fn concurrent(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        let begin = self.meetings.iter().map(|meeting| (meeting.start, 1_i64));
        let end = self.meetings.iter().map(|meeting| (meeting.start + meeting.duration, -1_i64));
        let mut changes: Vec<(Duration, i64)> = begin.chain(end).collect();
        changes.sort_unstable();
        changes.into_iter().scan(0_i64, |bots, (at, change)| {
            *bots += change;
            Some((at, u64::try_from(*bots).unwrap_or(0)))
        })
    }
}

#[cfg(test)]
mod tests;
