//! Finds every mistake in a pack that its TOML alone does not show, and makes its link rules.
//!
//! Selectors and scripts can only be judged by a browser: [`crate::meeting`] does that before a page is opened.

use regex::Regex;

use super::file::{Evidence, Field, Link, PackFile, Step, TrackOwner};
use super::{LinkRule, LinkThen, PackError, Problem};
use crate::link::template::Template;

const STEP_TIMEOUT_MS_MAX: u64 = 600_000;
const DEBOUNCE_MS_MAX: u64 = 60_000;

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    fn not_empty(&mut self, key: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(key, "must not be empty");
        }
    }

    fn selector(&mut self, key: &str, selector: Option<&str>) {
        if let Some(selector) = selector {
            self.not_empty(key, selector);
        }
    }

    /// Expressions of the page are run by the browser; what this parser refuses there is not portable either.
    fn pattern(&mut self, key: &str, pattern: Option<&str>) -> Option<Regex> {
        match Regex::new(pattern?) {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.add(key, format!("no regular expression: {}", last_line(&error.to_string())));
                None
            }
        }
    }
}

/// The parser draws a picture of the mistake over several lines; the last one names it.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

pub(super) fn check(file: &PackFile) -> Result<Vec<LinkRule>, PackError> {
    let mut p = Problems(Vec::new());
    head(file, &mut p);
    let rules: Vec<LinkRule> =
        file.link.iter().enumerate().filter_map(|(i, rule)| link(&format!("link[{i}]"), rule, &mut p)).collect();
    for (list, steps) in [("steps", &file.steps), ("leave", &file.leave)] {
        for (i, one) in steps.iter().enumerate() {
            step(&format!("{list}[{i}]"), one, &mut p);
        }
    }
    for (i, rule) in file.evidence.iter().enumerate() {
        evidence(&format!("evidence[{i}]"), rule, &mut p);
    }
    page(file, &mut p);
    if p.0.is_empty() {
        example(file, &rules, &mut p);
    }
    if p.0.is_empty() { Ok(rules) } else { Err(PackError::Invalid(p.0)) }
}

fn head(file: &PackFile, p: &mut Problems) {
    let is_id = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if !(1..=64).contains(&file.id.len()) || !file.id.bytes().all(is_id) {
        p.add("id", "must have 1 to 64 of the characters a-z, 0-9 and _");
    }
    if !(1..=64).contains(&file.label.chars().count()) || file.label.chars().any(char::is_control) {
        p.add("label", "must have 1 to 64 printable characters");
    }
    let parts: Vec<u32> = file.seen.split('-').map_while(|part| part.parse().ok()).collect();
    let is_date = file.seen.len() == 10
        && matches!(parts[..], [2000..=9999, month, day] if (1..=12).contains(&month) && (1..=31).contains(&day));
    if !is_date {
        p.add("seen", "must be the day on which the real page was last looked at, as \"YYYY-MM-DD\"");
    }
    if file.link.is_empty() {
        p.add("link", "a pack needs at least one [[link]] rule");
    }
    if !file.steps.is_empty() && !file.evidence.iter().any(|rule| rule.state == super::Shown::Admitted) {
        p.add("evidence", "a pack with steps needs evidence for the state \"admitted\"");
    }
}

fn link(key: &str, link: &Link, p: &mut Problems) -> Option<LinkRule> {
    let pattern = p.pattern(&format!("{key}.pattern"), Some(&link.pattern))?;
    let mut template = |name: &str, text: &str| match Template::parse(text, &pattern) {
        Ok(template) => Some(template),
        Err(message) => {
            p.add(format!("{key}.{name}"), message);
            None
        }
    };
    let then = match (&link.join_url, &link.key, &link.rewrite, &link.refuse) {
        (Some(join_url), Some(identity), None, None) => {
            let (join_url, identity) = (template("join_url", join_url), template("key", identity));
            let mut keep_query = Vec::new();
            for (name, value) in &link.keep_query {
                let value = p.pattern(&format!("{key}.keep_query.{name}"), Some(value))?;
                keep_query.push((name.clone(), value));
            }
            LinkThen::Join { join_url: join_url?, key: identity?, keep_query }
        }
        (None, None, Some(rewrite), None) => LinkThen::Rewrite(template("rewrite", rewrite)?),
        (None, None, None, Some(refuse)) => LinkThen::Refuse(refuse.clone()),
        _ => {
            p.add(key, "needs exactly one of: `join_url` with `key`, `rewrite`, `refuse`");
            return None;
        }
    };
    if !link.keep_query.is_empty() && !matches!(then, LinkThen::Join { .. }) {
        p.add(format!("{key}.keep_query"), "goes with `join_url` only");
    }
    Some(LinkRule { pattern, then })
}

fn step(key: &str, step: &Step, p: &mut Problems) {
    p.not_empty(&format!("{key}.name"), &step.name);
    let actions = [&step.wait, &step.click, &step.fill, &step.press];
    if actions.iter().filter(|action| action.is_some()).count() != 1 {
        p.add(key, "needs exactly one of: `wait`, `click`, `fill`, `press`");
    }
    if step.fill.is_some() != step.text.is_some() {
        p.add(format!("{key}.text"), "`fill` and `text` go together");
    }
    if let Some(text) = &step.text
        && text.replace("{bot_name}", "").contains(['{', '}'])
    {
        p.add(format!("{key}.text"), "the only placeholder is {bot_name}");
    }
    if step.press.is_some() && step.with_text.is_some() {
        p.add(format!("{key}.with_text"), "goes with `wait`, `click` and `fill` only");
    }
    let selectors = [
        ("wait", &step.wait),
        ("click", &step.click),
        ("fill", &step.fill),
        ("press", &step.press),
        ("until", &step.until),
        ("skip_if", &step.skip_if),
    ];
    for (name, selector) in selectors {
        p.selector(&format!("{key}.{name}"), selector.as_deref());
    }
    p.pattern(&format!("{key}.with_text"), step.with_text.as_deref());
    if !(1..=STEP_TIMEOUT_MS_MAX).contains(&step.timeout_ms) {
        p.add(format!("{key}.timeout_ms"), format!("must be 1 to {STEP_TIMEOUT_MS_MAX}"));
    }
}

fn evidence(key: &str, rule: &Evidence, p: &mut Problems) {
    let Evidence { selector, absent, text, attribute, hidden, min_size, url, title, .. } = rule;
    if [selector, absent, text, url, title].iter().all(|condition| condition.is_none()) {
        p.add(key, "needs at least one of: `selector`, `absent`, `text`, `url`, `title`");
    }
    if selector.is_none() && (attribute.is_some() || *hidden || min_size.is_some()) {
        p.add(key, "`attribute`, `hidden` and `min_size` need a `selector`");
    }
    p.selector(&format!("{key}.selector"), selector.as_deref());
    p.selector(&format!("{key}.absent"), absent.as_deref());
    p.pattern(&format!("{key}.text"), text.as_deref());
    p.pattern(&format!("{key}.url"), url.as_deref());
    p.pattern(&format!("{key}.title"), title.as_deref());
    if let Some(attribute) = attribute {
        p.not_empty(&format!("{key}.attribute.name"), &attribute.name);
        p.pattern(&format!("{key}.attribute.pattern"), Some(&attribute.pattern));
    }
    if rule.debounce_ms > DEBOUNCE_MS_MAX {
        p.add(format!("{key}.debounce_ms"), format!("must be 0 to {DEBOUNCE_MS_MAX}"));
    }
}

fn field(key: &str, field: &Field, p: &mut Problems) {
    p.selector(&format!("{key}.closest"), field.closest.as_deref());
    p.selector(&format!("{key}.selector"), field.selector.as_deref());
    p.selector(&format!("{key}.attribute"), field.attribute.as_deref());
    grouped(&format!("{key}.pattern"), field.pattern.as_deref(), p);
}

/// A pattern whose first group is the value.
fn grouped(key: &str, pattern: Option<&str>, p: &mut Problems) {
    if p.pattern(key, pattern).is_some_and(|regex| regex.captures_len() < 2) {
        p.add(key, "needs a group: the value is what the first group matches");
    }
}

fn page(file: &PackFile, p: &mut Problems) {
    if let Some(roster) = &file.roster {
        p.selector("roster.within", roster.within.as_deref());
        p.selector("roster.list", Some(&roster.list));
        p.selector("roster.self", roster.own.as_deref());
        field("roster.id", &roster.id, p);
        field("roster.name", &roster.name, p);
    }
    if let Some(chat) = &file.chat {
        p.selector("chat.list", Some(&chat.list));
        for (name, one) in [("id", &chat.id), ("from", &chat.from), ("name", &chat.name), ("text", &chat.text)] {
            field(&format!("chat.{name}"), one, p);
        }
    }
    match &file.tracks {
        TrackOwner::Mixed => {}
        TrackOwner::StreamId { pattern } => {
            grouped("tracks.pattern", pattern.as_deref(), p);
            if file.roster.is_none() {
                p.add("tracks.by", "\"stream_id\" needs a [roster]");
            }
        }
        TrackOwner::Element { selector, id } => {
            p.selector("tracks.selector", Some(selector));
            field("tracks.id", id, p);
        }
        TrackOwner::Script { script } => p.not_empty("tracks.script", script),
    }
}

/// People are shown this link when theirs is wrong: it had better be right.
fn example(file: &PackFile, rules: &[LinkRule], p: &mut Problems) {
    let accepted = url::Url::parse(&file.example).is_ok_and(|url| {
        let first = rules.iter().find(|rule| rule.pattern.is_match(url.as_str()));
        matches!(first.map(|rule| &rule.then), Some(LinkThen::Join { .. }))
    });
    if !accepted {
        p.add("example", "must be a link that a [[link]] rule with `join_url` takes");
    }
}
