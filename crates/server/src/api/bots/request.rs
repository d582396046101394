//! The create request: bytes in, a valid plan or everything that is wrong with it out. No I/O and no clock.

use std::time::Duration;

use muster_hooks::guard::{Policy, is_loopback};
use muster_platform::link;
use muster_platform::pack::Packs;
use muster_session::leave::LeavePolicy;
use muster_session::{BotId, MediaPlan, Meeting, NewSession, TenantId, Timestamp, TranscriptId};
use serde_json::{Map, Value};
use url::Url;

use super::super::body;
use super::super::fields::{Fields, Problems};
use super::{leave, media_plan};
use crate::config::{Runs, Runtimes};
use crate::engines::Engines;

/// The name of a bot whose request has none.
pub const DEFAULT_BOT_NAME: &str = "Muster Notetaker";
pub(in crate::api) const BOT_NAME_CHARS_MAX: usize = 200;
const MESSAGE_CHARS_MAX: usize = 4_096;
const LINK_CHARS_MAX: usize = 4_096;
const RUNTIME_CHARS_MAX: usize = 200;
const DEDUPLICATION_KEY_CHARS_MAX: usize = 2_000;
const ATTRIBUTES_MAX: usize = 64;
const ATTRIBUTE_KEY_CHARS_MAX: usize = 256;
const ATTRIBUTE_VALUE_BYTES_MAX: usize = 4_096;
/// The pack of our own meetings.
pub(crate) const SANDBOX_PACK: &str = "sandbox";
const WEB: [&str; 2] = ["http", "https"];

/// Fields whose purpose this server cannot serve. A bot without what they ask for would be of no use to the caller, so
/// they are refused and not ignored.
const NOT_SUPPORTED: [(&str, &str); 3] = [
    ("live_video_required", "live video is not supported by this server; leave it out"),
    ("socket_connection_url", "the control connection is not supported by this server; leave it out"),
    ("agent_config_id", "hosted agents are not supported by this server; leave it out"),
];

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which links are understood.
    pub packs: &'a Packs,
    /// Which addresses a customer's URL may have.
    pub guard: &'a Policy,
    /// Who makes words of speech.
    pub engines: &'a Engines,
    /// Whose request it is.
    pub tenant: &'a TenantId,
    /// Where this server is reached: a meeting there is its own sandbox's.
    pub own: Option<&'a Url>,
    /// Where bots run.
    pub runtimes: &'a Runtimes,
}

/// A valid create request.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The body as it came, unknown fields included.
    pub request: Value,
    /// The recognised link.
    pub meeting: Meeting,
    /// Display name.
    pub bot_name: String,
    /// Webhook receiver.
    pub callback_url: Option<Url>,
    /// Echoed data.
    pub custom_attributes: Map<String, Value>,
    /// Leave rules with defaults filled in.
    pub leave: LeavePolicy,
    /// Capture plan.
    pub media: MediaPlan,
    /// Duplicate guard.
    pub deduplication_key: Option<String>,
    /// Join then, or at once if that is past.
    pub join_at: Option<Timestamp>,
    /// How long record and media are to be kept, if the request says so.
    pub retention: Option<Duration>,
    /// Where it runs.
    pub runs: Runs,
}

/// Reads a create request. Unknown fields are kept and not judged; `null` counts as absent.
///
/// # Errors
///
/// Everything that is wrong, each problem with the path of its field.
pub fn parse(bytes: &[u8], rules: &Rules<'_>) -> Result<CreateRequest, Problems> {
    let request = body::parse(bytes).map_err(Problems::of)?;
    let mut problems = Problems::default();
    let Some(fields) = Fields::root(&request, &mut problems) else { return Err(problems) };
    let p = &mut problems;

    let meeting = meeting(&fields, rules, p);
    let leave = leave::read(&fields, meeting.as_ref().map(|m| m.label.as_str()), p);
    let runs = runs(&fields, rules, p);
    let plan = media_plan::read(&fields, rules, matches!(runs, Runs::Elsewhere(_)), p);
    let bot_name = fields.text("bot_name", BOT_NAME_CHARS_MAX, p).map_or(DEFAULT_BOT_NAME, str::trim).to_owned();
    let callback_url = fields.url("callback_url", &WEB, rules.guard, p);
    let custom_attributes = attributes(&fields, p);
    let deduplication_key = printable_key(&fields, p);
    let join_at = fields.time("join_at", p);
    check_unused(&fields, rules, p);

    let valid = problems.none_or((meeting, leave))?;
    let (Some(meeting), leave) = valid else {
        return Err(Problems::of("meeting_link: required".to_owned()));
    };
    Ok(CreateRequest {
        meeting,
        bot_name,
        callback_url,
        custom_attributes,
        leave,
        media: plan.media,
        deduplication_key,
        join_at,
        retention: plan.retention,
        runs,
        request,
    })
}

impl CreateRequest {
    /// With fresh ids, what the session machine takes.
    #[must_use]
    pub fn into_session(
        self,
        tenant: TenantId,
        id: BotId,
        transcript_id: TranscriptId,
        retention: Duration,
        rejoin: bool,
    ) -> NewSession {
        let (remote, overflow) = match self.runs {
            Runs::Here { overflow } => (None, overflow),
            Runs::Elsewhere(remote) => (Some(remote), None),
        };
        NewSession {
            id,
            tenant,
            request: self.request,
            meeting: self.meeting,
            bot_name: self.bot_name,
            callback_url: self.callback_url,
            custom_attributes: self.custom_attributes,
            leave: self.leave,
            media: self.media,
            deduplication_key: self.deduplication_key,
            rejoin,
            overflow,
            remote,
            join_at: self.join_at,
            transcript_id,
            retention: self.retention.unwrap_or(retention),
        }
    }
}

/// Where the bot runs. What is wrong with that is among the problems.
fn runs(fields: &Fields<'_>, rules: &Rules<'_>, problems: &mut Problems) -> Runs {
    let runtime = fields.text("runtime", RUNTIME_CHARS_MAX, problems);
    let bot = fields.text("runtime_bot_id", RUNTIME_CHARS_MAX, problems).map(str::to_owned);
    let named = bot.is_some();
    match rules.runtimes.choose(rules.tenant, runtime, bot) {
        Ok(runs) => {
            if named && !matches!(&runs, Runs::Elsewhere(remote) if !remote.ours) {
                problems.add("runtime_bot_id", "is for a bot that you have at the source that runtime names");
            }
            runs
        }
        Err(expected) => {
            problems.add("runtime", expected);
            Runs::Here { overflow: None }
        }
    }
}

fn meeting(fields: &Fields<'_>, rules: &Rules<'_>, problems: &mut Problems) -> Option<Meeting> {
    fields.require("meeting_link", "the link of a meeting", problems);
    let raw = fields.text("meeting_link", LINK_CHARS_MAX, problems)?;
    match link::recognise(raw, rules.packs) {
        Ok(found) => match admitted(&found, rules) {
            Ok(()) => Some(described(raw, found)),
            Err(refused) => {
                problems.add("meeting_link", refused);
                None
            }
        },
        Err(error) => {
            problems.add("meeting_link", error);
            None
        }
    }
}

/// Whether a browser may go there: nothing guards what it resolves a name to, or where it is redirected to. Packs name the hosts
/// that they take; only that of the sandbox takes any, so its meetings are ours or at an address that the operator opened.
fn admitted(found: &link::Found, rules: &Rules<'_>) -> Result<(), String> {
    let url = &found.join_url;
    if rules.own.is_some_and(|own| same_place(own, url)) {
        return Ok(());
    }
    rules.guard.check_url(url).map_err(|refused| refused.to_string())?;
    let is_opened = Policy::default().check_url(url).is_err();
    if found.platform == SANDBOX_PACK && !is_opened {
        let own = rules.own.map(|own| format!(" ({}/sandbox/ROOM)", own.origin().ascii_serialization()));
        let own = own.unwrap_or_default();
        return Err(format!(
            "expected a sandbox meeting of this server{own}, or one at an address that hooks.allow_private opens"
        ));
    }
    Ok(())
}

fn described(raw: &str, found: link::Found) -> Meeting {
    Meeting {
        link: raw.trim().to_owned(),
        platform: found.platform,
        label: found.label,
        join_url: found.join_url,
        key: found.key,
    }
}

/// Equal origins; names and addresses of this machine are one place.
fn same_place(one: &Url, other: &Url) -> bool {
    let host = one.host() == other.host() || (is_loopback(one) && is_loopback(other));
    host && one.scheme() == other.scheme() && one.port_or_known_default() == other.port_or_known_default()
}

/// Up to 64 scalars, kept as they are.
pub(in crate::api) fn attributes(fields: &Fields<'_>, problems: &mut Problems) -> Map<String, Value> {
    let Some(attributes) = fields.object("custom_attributes", problems) else { return Map::new() };
    if attributes.map().len() > ATTRIBUTES_MAX {
        let count = attributes.map().len();
        problems.add("custom_attributes", format_args!("expected at most {ATTRIBUTES_MAX} keys, got {count}"));
        return Map::new();
    }
    for (key, value) in attributes.map() {
        if key.is_empty() || key.chars().count() > ATTRIBUTE_KEY_CHARS_MAX {
            let expected = format_args!("expected keys of 1 to {ATTRIBUTE_KEY_CHARS_MAX} characters");
            problems.add("custom_attributes", expected);
            continue;
        }
        match value {
            Value::String(text) if text.len() > ATTRIBUTE_VALUE_BYTES_MAX => problems.add(
                &attributes.path(key),
                format_args!("expected at most {ATTRIBUTE_VALUE_BYTES_MAX} bytes, got {}", text.len()),
            ),
            Value::Array(_) | Value::Object(_) => {
                problems.add(&attributes.path(key), "expected a text, a number, true or false");
            }
            _ => {}
        }
    }
    attributes.map().clone()
}

fn printable_key(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    let value = fields.value("deduplication_key")?;
    let key = value.as_str().filter(|key| is_printable_key(key));
    if key.is_none() {
        problems.add(
            "deduplication_key",
            format_args!("expected 1 to {DEDUPLICATION_KEY_CHARS_MAX} printable ASCII characters"),
        );
    }
    key.map(str::to_owned)
}

/// True for what may be a deduplication or idempotency key.
pub(super) fn is_printable_key(key: &str) -> bool {
    (1..=DEDUPLICATION_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// Fields that are kept in the stored request and change nothing: a wrong type is still a mistake worth telling.
fn check_unused(fields: &Fields<'_>, rules: &Rules<'_>, problems: &mut Problems) {
    for (key, message) in NOT_SUPPORTED {
        if fields.value(key).is_some() {
            problems.add(key, message);
        }
    }
    fields.boolean("video_required", problems);
    fields.text("bot_message", MESSAGE_CHARS_MAX, problems);
    fields.url("bot_image_url", &WEB, rules.guard, problems);
    for (index, id) in fields.array("workflow_config_ids", 100, problems).unwrap_or_default().iter().enumerate() {
        if !id.is_string() {
            problems.add(&format!("workflow_config_ids[{index}]"), "expected a text");
        }
    }
    if let Some(zoom) = fields.object("zoom", problems) {
        zoom.url("zak_url", &["https"], rules.guard, problems);
        zoom.url("obf_url", &["https"], rules.guard, problems);
        if zoom.value("zak_url").is_some() && zoom.value("obf_url").is_some() {
            problems.add("zoom", "zak_url and obf_url exclude each other; give one of them");
        }
    }
    for old in ["use_zoom_obf", "zoom_oauth_connection_user_id"] {
        for place in [Some(fields.clone()), fields.object("zoom", &mut Problems::default())].into_iter().flatten() {
            if place.value(old).is_some() {
                problems.add(&place.path(old), "not accepted any more; use zoom.zak_url or zoom.obf_url");
            }
        }
    }
    for (key, domain) in [("google_meet", "google_login_domain"), ("teams", "teams_login_domain")] {
        if let Some(login) = fields.object(key, problems) {
            login.boolean("login_required", problems);
            login.boolean("strict_email", problems);
            login.text("sign_in_email", 320, problems);
            login.text(domain, 253, problems);
        }
    }
}
