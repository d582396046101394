//! How things are said on a terminal.

use std::io::Write as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;

/// Prints what the server said it did, or `otherwise` if it did not say.
pub(in crate::cli) fn print_answer(answer: &Value, json: bool, otherwise: &str) {
    match json {
        true => print_line(&answer.to_string()),
        false => print_line(answer["message"].as_str().unwrap_or(otherwise)),
    }
}

/// Prints a line. A reader that went away (`| head`) is no error of ours.
pub(in crate::cli) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `7 s`, `1:05 min`, `2:00:09 h`.
pub(in crate::cli) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes}:{rest:02} min"),
        _ => format!("{hours}:{minutes:02}:{rest:02} h"),
    }
}

/// `2026-01-31 09:00:05` in the given zone; what is not a time stays as it is.
pub(in crate::cli) fn date_time(rfc3339: &str, zone: &TimeZone) -> String {
    local(rfc3339, zone, "%Y-%m-%d %H:%M:%S")
}

/// `09:00:05` in the given zone.
pub(in crate::cli) fn time(rfc3339: &str, zone: &TimeZone) -> String {
    local(rfc3339, zone, "%H:%M:%S")
}

fn local(rfc3339: &str, zone: &TimeZone, format: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(at) => at.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Columns as wide as their widest cell, two spaces apart, nothing at the end of lines.
pub(in crate::cli) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// At most `chars` characters on one line, control characters taken out: a name may come from anywhere.
pub(in crate::cli) fn short(text: &str, chars: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= chars {
        return clean;
    }
    let start: String = clean.chars().take(chars.saturating_sub(1)).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, want) in [(0, "0 s"), (59, "59 s"), (65, "1:05 min"), (3_600, "1:00:00 h"), (7_209, "2:00:09 h")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn times_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(date_time("2026-01-31T23:00:05.123Z", &zone), "2026-02-01 01:00:05");
        assert_eq!(time("2026-01-31T23:00:05.123Z", &zone), "01:00:05");
        assert_eq!(time("soon", &zone), "soon");
    }

    #[test]
    fn columns_line_up_and_hostile_names_stay_in_their_cell() {
        let rows =
            [vec!["ID".into(), "NAME".into()], vec!["12345".into(), short("a\u{1b}[2J\nb", 10)], vec!["1".into()]];
        assert_eq!(table(&rows), ["ID     NAME", "12345  a [2J b", "1"]);
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
