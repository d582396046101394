//! Single records: creating, reading, compare-and-swap, leases, deleting.

use muster_session::{BotId, Session, TenantId, Timestamp, TranscriptId, WorkerId};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::record::{COLUMNS, Raw, parameters};
use super::{deliveries, inbox, line, outbox};
use crate::codec::Columns;
use crate::{Commit, CreateGuard, Created, LeaseRenewal, Renewed, StoreError};

pub(super) fn get(c: &Connection, bot: BotId) -> Result<Option<Session>, StoreError> {
    one(c, "id = ?1", &[&bot.to_string()])
}

pub(super) fn by_transcript(c: &Connection, transcript: TranscriptId) -> Result<Option<Session>, StoreError> {
    one(c, "id = (SELECT bot FROM transcript WHERE id = ?1)", &[&transcript.to_string()])
}

pub(super) fn by_remote(c: &Connection, source: &str, id: &str) -> Result<Option<Session>, StoreError> {
    one(c, "id = (SELECT bot FROM remote WHERE source = ?1 AND id = ?2)", &[&source, &id])
}

fn exists(c: &Connection, bot: BotId) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("SELECT 1 FROM session WHERE id = ?1")?.exists([bot.to_string()])?)
}

fn one(c: &Connection, condition: &str, parameters: &[&dyn ToSql]) -> Result<Option<Session>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM session WHERE {condition}");
    let raw = c.prepare_cached(&sql)?.query_row(parameters, Raw::read).optional()?;
    raw.map(Raw::decode).transpose()
}

pub(super) fn create(c: &Connection, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError> {
    if let Some(entry) = &commit.inbox
        && inbox::is_taken(c, &entry.key)?
    {
        return Err(StoreError::Seen);
    }
    let tenant = &commit.session.tenant;
    if let Some(key) = &guard.idempotency_key
        && let Some(winner) = by_key(c, tenant, "idempotency_key", key)?
    {
        return Ok(Created::Replayed(winner));
    }
    if let Some(key) = &commit.session.deduplication_key
        && let Some(first) = by_key(c, tenant, "dedup_key", key)?
    {
        let same = first.meeting.key == commit.session.meeting.key;
        return Ok(if same { Created::Duplicate(first) } else { Created::Conflict(first) });
    }
    if exists(c, commit.session.id)? {
        return Err(StoreError::Conflict);
    }
    insert(c, commit, guard).map(Created::New)
}

fn by_key(c: &Connection, tenant: &TenantId, column: &str, key: &str) -> Result<Option<Session>, StoreError> {
    one(c, &format!("tenant = ?1 AND {column} = ?2"), &[&tenant.as_str(), &key])
}

fn insert(c: &Connection, mut commit: Commit, guard: CreateGuard) -> Result<Session, StoreError> {
    let sql = "INSERT INTO session (id, version, state, fencing, lease_owner, lease_until, stop_requested, due_at,
                   deadline, retire_at, record, tenant, platform, created_at, idempotency_key, dedup_key, meeting_key)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    commit.session.version = 1;
    commit.place.note(&mut commit.session);
    let session = &commit.session;
    let columns = Columns::of(session);
    let (platform, created_at) = (session.meeting.label.to_lowercase(), session.created_at.as_millis());
    let tenant = session.tenant.as_str();
    let mut values = parameters(&columns).to_vec();
    values.extend::<[&dyn ToSql; 6]>([
        &tenant,
        &platform,
        &created_at,
        &guard.idempotency_key,
        &session.deduplication_key,
        &session.meeting.key,
    ]);
    c.prepare_cached(sql)?.execute(values.as_slice())?;
    inbox::take(c, commit.inbox.as_ref())?;
    write_consequences(c, &commit)?;
    Ok(commit.session)
}

pub(super) fn commit(c: &Connection, mut commit: Commit) -> Result<Session, StoreError> {
    // What is refused further on takes this back.
    inbox::take(c, commit.inbox.as_ref())?;
    let session = &mut commit.session;
    let stored = "SELECT version, fencing, lease_owner, lease_until FROM session WHERE id = ?1";
    let stored = c.prepare_cached(stored)?.query_row([session.id.to_string()], |row| {
        let (version, fencing) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
        Ok((version, fencing, row.get::<_, Option<String>>(2)?, row.get::<_, Option<i64>>(3)?))
    });
    let (version, fencing, owner, until) = stored.optional()?.ok_or(StoreError::Missing)?;
    let renewed = commit.lease_seen.is_some_and(|seen| until != Some(seen.as_millis()));
    if version != session.version || renewed {
        return Err(StoreError::Conflict);
    }
    session.version += 1;
    commit.place.note(session);
    // The lease may have been renewed since the record was read, which changes no version. The same lease keeps the
    // longer time; another one, or none, is the caller's to decide.
    if let (Some(lease), Some(owner), Some(until)) = (&mut session.lease, owner, until)
        && session.fencing == fencing
        && lease.owner.as_str() == owner
    {
        lease.until = lease.until.max(Timestamp::from_millis(until));
    }
    let sql = "UPDATE session SET version = ?2, state = ?3, fencing = ?4, lease_owner = ?5, lease_until = ?6,
                   stop_requested = ?7, due_at = ?8, deadline = ?9, retire_at = ?10, record = ?11
               WHERE id = ?1";
    c.prepare_cached(sql)?.execute(parameters(&Columns::of(session)).as_slice())?;
    write_consequences(c, &commit)?;
    Ok(commit.session)
}

/// What belongs to the same write as the record.
fn write_consequences(c: &Connection, commit: &Commit) -> Result<(), StoreError> {
    let session = &commit.session;
    line::write(c, session, commit.place)?;
    let bot = session.id.to_string();
    let mut transcript = c.prepare_cached("INSERT OR IGNORE INTO transcript (id, bot) VALUES (?1, ?2)")?;
    for record in &session.transcripts {
        transcript.execute(params![record.id.to_string(), bot])?;
    }
    if let Some(remote) = &session.remote
        && let Some(id) = &remote.bot
    {
        let sql = "INSERT OR IGNORE INTO remote (source, id, bot) VALUES (?1, ?2, ?3)";
        c.prepare_cached(sql)?.execute(params![remote.source, id, bot])?;
    }
    let addresses = (session.callback_url.as_ref(), &*commit.endpoints);
    for event in &commit.events {
        deliveries::add(c, &session.tenant, event, addresses, commit.now)?;
    }
    outbox::add(c, &commit.jobs, commit.now)
}

pub(super) fn renew(
    c: &Connection,
    owner: &WorkerId,
    leases: &[LeaseRenewal],
    until: Timestamp,
) -> Result<Vec<Renewed>, StoreError> {
    let sql = "UPDATE session SET lease_until = max(lease_until, ?4)
               WHERE id = ?1 AND fencing = ?2 AND lease_owner = ?3 RETURNING stop_requested";
    let mut update = c.prepare_cached(sql)?;
    let mut answers = Vec::with_capacity(leases.len());
    for lease in leases {
        let (bot, fencing) = (lease.bot.to_string(), lease.fencing.cast_signed());
        let held = update.query_row(params![bot, fencing, owner.as_str(), until.as_millis()], |row| row.get(0));
        answers.push(match held.optional()? {
            Some(stop_requested) => Renewed::Held { stop_requested },
            None => Renewed::Lost,
        });
    }
    Ok(answers)
}

pub(super) fn delete(c: &Connection, bot: BotId) -> Result<bool, StoreError> {
    let Some(session) = get(c, bot)? else { return Ok(false) };
    line::forget(c, &session)?;
    let bot = bot.to_string();
    c.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([&bot])?;
    // Jobs and pending deliveries stay: they were promised.
    for sql in [
        "DELETE FROM transcript WHERE bot = ?1",
        "DELETE FROM remote WHERE bot = ?1",
        "DELETE FROM log WHERE bot = ?1",
        "DELETE FROM delivery WHERE bot = ?1 AND next_at IS NULL",
    ] {
        c.prepare_cached(sql)?.execute([&bot])?;
    }
    Ok(true)
}
