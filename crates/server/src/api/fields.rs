//! Reads fields of a JSON request and remembers everything that is wrong with it.
//!
//! Every problem names the field by its path and what was expected, so that one answer tells a caller all there is to
//! mend. `null` is the same as leaving a field out: several clients send it for every option they do not use.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use muster_hooks::guard::Policy;
use muster_session::Timestamp;
use serde_json::{Map, Value};
use url::Url;

/// More problems than this are not listed one by one.
const MAX_LISTED: usize = 20;
/// How much of a wrong value is repeated to the caller.
const MAX_ECHO_CHARS: usize = 40;
/// Longest URL in a request.
const MAX_URL_CHARS: usize = 4096;

/// What is wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// A request that is wrong as a whole.
    pub(crate) fn of(problem: String) -> Self {
        Self(vec![problem])
    }

    pub(crate) fn add(&mut self, path: &str, expected: impl Display) {
        self.0.push(format!("{path}: {expected}"));
    }

    pub(crate) fn expected(&mut self, path: &str, expected: impl Display, got: &Value) {
        self.0.push(format!("{path}: expected {expected}, got {}", echo(got)));
    }

    /// `value` if nothing is wrong.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0[..self.0.len().min(MAX_LISTED)].join("; "))?;
        match self.0.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A wrong value, shortened.
fn echo(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() <= MAX_ECHO_CHARS => format!("{text:?}"),
        Value::String(text) => {
            let start: String = text.chars().take(MAX_ECHO_CHARS).collect();
            format!("{start:?}… ({} characters)", text.chars().count())
        }
    }
}

/// A JSON object with its path from the root of the request.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'v> {
    map: &'v Map<String, Value>,
    path: String,
}

impl<'v> Fields<'v> {
    /// The request itself.
    pub(crate) fn root(value: &'v Value, problems: &mut Problems) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, path: String::new() }),
            other => {
                problems.expected("body", "a JSON object", other);
                None
            }
        }
    }

    /// An object that is known to be at `path`.
    pub(crate) fn at(path: String, value: &'v Value, problems: &mut Problems) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, path }),
            other => {
                problems.expected(&path, "an object", other);
                None
            }
        }
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn map(&self) -> &'v Map<String, Value> {
        self.map
    }

    /// The value, unless absent or null.
    pub(crate) fn value(&self, key: &str) -> Option<&'v Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn object(&self, key: &str, problems: &mut Problems) -> Option<Fields<'v>> {
        Self::at(self.path(key), self.value(key)?, problems)
    }

    pub(crate) fn array(&self, key: &str, max: usize, problems: &mut Problems) -> Option<&'v [Value]> {
        match self.value(key)? {
            Value::Array(items) if items.len() <= max => Some(items),
            Value::Array(items) => {
                problems.add(&self.path(key), format_args!("expected at most {max} entries, got {}", items.len()));
                None
            }
            other => {
                problems.expected(&self.path(key), "an array", other);
                None
            }
        }
    }

    pub(crate) fn boolean(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(value) => Some(*value),
            other => {
                problems.expected(&self.path(key), "true or false", other);
                None
            }
        }
    }

    pub(crate) fn integer(&self, key: &str, range: &RangeInclusive<u32>, problems: &mut Problems) -> Option<u32> {
        let value = self.value(key)?;
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            let expected = format_args!("an integer from {} to {}", range.start(), range.end());
            problems.expected(&self.path(key), expected, value);
        }
        number
    }

    /// A text of 1 to `max` characters, none of them a control character other than a line break or tab.
    pub(crate) fn text(&self, key: &str, max: usize, problems: &mut Problems) -> Option<&'v str> {
        let value = self.value(key)?;
        let text = value.as_str().filter(|text| {
            let length = text.chars().count();
            let clean = !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
            !text.trim().is_empty() && length <= max && clean
        });
        if text.is_none() {
            problems.expected(&self.path(key), format_args!("a text of 1 to {max} characters"), value);
        }
        text
    }

    /// One of `allowed`.
    pub(crate) fn choice(&self, key: &str, allowed: &[&str], problems: &mut Problems) -> Option<&'v str> {
        let value = self.value(key)?;
        let text = value.as_str().filter(|text| allowed.contains(text));
        if text.is_none() {
            problems.expected(&self.path(key), format_args!("one of {}", allowed.join(", ")), value);
        }
        text
    }

    /// Whatever can be read of a text, such as an id.
    pub(crate) fn parsed<T: FromStr>(&self, key: &str, expected: &str, problems: &mut Problems) -> Option<T> {
        let value = self.value(key)?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            problems.expected(&self.path(key), expected, value);
        }
        parsed
    }

    /// A time; without an offset it is UTC.
    pub(crate) fn time(&self, key: &str, problems: &mut Problems) -> Option<Timestamp> {
        let value = self.value(key)?;
        let time = value.as_str().and_then(Timestamp::parse);
        if time.is_none() {
            problems.expected(&self.path(key), "a time such as 2026-01-31T09:00:00Z", value);
        }
        time
    }

    /// An absolute URL of one of `schemes` that the guard lets through.
    pub(crate) fn url(&self, key: &str, schemes: &[&str], guard: &Policy, problems: &mut Problems) -> Option<Url> {
        let value = self.value(key)?;
        let path = self.path(key);
        let url = value
            .as_str()
            .filter(|text| text.chars().count() <= MAX_URL_CHARS)
            .and_then(|text| Url::parse(text.trim()).ok())
            .filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        let Some(url) = url else {
            let schemes = schemes.iter().map(|s| format!("{s}://")).collect::<Vec<_>>().join(" or ");
            problems.expected(&path, format_args!("a {schemes} URL of at most {MAX_URL_CHARS} characters"), value);
            return None;
        };
        if let Err(refused) = guard.check_url(&url) {
            problems.add(&path, refused);
            return None;
        }
        Some(url)
    }

    /// Reports the field as missing if it is.
    pub(crate) fn require(&self, key: &str, expected: &str, problems: &mut Problems) {
        if self.value(key).is_none() {
            problems.add(&self.path(key), format_args!("required: expected {expected}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_path_expectation_and_value() {
        let body = json!({"automatic_leave": {"waiting_room_timeout": "ten"}});
        let mut problems = Problems::default();
        let root = Fields::root(&body, &mut problems).unwrap();
        let leave = root.object("automatic_leave", &mut problems).unwrap();
        assert_eq!(leave.integer("waiting_room_timeout", &(60..=600), &mut problems), None);
        assert_eq!(
            problems.to_string(),
            "automatic_leave.waiting_room_timeout: expected an integer from 60 to 600, got \"ten\""
        );
    }

    #[test]
    fn long_values_and_long_lists_are_cut() {
        let body = json!({"name": "x".repeat(5_000)});
        let mut problems = Problems::default();
        let root = Fields::root(&body, &mut problems).unwrap();
        for _ in 0..25 {
            root.text("name", 100, &mut problems);
        }
        let text = problems.to_string();
        assert!(text.len() < 5_000, "{text}");
        assert!(text.ends_with("; and 5 more"), "{text}");
    }

    #[test]
    fn null_is_absent() {
        let body = json!({"a": null});
        let mut problems = Problems::default();
        let root = Fields::root(&body, &mut problems).unwrap();
        assert_eq!(root.boolean("a", &mut problems), None);
        assert_eq!(problems, Problems::default());
    }
}
