//! Reads what is asked for of an endpoint. Pure.

use std::time::Duration;

use muster_hooks::guard::Policy;
use muster_session::event::NAMES;
use serde_json::Value;
use url::Url;

use crate::api::fields::{Fields, Problems};

const MAX_EVENTS: usize = 50;
const MAX_DESCRIPTION_CHARS: usize = 500;
/// A day.
const OVERLAP_DEFAULT: u32 = 86_400;
/// A week.
const OVERLAP_MAX: u32 = 604_800;
/// What an endpoint is told of others of its tenant.
const OF_ENDPOINTS: [&str; 1] = ["endpoint.disabled"];

/// A valid request for an endpoint.
#[derive(Debug)]
pub(super) struct New {
    pub(super) url: Url,
    pub(super) events: Vec<String>,
    pub(super) description: String,
}

impl New {
    pub(super) fn parse(request: &Value, guard: &Policy) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
        let p = &mut problems;
        fields.require("url", "an https:// or http:// URL", p);
        let url = fields.url("url", &["https", "http"], guard, p);
        let events = events(&fields, p).unwrap_or_default();
        let description = description(&fields, p).unwrap_or_default();
        match url {
            Some(url) => problems.none_or(Self { url, events, description }),
            None => Err(problems),
        }
    }
}

/// A valid change of an endpoint: something of it is there.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) url: Option<Url>,
    pub(super) events: Option<Vec<String>>,
    pub(super) description: Option<String>,
    pub(super) disabled: Option<bool>,
}

impl Change {
    pub(super) fn parse(request: &Value, guard: &Policy) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
        let p = &mut problems;
        let change = Self {
            url: fields.url("url", &["https", "http"], guard, p),
            events: events(&fields, p),
            description: description(&fields, p),
            disabled: fields.boolean("disabled", p),
        };
        if ["url", "events", "description", "disabled"].iter().all(|key| fields.value(key).is_none()) {
            p.add("body", "required: expected at least one of url, events, description, disabled");
        }
        problems.none_or(change)
    }
}

/// How long the secret before a new one still signs.
pub(super) fn overlap(request: &Value) -> Result<Duration, Problems> {
    let mut problems = Problems::default();
    let seconds = Fields::root(request, &mut problems)
        .and_then(|fields| fields.integer("overlap_seconds", &(0..=OVERLAP_MAX), &mut problems));
    problems.none_or(Duration::from_secs(seconds.unwrap_or(OVERLAP_DEFAULT).into()))
}

/// A text that may be empty, to take away what was there.
fn description(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    if fields.value("description")?.as_str().is_some_and(str::is_empty) {
        return Some(String::new());
    }
    fields.text("description", MAX_DESCRIPTION_CHARS, problems).map(str::to_owned)
}

/// Filters that each stand for an event that there is.
fn events(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let items = fields.array("events", MAX_EVENTS, problems)?;
    let mut events = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_str().filter(|filter| stands_for_something(filter)) {
            Some(filter) if events.iter().any(|known| known == filter) => {}
            Some(filter) => events.push(filter.to_owned()),
            None => problems.expected(
                &format!("{}[{index}]", fields.path("events")),
                format_args!(
                    "one of {}, {}, or the beginning of some and *",
                    NAMES.join(", "),
                    OF_ENDPOINTS.join(", ")
                ),
                item,
            ),
        }
    }
    Some(events)
}

fn stands_for_something(filter: &str) -> bool {
    let mut names = NAMES.iter().chain(&OF_ENDPOINTS);
    match filter.strip_suffix('*') {
        Some(begin) => names.any(|name| name.starts_with(begin)),
        None => names.any(|name| *name == filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_stand_for_events_that_there_are() {
        for good in ["*", "bot.*", "bot.stopped", "bot.kicked", "transcription.*", "data_deletion", "endpoint.disabled"]
        {
            assert!(stands_for_something(good), "{good}");
        }
        for bad in ["", "bot", "bot.stop", "Bot.*", "bots.*", "**", "* ", "meeting.ended", "bot.*x"] {
            assert!(!stands_for_something(bad), "{bad}");
        }
    }
}
