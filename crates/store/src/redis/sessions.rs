//! Single records: creating, reading, compare-and-swap, leases, deleting.

use muster_redis::{ScriptInvocation, cmd};
use muster_session::{BotId, Session, Timestamp, TranscriptId, WorkerId};

use super::{RedisStore, arguments, deliveries, inbox, line, scripts};
use crate::codec::{self, Columns, corrupt, to_json};
use crate::{Commit, CreateGuard, Created, LeaseRenewal, Renewed, StoreError, addresses};

/// Record, version and end of the lease, as they are stored. Empty or without values if there is no record.
pub(super) type Raw = Vec<Option<String>>;

pub(super) fn decode(raw: Raw) -> Result<Option<Session>, StoreError> {
    let mut fields = raw.into_iter();
    let (Some(Some(record)), Some(Some(version)), Some(Some(until))) = (fields.next(), fields.next(), fields.next())
    else {
        return Ok(None);
    };
    let until = if until.is_empty() { None } else { Some(codec::parse("the end of a lease", &until)?) };
    codec::decode(&record, codec::parse("a version", &version)?, until).map(Some)
}

pub(super) async fn get(store: &RedisStore, bot: BotId) -> Result<Option<Session>, StoreError> {
    let mut fields = cmd("HMGET");
    fields.arg(store.key(&format!(":s:{bot}"))).arg(&["j", "v", "u"]);
    decode(store.link.run(&fields).await?)
}

pub(super) async fn by_transcript(store: &RedisStore, transcript: TranscriptId) -> Result<Option<Session>, StoreError> {
    find(store, ":transcripts", &transcript.to_string()).await
}

pub(super) async fn by_remote(store: &RedisStore, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
    find(store, ":remotes", &remote(source, id)).await
}

async fn find(store: &RedisStore, kind: &str, name: &str) -> Result<Option<Session>, StoreError> {
    decode(store.script(&scripts::FIND, arguments(|script| script.arg(kind).arg(name))).await?)
}

/// The length keeps pairs apart that would read the same.
fn remote(source: &str, id: &str) -> String {
    format!("{}:{source}:{id}", source.len())
}

pub(super) async fn create(store: &RedisStore, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
    let mut session = commit.session.clone();
    session.version = 1;
    commit.place.note(&mut session);
    let fill = arguments(|script| {
        inbox::argument(script, commit.inbox.as_ref());
        line::argument(script, &session, commit.place);
        script.arg(session.id.to_string()).arg(session.tenant.as_str()).arg(session.meeting.label.to_lowercase());
        script.arg(padded_time(session.created_at.as_millis())).arg(&session.meeting.key);
        for key in [&guard.idempotency_key, &session.deduplication_key] {
            script.arg(u8::from(key.is_some())).arg(key.as_deref().unwrap_or_default());
        }
        session_arguments(script, &Columns::of(&session));
        consequences(script, &session, &commit)
    });
    let (end, known): (String, Raw) = store.script(&scripts::CREATE, fill).await?;
    if end == "full" {
        let taken = known.into_iter().flatten().next().unwrap_or_default();
        return Err(full(&taken)?);
    }
    let known = || decode(known).and_then(|known| known.ok_or_else(|| corrupt("a session", "it is not there")));
    match end.as_str() {
        "new" => Ok(Created::New(session)),
        "replayed" => known().map(Created::Replayed),
        "duplicate" => known().map(Created::Duplicate),
        "conflict" => known().map(Created::Conflict),
        "taken" => Err(StoreError::Conflict),
        "seen" => Err(StoreError::Seen),
        other => Err(corrupt("the end of a create", other)),
    }
}

pub(super) async fn commit(store: &RedisStore, commit: Commit) -> Result<Session, StoreError> {
    let mut session = commit.session.clone();
    session.version += 1;
    commit.place.note(&mut session);
    let fill = arguments(|script| {
        inbox::argument(script, commit.inbox.as_ref());
        line::argument(script, &session, commit.place);
        script.arg(session.id.to_string()).arg(commit.session.version.cast_signed());
        script.arg(optional(commit.lease_seen.map(Timestamp::as_millis)));
        session_arguments(script, &Columns::of(&session));
        consequences(script, &session, &commit)
    });
    let (end, until): (String, String) = store.script(&scripts::COMMIT, fill).await?;
    match end.as_str() {
        "written" => {}
        "missing" => return Err(StoreError::Missing),
        "conflict" => return Err(StoreError::Conflict),
        "full" => return Err(full(&until)?),
        "seen" => return Err(StoreError::Seen),
        other => return Err(corrupt("the end of a commit", other)),
    }
    if let Some(lease) = &mut session.lease {
        lease.until = Timestamp::from_millis(codec::parse("the end of a lease", &until)?);
    }
    Ok(session)
}

fn full(taken: &str) -> Result<StoreError, StoreError> {
    Ok(StoreError::Full { taken: codec::parse("a number of places", taken)? })
}

/// In the order in which the scripts take them.
fn session_arguments(script: &mut ScriptInvocation<'_>, columns: &Columns) {
    script.arg(columns.version).arg(columns.state).arg(columns.fencing);
    script.arg(columns.lease_owner.as_deref().unwrap_or_default()).arg(optional(columns.lease_until));
    script.arg(u8::from(columns.stop_requested));
    for time in [columns.due_at, columns.deadline, columns.retire_at] {
        script.arg(optional(time));
    }
    script.arg(&columns.record);
}

/// What belongs to the same write as the record.
fn consequences<'a, 'b>(
    script: &'b mut ScriptInvocation<'a>,
    session: &Session,
    commit: &Commit,
) -> &'b mut ScriptInvocation<'a> {
    script.arg(session.transcripts.len());
    for record in &session.transcripts {
        script.arg(record.id.to_string());
    }
    let known = session.remote.as_ref().and_then(|known| Some(remote(&known.source, known.bot.as_ref()?)));
    script.arg(u8::from(known.is_some()));
    if let Some(known) = known {
        script.arg(known);
    }
    let addressed =
        |event| (event, addresses(event, session.callback_url.as_ref(), &commit.endpoints).collect::<Vec<_>>());
    let events: Vec<_> = commit.events.iter().map(addressed).collect();
    deliveries::argument(script, &events, commit.now);
    script.arg(commit.jobs.len());
    for (job, pause) in &commit.jobs {
        script.arg((commit.now + *pause).as_millis()).arg(to_json(job));
    }
    script
}

pub(super) async fn renew(
    store: &RedisStore,
    owner: &WorkerId,
    leases: &[LeaseRenewal],
    until: Timestamp,
) -> Result<Vec<Renewed>, StoreError> {
    let fill = arguments(|script| {
        script.arg(owner.as_str()).arg(until.as_millis());
        for lease in leases {
            script.arg(lease.bot.to_string()).arg(lease.fencing.cast_signed());
        }
        script
    });
    let answers: Vec<u8> = store.script(&scripts::RENEW, fill).await?;
    let renewed = |answer| match answer {
        0 => Renewed::Lost,
        answer => Renewed::Held { stop_requested: answer == 2 },
    };
    Ok(answers.into_iter().map(renewed).collect())
}

pub(super) async fn delete(store: &RedisStore, bot: BotId) -> Result<bool, StoreError> {
    store.script(&scripts::DELETE, arguments(|script| script.arg(bot.to_string()))).await
}

/// A missing time is the empty text.
pub(super) fn optional(millis: Option<i64>) -> String {
    millis.map_or_else(String::new, |millis| millis.to_string())
}

/// What is added to a time so that every [`Timestamp`] is above zero, those before 1970 too.
const BEFORE_ALL: i64 = 100_000_000_000_000;

/// A time that compares as text.
pub(super) fn padded_time(millis: i64) -> String {
    format!("{:016}", millis.saturating_add(BEFORE_ALL).max(0))
}

/// What was [padded](padded_time).
pub(super) fn unpadded_time(text: &str) -> Result<i64, StoreError> {
    Ok(codec::parse::<i64>("a time", text)? - BEFORE_ALL)
}

pub(super) fn padded_sequence(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// The number of a job, a delivery, or a session.
pub(super) fn padded_number(number: u64) -> String {
    format!("{number:016}")
}
