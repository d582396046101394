//! `[inbound]`, `[sources.NAME]` and `[meetstream]`: whose webhooks are taken, and who else runs bots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_hooks::inbound::{Content, Encoding, Generic, Kind, Source};
use muster_session::{Remote, TenantId};
use url::Url;

use super::reader::{Reader, Text, parse_duration};
use crate::inbound::Sources;
use crate::keys;

/// The service that we can send bots to, as the value of `runtime` and the name of the source of its webhooks.
pub const MEETSTREAM: &str = "meetstream";
/// Our own workers, as the value of `runtime`.
const FLEET: &str = "fleet";
const KINDS: [&str; 8] = ["meetstream", "zoom", "recall", "svix", "standard", "attendee", "vexa", "generic"];
const TOLERANCE: Duration = Duration::from_secs(300);

/// `[inbound]` and `[sources.NAME]`
#[derive(Clone, Debug)]
pub struct InboundConfig {
    /// Largest webhook, bytes.
    pub max_body_bytes: u32,
    /// Webhooks that wait to be written, at most.
    pub max_waiting: u32,
    /// How long what came in is kept, and so what comes again recognised.
    pub keep: Duration,
    /// Whose webhooks are taken.
    pub sources: Sources,
}

/// `[meetstream]`. Its `Debug` shows no key.
#[derive(Clone)]
pub struct MeetStreamConfig {
    /// Its base URL.
    pub url: Url,
    /// Its API key.
    pub api_key: String,
}

impl std::fmt::Debug for MeetStreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeetStreamConfig").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Where a bot runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// On our workers.
    Here {
        /// If none takes it within this time, it may run at MeetStream.
        overflow: Option<Duration>,
    },
    /// Somewhere else.
    Elsewhere(Remote),
}

/// Where bots run, if not on our workers.
#[derive(Clone, Debug, Default)]
pub struct Runtimes {
    /// Bots can be sent to MeetStream.
    pub meetstream: bool,
    /// So long a bot waits for a worker before it may be sent there.
    pub overflow_after: Option<Duration>,
    everybody: bool,
    /// Of those who have a runtime of their own: it is MeetStream.
    tenants: Arc<BTreeMap<TenantId, bool>>,
    /// Sources whose bots the caller runs there, by tenant.
    sources: Sources,
}

impl Runtimes {
    /// Where a bot runs by a request's `runtime` and `runtime_bot_id`.
    ///
    /// # Errors
    ///
    /// What is wrong with `runtime`.
    pub fn choose(&self, tenant: &TenantId, runtime: Option<&str>, bot: Option<String>) -> Result<Runs, String> {
        let own = self.tenants.get(tenant).copied();
        match runtime {
            None if own.unwrap_or(self.everybody) => Ok(Runs::Elsewhere(Remote::ours(MEETSTREAM))),
            // Who says that it is to run here means it.
            None if own.is_none() => Ok(Runs::Here { overflow: self.overflow_after }),
            None | Some(FLEET) => Ok(Runs::Here { overflow: None }),
            Some(MEETSTREAM) if self.meetstream => Ok(Runs::Elsewhere(Remote::ours(MEETSTREAM))),
            Some(name) => match self.sources.get(name).filter(|source| source.tenant == *tenant) {
                Some(_) => Ok(Runs::Elsewhere(Remote::theirs(name, bot))),
                None => Err(self.expected(tenant)),
            },
        }
    }

    fn expected(&self, tenant: &TenantId) -> String {
        let own = self.sources.iter().filter(|source| source.tenant == *tenant).map(|source| source.name.as_str());
        let meetstream = self.meetstream.then_some(MEETSTREAM);
        let mut names: Vec<&str> = std::iter::once(FLEET).chain(meetstream).chain(own).collect();
        names.dedup();
        format!("expected one of {}", names.join(", "))
    }
}

impl InboundConfig {
    pub(super) fn read(r: &mut Reader<'_>, meetstream: bool) -> Self {
        Self {
            max_body_bytes: r.integer("inbound.max_body_bytes", 131_072, 1_024, 1_000_000, "Largest webhook that is taken at /webhooks/NAME, in bytes. SQS takes about 190,000."),
            max_waiting: r.integer("inbound.max_waiting", 4_096, 16, 1_000_000, "Webhooks that wait to be written, at most; more are answered with 503 and sent again by their senders."),
            keep: r.duration("inbound.keep", "7d", "1h", "365d", "How long webhooks that came in are kept to be looked at. For so long one that comes again is recognised."),
            sources: sources(r, meetstream),
        }
    }
}

fn sources(r: &mut Reader<'_>, meetstream: bool) -> Sources {
    for (key, doc) in [
        (
            "sources.NAME.kind",
            "Take webhooks at /webhooks/NAME, signed and written as by: meetstream (or another Muster), zoom, recall, svix, standard (Standard Webhooks), attendee, vexa, or generic (described by the keys below).",
        ),
        (
            "sources.NAME.secrets",
            "What they are signed with: up to 8 secrets, separated by blanks, so that they can be rotated.",
        ),
        ("sources.NAME.tenant", "Whose sessions they may speak of. Default: default."),
        ("sources.NAME.tolerance", "How old they may be, where the time is signed. Default: 5m."),
        ("sources.NAME.header", "For generic: the header that has the signature, an HMAC-SHA256."),
        ("sources.NAME.encoding", "For generic: hex or base64. Default: hex."),
        ("sources.NAME.prefix", "For generic: what the signature begins with, such as sha256=."),
        (
            "sources.NAME.content",
            "For generic: what is signed: body, timestamp.body or id.timestamp.body. Default: body.",
        ),
        ("sources.NAME.separator", "For generic: what stands between the parts that are signed. Default: a full stop."),
        ("sources.NAME.timestamp_header", "For generic: the header that has the time."),
        (
            "sources.NAME.id_header",
            "For generic: the header that has the id of the webhook, the same each time it is sent.",
        ),
    ] {
        r.document(key, doc);
    }
    let mut sources = Vec::new();
    for name in r.names_with("sources", "kind") {
        if !(1..=64).contains(&name.len()) || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            r.problem(format!("sources.{name}: the name of a source has 1 to 64 letters, digits, - and _"));
            continue;
        }
        if let Some(source) = source(r, &name) {
            sources.push(source);
        }
    }
    if meetstream && !sources.iter().any(|source| source.name == MEETSTREAM) {
        sources.extend(unsigned_meetstream(r));
    }
    Sources::new(sources)
}

fn source(r: &mut Reader<'_>, name: &str) -> Option<Source> {
    let mut get = |key: &str| r.text_of(&["sources", name, key]);
    let (kind, tenant, tolerance) = (get("kind"), get("tenant"), get("tolerance"));
    let described = [
        get("header"),
        get("encoding"),
        get("prefix"),
        get("content"),
        get("separator"),
        get("timestamp_header"),
        get("id_header"),
    ];
    let secrets = r.secret_of(["sources", name, "secrets"]).unwrap_or_default();
    let secrets: Vec<&str> = secrets.split_whitespace().collect();
    let tolerance = match tolerance.as_deref().map(parse_duration) {
        None => TOLERANCE,
        Some(Some(tolerance)) => tolerance,
        Some(None) => {
            r.problem(format!("sources.{name}.tolerance: expected a duration such as 5m"));
            TOLERANCE
        }
    };
    let kind = match kind.as_deref() {
        Some("meetstream") => Kind::MeetStream,
        Some("zoom") => Kind::Zoom,
        Some("recall") => Kind::Recall,
        Some("svix") => Kind::Svix,
        Some("standard") => Kind::Standard,
        Some("attendee") => Kind::Attendee,
        Some("vexa") => Kind::Vexa,
        Some("generic") => Kind::Generic(generic(r, name, described)?),
        other => {
            let got = other.unwrap_or_default();
            r.problem(format!("sources.{name}.kind: expected one of {}, got {got:?}", KINDS.join(", ")));
            return None;
        }
    };
    let tenant = tenant.unwrap_or_else(|| keys::DEFAULT_TENANT.to_owned());
    r.check_tenant(&format!("sources.{name}.tenant"), &tenant);
    match Source::new(name, TenantId::new(tenant), kind, &secrets, tolerance) {
        Ok(source) => Some(source),
        Err(error) => {
            r.problem(format!("sources.{name}: {error}"));
            None
        }
    }
}

fn generic(r: &mut Reader<'_>, name: &str, described: [Option<String>; 7]) -> Option<Generic> {
    let [header, encoding, prefix, content, separator, timestamp_header, id_header] = described;
    let encoding = match encoding.as_deref() {
        None | Some("hex") => Encoding::Hex,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            r.problem(format!("sources.{name}.encoding: expected hex or base64, got {other:?}"));
            return None;
        }
    };
    let content = match content.as_deref() {
        None | Some("body") => Content::Body,
        Some("timestamp.body") => Content::TimestampBody,
        Some("id.timestamp.body") => Content::IdTimestampBody,
        Some(other) => {
            let expected = "expected body, timestamp.body or id.timestamp.body";
            r.problem(format!("sources.{name}.content: {expected}, got {other:?}"));
            return None;
        }
    };
    let Some(header) = header else {
        r.problem(format!("sources.{name}.header: required for the kind generic"));
        return None;
    };
    Some(Generic {
        header,
        encoding,
        prefix: prefix.unwrap_or_default(),
        content,
        separator: separator.unwrap_or_else(|| ".".to_owned()),
        timestamp_header,
        id_header,
    })
}

/// MeetStream does not sign what it sends to a bot's own address: the address vouches for it, and no signature would fit.
fn unsigned_meetstream(r: &mut Reader<'_>) -> Option<Source> {
    let secret = keys::generate().ok()?;
    let tenant = TenantId::new(keys::DEFAULT_TENANT);
    Source::new(MEETSTREAM, tenant, Kind::MeetStream, &[secret], TOLERANCE)
        .map_err(|error| r.problem(format!("sources.{MEETSTREAM}: {error}")))
        .ok()
}

/// `[meetstream]`, if it is there to be used.
pub(super) fn meetstream(r: &mut Reader<'_>) -> Option<MeetStreamConfig> {
    let url = r.url_opt("meetstream.url", "Bots can run in a MeetStream cloud, or another Muster, instead of here: its base URL, such as https://api.meetstream.ai. It has to reach this server at `public_url`.");
    let key = r.secret("meetstream.api_key", "API key of that service.");
    match (url, key) {
        (None, None) => None,
        (Some(url), Some(api_key)) => {
            if !matches!(url.scheme(), "http" | "https") {
                r.problem("meetstream.url: must be http or https");
            }
            Some(MeetStreamConfig { url, api_key })
        }
        (Some(_), None) => {
            r.problem("meetstream.api_key: required with meetstream.url");
            None
        }
        (None, Some(_)) => {
            r.problem("meetstream.url: required with meetstream.api_key");
            None
        }
    }
}

/// `runtime`, `tenants.NAME.runtime` and `meetstream.overflow_after`.
pub(super) fn runtimes(r: &mut Reader<'_>, meetstream: bool, sources: &Sources) -> Runtimes {
    let everybody = r.choice("runtime", &[FLEET, MEETSTREAM], "Where bots run: `fleet` is our own workers, `meetstream` what meetstream.url names. A request can say otherwise.");
    let overflow = r.text(Text::new(
        "meetstream.overflow_after",
        "never",
        "So long a bot waits for a worker of ours before it is sent to meetstream.url instead, such as 30s.",
    ));
    r.document("tenants.NAME.runtime", "For the tenant NAME, instead of runtime.");
    let mut tenants = BTreeMap::new();
    for name in r.names_with("tenants", "runtime") {
        r.check_tenant(&format!("tenants.{name}"), &name);
        match r.text_of(&["tenants", &name, "runtime"]).as_deref() {
            Some(FLEET) => drop(tenants.insert(TenantId::new(name), false)),
            Some(MEETSTREAM) => drop(tenants.insert(TenantId::new(name), true)),
            _ => r.problem(format!("tenants.{name}.runtime: expected one of {FLEET}, {MEETSTREAM}")),
        }
    }
    let overflow_after = match overflow.as_str() {
        "never" => None,
        text => match parse_duration(text).filter(|after| (1..=3_600).contains(&after.as_secs())) {
            Some(after) => Some(after),
            None => {
                r.problem(format!("meetstream.overflow_after: expected `never` or 1s to 1h, got {text:?}"));
                None
            }
        },
    };
    let wanted = everybody == MEETSTREAM || tenants.values().any(|there| *there) || overflow_after.is_some();
    if wanted && !meetstream {
        r.problem("runtime: bots cannot run at meetstream without meetstream.url and meetstream.api_key");
    }
    Runtimes {
        meetstream,
        overflow_after,
        everybody: everybody == MEETSTREAM,
        tenants: Arc::new(tenants),
        sources: sources.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(overflow: Option<Duration>) -> Runtimes {
        let tenant = |name: &str| TenantId::new(name);
        let source =
            Source::new("recall-acme", tenant("acme"), Kind::MeetStream, &["secret"], TOLERANCE).expect("a source");
        Runtimes {
            meetstream: true,
            overflow_after: overflow,
            everybody: false,
            tenants: Arc::new(BTreeMap::from([(tenant("here"), false), (tenant("there"), true)])),
            sources: Sources::new([source]),
        }
    }

    #[test]
    fn who_says_where_a_bot_runs_means_it_and_only_what_nobody_said_overflows() {
        let after = Some(Duration::from_secs(30));
        let runtimes = runtimes(after);
        let choose = |tenant: &str, runtime| runtimes.choose(&TenantId::new(tenant), runtime, None);
        let here = |overflow| Ok(Runs::Here { overflow });
        let there = || Ok(Runs::Elsewhere(Remote::ours(MEETSTREAM)));
        assert_eq!(choose("acme", None), here(after));
        assert_eq!(choose("acme", Some("fleet")), here(None));
        assert_eq!(choose("here", None), here(None));
        assert_eq!(choose("here", Some("meetstream")), there());
        assert_eq!(choose("there", None), there());
        assert_eq!(choose("there", Some("fleet")), here(None));
        let own = runtimes.choose(&TenantId::new("acme"), Some("recall-acme"), Some("r-1".into()));
        assert_eq!(own, Ok(Runs::Elsewhere(Remote::theirs("recall-acme", Some("r-1".into())))));
        // A source is its tenant's alone, and nobody else hears of it.
        assert_eq!(choose("other", Some("recall-acme")), Err("expected one of fleet, meetstream".into()));
        assert_eq!(choose("acme", Some("moon")), Err("expected one of fleet, meetstream, recall-acme".into()));
    }
}
