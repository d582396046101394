//! Meetings that bots are wanted for: as a file says, or as an ordinary working week has them.

use std::time::Duration;

/// Most meetings of a file.
const MOST: usize = 5_000_000;
/// Most tenants of a file.
const MOST_TENANTS: usize = 10_000;

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

/// What is wrong with a file of meetings.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// Names the column and what was expected.
    pub problem: String,
}

impl Trace {
    /// Reads lines of `start,duration_s[,tenant[,booked_s]]`, the first of them these names. A start is in seconds from any
    /// beginning, or a time such as `2026-11-30T09:00:00Z`; what counts is how far it is from the earliest.
    pub fn read(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
        let wrong = |line, problem: String| TraceError { line, problem };
        let (line, head) = lines.next().ok_or_else(|| wrong(1, "the file is empty".into()))?;
        let columns: Vec<&str> = head.split(',').map(str::trim).collect();
        let known = ["start", "duration_s", "tenant", "booked_s"];
        if columns.len() < 2 || columns != known[..columns.len().min(known.len())] {
            return Err(wrong(line, format!("expected the columns {}, got {head}", known.join(","))));
        }
        let mut rows = Vec::new();
        let mut tenants: Vec<String> = Vec::new();
        for (line, text) in lines.filter(|(_, line)| !line.is_empty()) {
            if rows.len() >= MOST {
                return Err(wrong(line, format!("more than {MOST} meetings")));
            }
            let cells: Vec<&str> = text.split(',').map(str::trim).collect();
            if cells.len() < 2 || cells.len() > columns.len() {
                return Err(wrong(line, format!("expected 2 to {} columns, got {}", columns.len(), cells.len())));
            }
            let seconds = |column: &str, cell: &str, most: f64| {
                let number = cell.parse::<f64>().ok().filter(|number| (0.0..=most).contains(number));
                number.ok_or_else(|| wrong(line, format!("{column}: expected seconds, 0 to {most}, got {cell:?}")))
            };
            let start = match muster_session::Timestamp::parse(cells[0]) {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
                Some(at) => at.as_millis() as f64 / 1_000.0,
                None => seconds("start", cells[0], 4e9)?,
            };
            let duration = seconds("duration_s", cells[1], 86_400.0)?;
            let name = cells.get(2).filter(|name| !name.is_empty()).copied().unwrap_or("default");
            let booked =
                cells.get(3).filter(|cell| !cell.is_empty()).map_or(Ok(0.0), |cell| seconds("booked_s", cell, 4e8))?;
            let tenant = match tenants.iter().position(|known| known == name) {
                Some(tenant) => tenant,
                None if tenants.len() >= MOST_TENANTS => {
                    return Err(wrong(line, format!("tenant: more than {MOST_TENANTS} of them")));
                }
                None => {
                    tenants.push(name.to_owned());
                    tenants.len() - 1
                }
            };
            rows.push((start, duration, tenant, booked));
        }
        let earliest = rows.iter().map(|row| row.0).fold(f64::INFINITY, f64::min);
        let meetings = rows.into_iter().map(|(start, duration, tenant, booked)| Meeting {
            start: Duration::from_secs_f64(start - earliest),
            duration: Duration::from_secs_f64(duration),
            tenant: u32::try_from(tenant).unwrap_or_default(),
            booked: Duration::from_secs_f64(booked),
        });
        Ok(Self::sorted(meetings.collect(), tenants))
    }

    /// A working week, from Monday 0:00: so many meetings, most of them booked, most of them at the full or the half hour, with
    /// Monday 9:00 above all. The same for the same seed.
    ///
    /// Days weigh 23, 21, 20, 20, 14, 1 and 1 of 100; hours rise at 9 and 10, fall at noon and rise again at 14. 45 % begin at the
    /// full hour, 30 % at the half, 10 % at a quarter, the others at any minute; at Monday 9:00 it is three times as many as else in
    /// that hour. They are planned for 15 to 90 minutes and last 0.7 to 1.1 times that, 3 % up to three hours. 85 % were booked an
    /// hour to a week before; for the others a bot is asked for when they begin. Ten tenants, the largest with a third of them.
    #[must_use]
    pub fn weekday(meetings: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let tenants: Vec<String> = (1..=TENANTS).map(|number| format!("tenant-{number}")).collect();
        let made = (0..meetings).map(|_| weekday_meeting(&mut random)).collect();
        Self::sorted(made, tenants)
    }

    /// The same number of bots at once, from the beginning on, for an hour.
    #[must_use]
    pub fn at_once(bots: usize) -> Self {
        let hour = Duration::from_secs(3_600);
        let one = Meeting { start: Duration::ZERO, duration: hour, tenant: 0, booked: Duration::ZERO };
        Self { meetings: vec![one; bots], tenants: vec!["default".to_owned()] }
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

const TENANTS: usize = 10;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const DAYS: [u32; 7] = [23, 21, 20, 20, 14, 1, 1];
/// From 7:00 on.
const HOURS: [u32; 13] = [2, 6, 14, 15, 13, 5, 10, 13, 12, 10, 5, 2, 1];
const FIRST_HOUR: u64 = 7;
/// In minutes, with their weights.
const PLANNED: [(u64, u32); 7] = [(15, 10), (25, 8), (30, 32), (45, 14), (50, 8), (60, 23), (90, 5)];

fn weekday_meeting(random: &mut fastrand::Rng) -> Meeting {
    let day = pick(random, DAYS.iter().copied());
    let hour = FIRST_HOUR + pick(random, HOURS.iter().copied()) as u64;
    let monday_nine = day == 0 && hour == 9;
    let minute = match random.u32(0..100) {
        0..45 => 0,
        45..75 if !monday_nine => 30,
        45..75 => 30 * random.u64(0..2) * random.u64(0..2),
        75..85 => 15 + 30 * random.u64(0..2),
        _ => random.u64(0..60),
    };
    let planned = PLANNED[pick(random, PLANNED.iter().map(|(_, weight)| *weight))].0 * MINUTE;
    let seconds = match random.u32(0..100) {
        0..3 => random.u64(90 * MINUTE..180 * MINUTE),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "minutes"
        )]
        _ => (planned as f64 * (0.7 + 0.4 * random.f64())) as u64,
    };
    let booked = match random.u32(0..100) {
        0..85 => random.u64(HOUR..7 * DAY),
        _ => 0,
    };
    // The first has a third, the next a sixth of what it has, and so on.
    let tenant = pick(random, (1..=TENANTS as u32).map(|rank| 1_000 / rank));
    Meeting {
        start: Duration::from_secs(day as u64 * DAY + hour * HOUR + minute * MINUTE),
        duration: Duration::from_secs(seconds),
        tenant: u32::try_from(tenant).unwrap_or_default(),
        booked: Duration::from_secs(booked),
    }
}

/// An index by weight.
fn pick(random: &mut fastrand::Rng, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let mut left = random.u32(0..weights.clone().sum());
    for (place, weight) in weights.enumerate() {
        if left < weight {
            return place;
        }
        left -= weight;
    }
    0
}

#[cfg(test)]
mod tests;
