//! Places that tenants have taken, and sessions that wait in line for one.

use muster_session::{BotId, Session, State, TenantId};
use rusqlite::{Connection, OptionalExtension, params};

use super::record::Raw;
use crate::{PlaceChange, StoreError, TenantLoad};

pub(super) const LOADS: &str =
    "SELECT tenant, taken, held FROM tenant_load WHERE taken > 0 OR held > 0 ORDER BY tenant";
pub(super) const HELD: &str = "SELECT record, version, lease_until FROM line JOIN session ON session.id = line.bot
    WHERE line.tenant = ?1 ORDER BY line.created_at, line.bot LIMIT ?2";
pub(super) const HELD_BEFORE: &str = "SELECT count(*) FROM line WHERE tenant = ?1 AND (created_at, bot) < (?2, ?3)";
pub(super) const WAITS: &str = "SELECT line.created_at FROM session JOIN line
    ON line.tenant = session.tenant AND line.created_at = session.created_at AND line.bot = session.id
    WHERE session.id = ?1 AND session.tenant = ?2";

/// Changes the places that the session's tenant has taken, and makes the line say whether the session waits there. Refused
/// if there is no place to take; what was written before is then to be taken back.
pub(super) fn write(c: &Connection, session: &Session, place: PlaceChange) -> Result<(), StoreError> {
    let tenant = &session.tenant;
    let taken = match place {
        PlaceChange::Keep => 0,
        PlaceChange::Free => -1,
        PlaceChange::Take { limit } => {
            let taken = taken(c, tenant)?;
            if limit.is_some_and(|limit| taken >= limit) {
                return Err(StoreError::Full { taken });
            }
            1
        }
    };
    let held = if session.state == State::Queued && session.held { enter(c, session)? } else { leave(c, session)? };
    add(c, tenant, taken, held)
}

/// What a session that goes leaves: its place, too.
pub(super) fn forget(c: &Connection, session: &Session) -> Result<(), StoreError> {
    let held = leave(c, session)?;
    add(c, &session.tenant, -i64::from(session.place), held)
}

fn taken(c: &Connection, tenant: &TenantId) -> Result<u64, StoreError> {
    let mut select = c.prepare_cached("SELECT taken FROM tenant_load WHERE tenant = ?1")?;
    let taken: Option<i64> = select.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
    Ok(taken.unwrap_or_default().cast_unsigned())
}

/// Answers how many more wait.
fn enter(c: &Connection, session: &Session) -> Result<i64, StoreError> {
    let sql = "INSERT INTO line (tenant, created_at, bot) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    change(c, sql, session)
}

fn leave(c: &Connection, session: &Session) -> Result<i64, StoreError> {
    Ok(-change(c, "DELETE FROM line WHERE tenant = ?1 AND created_at = ?2 AND bot = ?3", session)?)
}

fn change(c: &Connection, sql: &str, session: &Session) -> Result<i64, StoreError> {
    let (tenant, created_at) = (session.tenant.as_str(), session.created_at.as_millis());
    let changed = c.prepare_cached(sql)?.execute(params![tenant, created_at, session.id.to_string()])?;
    Ok(i64::from(changed > 0))
}

fn add(c: &Connection, tenant: &TenantId, taken: i64, held: i64) -> Result<(), StoreError> {
    if (taken, held) == (0, 0) {
        return Ok(());
    }
    let sql = "INSERT INTO tenant_load (tenant, taken, held) VALUES (?1, max(?2, 0), max(?3, 0))
               ON CONFLICT (tenant) DO UPDATE SET taken = max(taken + ?2, 0), held = max(held + ?3, 0)";
    c.prepare_cached(sql)?.execute(params![tenant.as_str(), taken, held])?;
    if taken < 0 || held < 0 {
        let sql = "DELETE FROM tenant_load WHERE tenant = ?1 AND taken = 0 AND held = 0";
        c.prepare_cached(sql)?.execute([tenant.as_str()])?;
    }
    Ok(())
}

pub(super) fn loads(c: &Connection) -> Result<Vec<TenantLoad>, StoreError> {
    let mut select = c.prepare_cached(LOADS)?;
    let rows = select.query_map([], |row| {
        Ok(TenantLoad {
            tenant: TenantId::new(row.get::<_, String>(0)?),
            taken: row.get::<_, i64>(1)?.cast_unsigned(),
            held: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn held(c: &Connection, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
    let mut select = c.prepare_cached(HELD)?;
    let rows = select.query_map(params![tenant.as_str(), limit], Raw::read)?;
    rows.map(|raw| raw?.decode()).collect()
}

pub(super) fn held_before(c: &Connection, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
    let bot = bot.to_string();
    let mut waits = c.prepare_cached(WAITS)?;
    let since: Option<i64> = waits.query_row(params![bot, tenant.as_str()], |row| row.get(0)).optional()?;
    let Some(since) = since else { return Ok(None) };
    let mut count = c.prepare_cached(HELD_BEFORE)?;
    let before: i64 = count.query_row(params![tenant.as_str(), since, bot], |row| row.get(0))?;
    Ok(Some(before.cast_unsigned()))
}
