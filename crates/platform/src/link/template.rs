//! Texts with `{name}` in them, where the name is a group of the pattern that matched, or `url` or `origin`.
//! `{name|lower}` is in lower case, `{name|decode}` percent-decoded.

use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};
use url::Url;

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Value { name: String, filter: Option<Filter> },
}

#[derive(Clone, Copy, Debug)]
enum Filter {
    Lower,
    Decode,
}

impl Template {
    /// Reads a template whose names must be groups of `pattern`; the error says what is allowed.
    pub(crate) fn parse(text: &str, pattern: &Regex) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, filter) = match inside.split_once('|') {
                None => (inside, None),
                Some((name, "lower")) => (name, Some(Filter::Lower)),
                Some((name, "decode")) => (name, Some(Filter::Decode)),
                Some((_, other)) => return Err(format!("`{other}` is no filter; there are `lower` and `decode`")),
            };
            if !matches!(name, "url" | "origin") && !pattern.capture_names().flatten().any(|group| group == name) {
                let groups: Vec<&str> = pattern.capture_names().flatten().chain(["url", "origin"]).collect();
                return Err(format!("`{{{name}}}` is not known here; there are: {}", groups.join(", ")));
            }
            parts.push(Part::Value { name: name.to_owned(), filter });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err("must not be empty".to_owned());
        }
        Ok(Self(parts))
    }

    /// The text for this match. Groups that took no part are empty.
    pub(crate) fn fill(&self, url: &Url, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value { name, filter } => {
                    let value = match name.as_str() {
                        "url" => url.as_str().to_owned(),
                        "origin" => url.origin().ascii_serialization(),
                        group => captures.name(group).map_or("", |found| found.as_str()).to_owned(),
                    };
                    match filter {
                        None => out.push_str(&value),
                        Some(Filter::Lower) => out.push_str(&value.to_lowercase()),
                        Some(Filter::Decode) => out.push_str(&percent_decode_str(&value).decode_utf8_lossy()),
                    }
                }
            }
        }
        out
    }
}
