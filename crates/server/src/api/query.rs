//! Query strings. Unknown parameters are ignored, empty ones count as absent.

use std::fmt::Display;
use std::str::FromStr;

use muster_session::Timestamp;

use super::error::ApiError;

const DAY_MS: i64 = 86_400_000;
/// How much of a wrong value is repeated to the caller.
const MAX_ECHO_CHARS: usize = 40;

/// Decoded pairs, in order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The last value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Parameters of the form `name[key]=value`.
    pub(crate) fn indexed<'q>(&'q self, name: &'q str) -> impl Iterator<Item = (&'q str, &'q str)> {
        self.0.iter().filter_map(move |(key, value)| {
            let key = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            Some((key, value.as_str()))
        })
    }

    /// A page size from 1 to `max`.
    pub(crate) fn limit(&self, default: u32, max: u32) -> Result<u32, ApiError> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or_else(|| unexpected("limit", format_args!("an integer from 1 to {max}"), text))
    }

    /// The beginning of a time: a day or a moment.
    pub(crate) fn from(&self) -> Result<Option<Timestamp>, ApiError> {
        self.get("from").map(|text| day_or_time("from", text, 0)).transpose()
    }

    /// The end of a time: a day, which belongs to it, or a moment, which does not.
    pub(crate) fn to(&self) -> Result<Option<Timestamp>, ApiError> {
        self.get("to").map(|text| day_or_time("to", text, DAY_MS)).transpose()
    }

    /// One of `all`, by its name.
    pub(crate) fn choice<T: Copy>(
        &self,
        parameter: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(parameter) else { return Ok(None) };
        let found = all.iter().copied().find(|one| name(*one) == text);
        let names = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| unexpected(parameter, format_args!("one of {}", names()), text))
    }

    /// Whatever can be read of a text, such as an id.
    pub(crate) fn parsed<T: FromStr>(&self, parameter: &str, expected: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(parameter) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| unexpected(parameter, expected, text))
    }
}

fn unexpected(parameter: &str, expected: impl Display, got: &str) -> ApiError {
    let got: String = got.chars().take(MAX_ECHO_CHARS).collect();
    ApiError::bad_request(format!("{parameter}: expected {expected}, got {got:?}"))
}

/// A day (its start, `day_ms` later for an end that includes it) or a time.
fn day_or_time(name: &str, text: &str, day_ms: i64) -> Result<Timestamp, ApiError> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "YYYY-MM-DD".len());
    let found = match day {
        Some(day) => Timestamp::parse(&format!("{day}T00:00:00Z"))
            .map(|start| Timestamp::from_millis(start.as_millis().saturating_add(day_ms))),
        None => Timestamp::parse(text),
    };
    found.ok_or_else(|| unexpected(name, "a day such as 2026-01-31", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_day_includes_itself() {
        let from = day_or_time("from", "2026-01-31", 0).unwrap();
        let to = day_or_time("to", "2026-01-31", DAY_MS).unwrap();
        assert_eq!(from.to_rfc3339(), "2026-01-31T00:00:00.000Z");
        assert_eq!(to.to_rfc3339(), "2026-02-01T00:00:00.000Z");
        assert_eq!(day_or_time("to", "2026-01-31T12:00:00Z", DAY_MS).unwrap().to_rfc3339(), "2026-01-31T12:00:00.000Z");
        for bad in ["2026-02-30", "yesterday", "2026"] {
            assert!(day_or_time("from", bad, 0).is_err(), "{bad}");
        }
    }
}
