//! Meetings as a file has them.

use std::collections::HashMap;
use std::time::Duration;

use muster_session::Timestamp;

use super::{Meeting, Trace};

/// Most meetings of a file.
const MOST: usize = 5_000_000;
/// Most tenants of a file.
const MOST_TENANTS: usize = 10_000;
/// Seconds since the epoch go up to the next century.
const LATEST: f64 = 4e9;
const LONGEST: f64 = 86_400.0;
/// Days from the first meeting of a file to the last: more is a mistake, as time in which nothing happens is simulated too.
const MOST_DAYS: f64 = 366.0;

/// What is wrong with a file of meetings.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// Names the column and what was expected.
    pub problem: String,
}

/// Where each column is.
struct Columns {
    count: usize,
    start: usize,
    duration: usize,
    tenant: Option<usize>,
    booked: Option<usize>,
}

const START: &str = "start";
const DURATION: &str = "duration_s";
const TENANT: &str = "tenant";
const BOOKED: &str = "booked_s";

impl Columns {
    fn read(head: &str) -> Result<Self, String> {
        let names: Vec<&str> = head.trim_start_matches('\u{feff}').split(',').map(str::trim).collect();
        let place = |wanted: &str| names.iter().position(|name| *name == wanted);
        let known = [START, DURATION, TENANT, BOOKED];
        if let Some((again, name)) = names.iter().enumerate().find(|(at, name)| place(name) != Some(*at)) {
            return Err(format!("column {}: {name} is there twice", again + 1));
        }
        if let Some((at, name)) = names.iter().enumerate().find(|(_, name)| !known.contains(name)) {
            return Err(format!("column {}: expected one of {}, got {name:?}", at + 1, known.join(", ")));
        }
        let needed = |name: &str| place(name).ok_or_else(|| format!("there is no column {name}"));
        let (start, duration) = (needed(START)?, needed(DURATION)?);
        Ok(Self { count: names.len(), start, duration, tenant: place(TENANT), booked: place(BOOKED) })
    }
}

/// A line of the file, not yet counted from the earliest.
struct Row {
    start: f64,
    duration: f64,
    tenant: u32,
    booked: f64,
}

/// The first and the last start so far, with their lines.
#[derive(Default)]
struct Span(Option<[(f64, usize); 2]>);

impl Span {
    fn take(&mut self, line: usize, start: f64) -> Result<(), String> {
        let own = (start, line);
        let [first, last] = self.0.unwrap_or([own, own]);
        let (first, last) = (if start < first.0 { own } else { first }, if start > last.0 { own } else { last });
        let days = (last.0 - first.0) / 86_400.0;
        if days > MOST_DAYS {
            let other = if first.1 == line { last.1 } else { first.1 };
            return Err(format!(
                "{START}: {days:.0} days from the start in line {other}; expected {MOST_DAYS} at the most"
            ));
        }
        self.0 = Some([first, last]);
        Ok(())
    }
}

/// Who has meetings, in the order of appearance.
#[derive(Default)]
struct Tenants {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Tenants {
    fn number(&mut self, name: &str) -> Result<u32, String> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        if self.names.len() >= MOST_TENANTS {
            return Err(format!("{TENANT}: more than {MOST_TENANTS} of them"));
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }
}

impl Trace {
    /// Reads comma-separated lines, the first of them names of columns: `start` and `duration_s`, and if wanted `tenant` and
    /// `booked_s`, in any order. A start is in seconds from any beginning, or a time such as `2026-11-30T09:00:00Z`; what counts
    /// is how far it is from the earliest. `booked_s` says how long before its start a bot was asked for; without it, it is asked
    /// for when the meeting is there. Up to five million meetings; cells are not quoted.
    ///
    /// # Errors
    ///
    /// The line and the column that cannot be used, and what was expected there.
    pub fn read(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
        let (line, head) = lines.next().unwrap_or((1, ""));
        let columns = Columns::read(head).map_err(|problem| TraceError { line, problem })?;
        let (mut rows, mut tenants, mut span) = (Vec::new(), Tenants::default(), Span::default());
        for (line, text) in lines.filter(|(_, line)| !line.is_empty()) {
            let row = match rows.len() < MOST {
                true => row(text, &columns, &mut tenants),
                false => Err(format!("more than {MOST} meetings")),
            };
            let row = row.and_then(|row| span.take(line, row.start).map(|()| row));
            rows.push(row.map_err(|problem| TraceError { line, problem })?);
        }
        let earliest = rows.iter().map(|row| row.start).fold(f64::INFINITY, f64::min);
        let meeting = |row: Row| Meeting {
            start: Duration::from_secs_f64(row.start - earliest),
            duration: Duration::from_secs_f64(row.duration),
            tenant: row.tenant,
            booked: Duration::from_secs_f64(row.booked),
        };
        Ok(Self::sorted(rows.into_iter().map(meeting).collect(), tenants.names))
    }
}

fn row(text: &str, columns: &Columns, tenants: &mut Tenants) -> Result<Row, String> {
    let cells: Vec<&str> = text.split(',').map(str::trim).collect();
    if cells.len() != columns.count {
        return Err(format!("expected {} cells, got {}", columns.count, cells.len()));
    }
    let start = match Timestamp::parse(cells[columns.start]) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
        Some(at) => at.as_millis() as f64 / 1_000.0,
        None => seconds(cells[columns.start], LATEST).ok_or_else(|| {
            format!(
                "{START}: expected a time such as 2026-11-30T09:00:00Z, or seconds from 0 to {LATEST}, got {:?}",
                cells[columns.start]
            )
        })?,
    };
    let within = |name: &str, cell: &str, most: f64| {
        seconds(cell, most).ok_or_else(|| format!("{name}: expected seconds from 0 to {most}, got {cell:?}"))
    };
    let duration = within(DURATION, cells[columns.duration], LONGEST)?;
    let given = |place: Option<usize>| place.map(|place| cells[place]).filter(|cell| !cell.is_empty());
    let booked = given(columns.booked).map_or(Ok(0.0), |cell| within(BOOKED, cell, LATEST))?;
    let tenant = tenants.number(given(columns.tenant).unwrap_or("default"))?;
    Ok(Row { start, duration, tenant, booked })
}

fn seconds(cell: &str, most: f64) -> Option<f64> {
    cell.parse().ok().filter(|number| (0.0..=most).contains(number))
}
