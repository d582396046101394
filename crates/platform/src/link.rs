//! Which meeting a link means. No I/O; takes any text without a panic.

pub(crate) mod template;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use regex::Captures;
use url::Url;

use crate::pack::{LinkRule, LinkThen, Pack, Packs};

/// Longer texts are no links.
const BYTES_MAX: usize = 16_384;
/// How many wrappers may be around a link: redirects in redirects are no honest links.
const REWRITES_MAX: usize = 4;
/// How often a link may have been percent-encoded as a whole.
const DECODES_MAX: usize = 3;

/// A recognised link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Id of the pack that takes it.
    pub platform: String,
    /// What MeetStream clients call the platform.
    pub label: String,
    /// The address that the browser opens; always `http` or `https`.
    pub join_url: Url,
    /// Identity of the meeting: equal for all spellings of its link.
    pub key: String,
}

/// Why a text is not the link of a meeting. The text of the error names what is expected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// Nothing there.
    #[error("expected the link of a meeting, got an empty text")]
    Empty,
    /// Too long to be one.
    #[error("expected the link of a meeting, got a text of {0} bytes; the limit is {BYTES_MAX}")]
    TooLong(usize),
    /// No URL.
    #[error("expected the link of a meeting such as {example}, got {given}")]
    NotALink {
        /// A link that would be taken.
        example: String,
        /// The start of what was given.
        given: String,
    },
    /// Some other kind of URL.
    #[error("expected a link that begins with https:// or http://, got {0}:")]
    Scheme(String),
    /// A name or password before the host.
    #[error("expected a link without a user name or password before the host")]
    Credentials,
    /// Another URL is inside.
    #[error("expected one link, got several in one text")]
    Several,
    /// A product that no pack knows.
    #[error("no known platform has links like this at {host}; known are {known}")]
    Unknown {
        /// The host of the link.
        host: String,
        /// The platforms with an example each.
        known: String,
    },
    /// A known product, but no bot can follow this link.
    #[error("{label}: {message}")]
    Refused {
        /// The platform.
        label: String,
        /// Why, and what to use instead.
        message: String,
    },
}

/// Recognises the link of a meeting, however it was pasted: without a scheme, in angle brackets, percent-encoded as a
/// whole, or wrapped in a redirect that a pack knows.
///
/// # Errors
///
/// [`LinkError`], whose text tells a caller what to give instead.
pub fn recognise(raw: &str, packs: &Packs) -> Result<Found, LinkError> {
    if raw.len() > BYTES_MAX {
        return Err(LinkError::TooLong(raw.len()));
    }
    let mut url = read(raw, packs)?;
    for _ in 0..REWRITES_MAX {
        match ask(&url, packs)? {
            Answer::Meeting(found) => {
                return if is_several(&url) { Err(LinkError::Several) } else { Ok(found) };
            }
            Answer::Inside(text) => url = read(&text, packs)?,
        }
    }
    Err(LinkError::Several)
}

enum Answer {
    Meeting(Found),
    Inside(String),
}

/// The first pack that takes the link decides. A refusal counts only if no other pack takes it.
fn ask(url: &Url, packs: &Packs) -> Result<Answer, LinkError> {
    let mut refusal = None;
    for pack in packs.iter() {
        let matched = |rule| matched(rule, url.as_str());
        let Some((rule, captures)) = pack.link_rules().iter().find_map(matched) else { continue };
        match &rule.then {
            LinkThen::Join { .. } => return join(pack, rule, url, &captures).map(Answer::Meeting),
            LinkThen::Rewrite(template) => return Ok(Answer::Inside(template.fill(url, &captures))),
            LinkThen::Refuse(message) => {
                refusal.get_or_insert_with(|| LinkError::Refused {
                    label: pack.label().to_owned(),
                    message: message.clone(),
                });
            }
        }
    }
    Err(refusal.unwrap_or_else(|| LinkError::Unknown {
        host: shortened(url.host_str().unwrap_or("no host")),
        known: known(packs),
    }))
}

fn matched<'a, 'u>(rule: &'a LinkRule, url: &'u str) -> Option<(&'a LinkRule, Captures<'u>)> {
    rule.pattern.captures(url).map(|captures| (rule, captures))
}

fn join(pack: &Pack, rule: &LinkRule, url: &Url, captures: &Captures<'_>) -> Result<Found, LinkError> {
    let LinkThen::Join { join_url, key, keep_query } = &rule.then else { unreachable!("the caller looked") };
    let mut target = Url::parse(&join_url.fill(url, captures))
        .ok()
        .filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host())
        .ok_or_else(|| not_a_link(url.as_str(), Some(pack.example())))?;
    for (name, pattern) in keep_query {
        let value = url.query_pairs().find(|(given, value)| given == name.as_str() && pattern.is_match(value));
        if let Some((_, value)) = value {
            target.query_pairs_mut().append_pair(name, &value);
        }
    }
    Ok(Found {
        platform: pack.id().to_owned(),
        label: pack.label().to_owned(),
        join_url: target,
        key: key.fill(url, captures),
    })
}

/// Text to URL: trimmed, unquoted, with a scheme.
fn read(raw: &str, packs: &Packs) -> Result<Url, LinkError> {
    let is_wrapping = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '`');
    let text = raw.trim_matches(is_wrapping);
    if text.is_empty() {
        return Err(LinkError::Empty);
    }
    let text = unquoted(text);
    let not_a_link = || not_a_link(raw, packs.iter().next().map(|pack| pack.example()));
    let text = match scheme(&text) {
        Some("http" | "https") => text,
        Some(other) => return Err(LinkError::Scheme(shortened(other))),
        None if text.contains(|c: char| c.is_whitespace() || c.is_control()) => return Err(not_a_link()),
        None => Cow::Owned(format!("{}://{text}", if is_loopback(&text) { "http" } else { "https" })),
    };
    let url = Url::parse(&text).map_err(|_| not_a_link())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LinkError::Credentials);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(not_a_link());
    }
    Ok(url)
}

/// Undoes a percent-encoding of the whole link (`https%3A%2F%2F…`).
fn unquoted(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..DECODES_MAX {
        let head = text.split([':', '/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let is_quoted = head.starts_with("https%") || head.starts_with("http%");
        if !is_quoted {
            break;
        }
        text = Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned());
    }
    text
}

/// The scheme in lower case, for the ones that matter. `host:8080/path` has none.
fn scheme(text: &str) -> Option<&str> {
    let (head, rest) = text.split_once(':')?;
    let is_scheme = head.starts_with(|c: char| c.is_ascii_alphabetic())
        && head.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme || (!rest.starts_with("//") && rest.starts_with(|c: char| c.is_ascii_digit())) {
        return None;
    }
    for known in ["https", "http"] {
        if head.eq_ignore_ascii_case(known) {
            return Some(known);
        }
    }
    Some(head)
}

fn is_loopback(text: &str) -> bool {
    let host = text.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// True if there is a second URL in this one, plain or encoded.
fn is_several(url: &Url) -> bool {
    let mut text = Cow::Borrowed(url.as_str());
    for _ in 0..DECODES_MAX {
        if text.matches("://").count() > 1 {
            return true;
        }
        text = Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned());
    }
    text.matches("://").count() > 1
}

fn not_a_link(given: &str, example: Option<&str>) -> LinkError {
    LinkError::NotALink {
        example: example.unwrap_or("https://…").to_owned(),
        given: format!("{:?}", shortened(given.trim())),
    }
}

fn known(packs: &Packs) -> String {
    let each: Vec<String> = packs.iter().map(|pack| format!("{} ({})", pack.label(), pack.example())).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

/// At most 80 characters: errors are shown to people.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
