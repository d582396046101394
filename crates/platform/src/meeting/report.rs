//! What the watcher says of the page, and the scripts that the engine gives to a page.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::pack::{Field, Pack, Problem, Step, TrackOwner};

/// The binding that the watcher reports over.
pub(super) const BINDING: &str = "musterWatch";

const DOM: &str = include_str!("dom.js");

/// What the page shows now; sent when it changed.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// Indexes of the evidence rules that hold.
    pub(super) holds: Vec<usize>,
    /// Everybody in the roster, if it is on the page.
    pub(super) roster: Option<Vec<Entry>>,
    /// Messages that were not reported before.
    pub(super) chat: Vec<Message>,
    /// Participants by the id of their stream or track.
    pub(super) owners: BTreeMap<String, String>,
    /// The pack could not be applied to this page.
    pub(super) trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) name: String,
    /// It is ourselves.
    pub(super) own: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) from: String,
    pub(super) name: String,
    pub(super) text: String,
}

/// The watcher for a pack, to be run before the page's own scripts.
pub(super) fn watcher(pack: &Pack) -> String {
    let config = json!({
        "binding": BINDING,
        "evidence": pack.evidence(),
        "roster": pack.roster(),
        "chat": pack.chat(),
        "tracks": pack.tracks(),
    });
    let owners = match pack.tracks() {
        TrackOwner::Script { script } => format!("function () {{\n{script}\n}}"),
        _ => "null".to_owned(),
    };
    // The pack's own texts come last: they are not searched for placeholders.
    let (before, after) = include_str!("watch.js").split_once("__DOM__\n").unwrap_or_default();
    let (middle, rest) = after.split_once("__CONFIG__").unwrap_or_default();
    let (end, tail) = rest.split_once("__OWNERS__").unwrap_or_default();
    [before, DOM, middle, &literal(&config), end, &owners, tail].concat()
}

/// An expression that looks for the element of a step for at most `wait_ms`.
pub(super) fn locate(step: &Step, act: &str, selector: Option<&str>, wait_ms: u64) -> String {
    let spec = json!({
        "act": act,
        "selector": selector,
        "with_text": step.with_text,
        "until": step.until,
        "skip_if": step.skip_if,
        "wait_ms": wait_ms,
    });
    let (before, after) = include_str!("locate.js").split_once("__DOM__\n").unwrap_or_default();
    let (middle, tail) = after.split_once("__SPEC__").unwrap_or_default();
    [before, DOM, middle, &literal(&spec), tail].concat()
}

/// An expression that is false if the last click did not reach the element that [`locate`] found. In a document that has
/// come since, there is nothing to ask: the click did something.
pub(super) const LANDED: &str = "window[Symbol.for('muster.click')]?.landed ?? true";

/// An expression that names what the browser refuses of a pack.
pub(super) fn check(pack: &Pack) -> String {
    let (before, after) = include_str!("check.js").split_once("__LIST__").unwrap_or_default();
    [before, &literal(&Value::Array(texts(pack))), after].concat()
}

/// What [`check`] answers.
pub(super) fn refused(answer: &Value) -> Vec<Problem> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = answer.as_array().into_iter().flatten();
    each.map(|one| Problem { key: text(&one["key"]), message: text(&one["message"]) }).collect()
}

/// JSON is JavaScript, but for two line ends that old parsers take for the end of a text.
fn literal(value: &Value) -> String {
    value.to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Every text of a pack that only a browser can judge.
fn texts(pack: &Pack) -> Vec<Value> {
    let mut list = Vec::new();
    let mut add = |key: String, kind: &str, text: Option<&str>| {
        if let Some(text) = text {
            list.push(json!({"key": key, "kind": kind, "text": text}));
        }
    };
    for (group, steps) in [("steps", pack.steps()), ("leave", pack.leave())] {
        for (i, step) in steps.iter().enumerate() {
            let selectors = [("wait", &step.wait), ("click", &step.click), ("fill", &step.fill)];
            let conditions = [("until", &step.until), ("skip_if", &step.skip_if)];
            for (name, selector) in selectors.into_iter().chain(conditions) {
                add(format!("{group}[{i}].{name}"), "selector", selector.as_deref());
            }
            add(format!("{group}[{i}].with_text"), "pattern", step.with_text.as_deref());
        }
    }
    for (i, rule) in pack.evidence().iter().enumerate() {
        add(format!("evidence[{i}].selector"), "selector", rule.selector.as_deref());
        add(format!("evidence[{i}].absent"), "selector", rule.absent.as_deref());
        let attribute = rule.attribute.as_ref().map(|attribute| attribute.pattern.as_str());
        add(format!("evidence[{i}].attribute.pattern"), "pattern", attribute);
        for (name, pattern) in [("text", &rule.text), ("url", &rule.url), ("title", &rule.title)] {
            add(format!("evidence[{i}].{name}"), "pattern", pattern.as_deref());
        }
    }
    let mut fields: Vec<(&str, &Field)> = Vec::new();
    if let Some(roster) = pack.roster() {
        add("roster.within".to_owned(), "selector", roster.within.as_deref());
        add("roster.list".to_owned(), "selector", Some(&roster.list));
        add("roster.self".to_owned(), "selector", roster.own.as_deref());
        fields.extend([("roster.id", &roster.id), ("roster.name", &roster.name)]);
    }
    if let Some(chat) = pack.chat() {
        add("chat.list".to_owned(), "selector", Some(&chat.list));
        fields.extend([("chat.id", &chat.id), ("chat.from", &chat.from)]);
        fields.extend([("chat.name", &chat.name), ("chat.text", &chat.text)]);
    }
    match pack.tracks() {
        TrackOwner::Mixed | TrackOwner::StreamId { .. } => {}
        TrackOwner::Element { selector, id } => {
            add("tracks.selector".to_owned(), "selector", Some(selector));
            fields.push(("tracks.id", id));
        }
        TrackOwner::Script { script } => add("tracks.script".to_owned(), "script", Some(script)),
    }
    for (key, field) in fields {
        add(format!("{key}.closest"), "selector", field.closest.as_deref());
        add(format!("{key}.selector"), "selector", field.selector.as_deref());
        add(format!("{key}.pattern"), "pattern", field.pattern.as_deref());
    }
    list
}
