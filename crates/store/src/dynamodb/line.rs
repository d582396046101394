//! Places that tenants have taken, and sessions that wait in line for one.
//!
//! Both are counted in one item of each tenant, which is written in the transaction of the record; so the limit is exact, and
//! whoever takes or frees a place of one tenant waits for the others that do. An item says of each session that waits where it
//! is in its tenant's line. All of it is read from the table, consistently.

use futures_util::future::try_join_all;
use muster_session::{BotId, Session, State, TenantId};

use super::item::{Item, Key, SHARDS, line_of, loads_partition, maybe_number, n, parse, pointer, s, text, time_key};
use super::record;
use super::table::{Select, Table};
use super::write::{Refusal, Writes};
use crate::{PlaceChange, StoreError, TenantLoad};

/// Where a session that waits is in the line: an attribute of its record, too.
pub(super) fn place(session: &Session) -> Option<String> {
    (session.state == State::Queued && session.held).then(|| time_key(session.created_at, session.id))
}

/// A condition of a tenant's counts.
const NONE_TAKEN: &str = "attribute_not_exists(taken_n) OR taken_n <= :zero";

/// What one write does to the places of a tenant and to its line.
pub(super) struct Change {
    pub(super) place: PlaceChange,
    /// What is stored waits in line.
    pub(super) waited: bool,
    /// There is no place to give back.
    pub(super) none_taken: bool,
}

impl Change {
    pub(super) const fn new(place: PlaceChange, waited: bool) -> Self {
        Self { place, waited, none_taken: false }
    }

    /// Whether what is stored waits in line, as far as can be told without reading it: what waits now did, unless it came to
    /// the state with this write, and what takes a place without coming to it was released.
    pub(super) fn guess(commit: &crate::Commit) -> bool {
        let session = &commit.session;
        let released = matches!(commit.place, PlaceChange::Take { .. });
        session.state == State::Queued && session.since < commit.now && (session.held || released)
    }

    /// `waits` says whether the session waits in line after the write. Answers which write the tenant's counts are, if they
    /// are in it.
    pub(super) fn write(&self, writes: &mut Writes<'_>, session: &Session, waits: bool) -> Option<usize> {
        let (tenant, key) = (&session.tenant, Key::in_line(&session.tenant, session.created_at, session.id));
        let held = match (self.waited, waits) {
            (false, true) => {
                writes.put(pointer(key, session.id));
                1
            }
            (true, false) => {
                writes.delete(key, None);
                -1
            }
            (false, false) | (true, true) => 0,
        };
        let (taken, condition, limit) = match self.place {
            PlaceChange::Keep if held == 0 => return None,
            PlaceChange::Keep => (0, "", None),
            PlaceChange::Take { limit: None } => (1, "", None),
            // What is not there is not less.
            PlaceChange::Take { limit: Some(0) } => (1, "taken_n < :limit", Some(0)),
            PlaceChange::Take { limit } => (1, "attribute_not_exists(taken_n) OR taken_n < :limit", limit),
            PlaceChange::Free if self.none_taken && held == 0 => {
                return Some(writes.require(Key::load(tenant), NONE_TAKEN, vec![(":zero", n(0))]));
            }
            PlaceChange::Free if self.none_taken => (0, NONE_TAKEN, None),
            PlaceChange::Free => (-1, "taken_n > :zero", None),
        };
        let mut values =
            vec![(":owner", s(tenant.as_str())), (":zero", n(0)), (":taken", n(taken)), (":held", n(held))];
        values.extend(limit.map(|limit| (":limit", n(limit))));
        let change = "SET owner_id = :owner, taken_n = if_not_exists(taken_n, :zero) + :taken, \
                      held_n = if_not_exists(held_n, :zero) + :held";
        Some(writes.update(Key::load(tenant), change.into(), condition.into(), values))
    }

    /// What a refusal says of the places. There are none only if nothing else was in the way: a write on its way may be
    /// about to say something else of this one.
    pub(super) fn refused(&mut self, refusal: &Refusal, write: Option<usize>) -> Result<(), StoreError> {
        let Some(stored) = write.and_then(|write| refusal.of(write)) else { return Ok(()) };
        let taken = stored.map_or(0, |stored| count(stored, "taken_n"));
        match self.place {
            PlaceChange::Take { .. } if !refusal.passes() => return Err(StoreError::Full { taken }),
            PlaceChange::Free => self.none_taken = !self.none_taken,
            PlaceChange::Take { .. } | PlaceChange::Keep => {}
        }
        Ok(())
    }
}

fn count(item: &Item, name: &str) -> u64 {
    maybe_number(item, name).unwrap_or_default()
}

pub(super) async fn loads(table: &Table) -> Result<Vec<TenantLoad>, StoreError> {
    let of_shard = |shard: u8| async move { table.select(&of_partition(loads_partition(shard)), usize::MAX).await };
    let mut loads = Vec::new();
    for item in try_join_all((0..SHARDS).map(of_shard)).await?.concat() {
        let (taken, held) = (count(&item, "taken_n"), count(&item, "held_n"));
        if taken > 0 || held > 0 {
            loads.push(TenantLoad { tenant: TenantId::new(text(&item, "owner_id")?), taken, held });
        } else {
            forget(table, &item).await;
        }
    }
    loads.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    Ok(loads)
}

/// Removes the counts of a tenant that has nothing, so that looking at all costs no more than those that have something.
async fn forget(table: &Table, item: &Item) {
    let Ok(key) = Key::of(item) else { return };
    // Who looks next tries again.
    drop(table.delete_if(key, "taken_n = :zero AND held_n = :zero", vec![(":zero", n(0))]).await);
}

pub(super) async fn held(table: &Table, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError> {
    let line = Select { page: Some(super::outbox::page(limit)), ..of_partition(line_of(tenant)) };
    let mut bots = Vec::new();
    for item in table.select(&line, limit as usize).await? {
        bots.push(parse("a bot in line", text(&item, "bot")?)?);
    }
    // They may have moved on in between, and then are refused a place.
    record::read_many(table, &bots).await
}

pub(super) async fn held_before(table: &Table, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError> {
    let session = record::read(table, bot).await?.filter(|session| session.tenant == *tenant);
    let Some(place) = session.as_ref().and_then(place) else { return Ok(None) };
    let mut before = of_partition(line_of(tenant));
    before.condition.push_str(" AND sk < :sk");
    before.values.insert(":sk".to_owned(), s(place));
    table.count(&before).await.map(Some)
}

fn of_partition(partition: String) -> Select {
    let values = [(":pk".to_owned(), s(partition))].into();
    Select { condition: "pk = :pk".into(), values, ..Select::default() }
}
