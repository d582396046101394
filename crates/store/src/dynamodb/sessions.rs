//! Single records: creating, compare-and-swap, leases, deleting.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, stream};
use muster_session::{BotId, Session, Timestamp, WorkerId};

use super::ids::Ids;
use super::item::{DELIVERY, Item, Key, LOG, maybe_number, maybe_text, n, parse, pointer, s, shard, text, time_key};
use super::line::{self, Change};
use super::record::{self, items_of};
use super::table::{Table, failed};
use super::write::{Refusal, Writes};
use super::{deliveries, fan, inbox, outbox};
use crate::{Commit, CreateGuard, Created, LeaseRenewal, PlaceChange, Renewed, StoreError};

/// Renewals on their way at once.
const RENEWALS: usize = 32;

pub(super) async fn create(
    table: &Table,
    ids: &Ids,
    commit: Commit,
    guard: CreateGuard,
) -> Result<Created, StoreError> {
    let mut session = commit.session.clone();
    session.version = 1;
    commit.place.note(&mut session);
    let mut places = Change::new(commit.place, false);
    let mut attempt = 0;
    loop {
        let mut writes = Writes::new(&table.name);
        let seen = commit.inbox.as_ref().map(|entry| writes.put_new(inbox::item(entry)));
        let record = writes.put_new(record::new_record(&session, guard.idempotency_key.as_deref()));
        let bind = |key: Option<Key>, writes: &mut Writes<'_>| key.map(|key| writes.put_new(pointer(key, session.id)));
        let key = guard.idempotency_key.as_ref().map(|key| Key::idempotency(&session.tenant, key));
        let idempotency = bind(key, &mut writes);
        let key = session.deduplication_key.as_ref().map(|key| Key::deduplication(&session.tenant, key));
        let deduplication = bind(key, &mut writes);
        if session.lease.is_some() {
            write_lease(&mut writes, &session, None);
        }
        let load = places.write(&mut writes, &session, line::place(&session).is_some());
        let fans = consequences(&mut writes, ids, &session, &commit);
        let Err(refusal) = table.transact_beside(writes.into_vec(), load).await? else {
            fan::unfold_now(table, ids, fans).await;
            return Ok(Created::New(session));
        };
        check_seen(&refusal, seen)?;
        if let Some(winner) = bound(table, &refusal, idempotency).await? {
            return Ok(Created::Replayed(winner));
        }
        if let Some(first) = bound(table, &refusal, deduplication).await? {
            let same = first.meeting.key == session.meeting.key;
            return Ok(if same { Created::Duplicate(first) } else { Created::Conflict(first) });
        }
        if refusal.of(record).is_some() {
            return Err(StoreError::Conflict);
        }
        places.refused(&refusal, load)?;
        // A binding whose record is just being deleted, or an id that was taken.
        table.wait("creating a session", &mut attempt).await?;
    }
}

/// What came in before has taken effect before, whatever else there is.
fn check_seen(refusal: &Refusal, write: Option<usize>) -> Result<(), StoreError> {
    match write.and_then(|write| refusal.of(write)) {
        Some(_) => Err(StoreError::Seen),
        None => Ok(()),
    }
}

/// The record that a key is bound to, if that is why the write was refused.
async fn bound(table: &Table, refusal: &Refusal, write: Option<usize>) -> Result<Option<Session>, StoreError> {
    match write.and_then(|write| refusal.of(write)) {
        Some(Some(binding)) => record::read(table, parse("a binding", text(binding, "bot")?)?).await,
        _ => Ok(None),
    }
}

pub(super) async fn commit(table: &Table, ids: &Ids, commit: Commit) -> Result<Session, StoreError> {
    let mut session = commit.session.clone();
    let read_at = session.version;
    session.version += 1;
    commit.place.note(&mut session);
    let mut places = Change::new(commit.place, Change::guess(&commit));
    let mut attempt = 0;
    loop {
        let mut writes = Writes::new(&table.name);
        let seen = commit.inbox.as_ref().map(|entry| writes.put_new(inbox::item(entry)));
        let (change, mut values) = record::change(&session);
        values.push((":ver", n(read_at)));
        let waited = if places.waited { "attribute_exists" } else { "attribute_not_exists" };
        let as_read = format!("ver = :ver AND {waited}({})", record::LINE);
        let record = writes.update(Key::record(session.id), change, as_read, values);
        let lease = write_lease(&mut writes, &session, commit.lease_seen);
        let load = places.write(&mut writes, &session, line::place(&session).is_some());
        let fans = consequences(&mut writes, ids, &session, &commit);
        let Err(refusal) = table.transact_beside(writes.into_vec(), load).await? else {
            fan::unfold_now(table, ids, fans).await;
            return Ok(session);
        };
        check_seen(&refusal, seen)?;
        match refusal.of(record) {
            Some(None) => return Err(StoreError::Missing),
            Some(Some(stored)) if maybe_number(stored, "ver") != Some(read_at) => return Err(StoreError::Conflict),
            Some(Some(stored)) => places.waited = stored.contains_key(record::LINE),
            None => {}
        }
        if let Some(stored) = refusal.of(lease) {
            let until = stored.and_then(|stored| maybe_number(stored, "till")).map(Timestamp::from_millis);
            if commit.lease_seen.is_some() && until != commit.lease_seen {
                return Err(StoreError::Conflict);
            }
            keep_longer(&mut session, until);
        }
        places.refused(&refusal, load)?;
        // The lease was renewed since the record was read, an id was taken, or it is otherwise than was guessed.
        table.wait("committing", &mut attempt).await?;
    }
}

/// The same lease keeps the longer time.
fn keep_longer(session: &mut Session, until: Option<Timestamp>) {
    if let (Some(lease), Some(until)) = (&mut session.lease, until) {
        lease.until = lease.until.max(until);
    }
}

/// Makes the lease's item what the record says. Refused if it is the same lease and was renewed beyond what the record says,
/// or if it does not end when it was seen to.
fn write_lease(writes: &mut Writes<'_>, session: &Session, seen: Option<Timestamp>) -> usize {
    let key = Key::lease(session.id);
    let as_seen = seen.map(|seen| ("till = :seen", vec![(":seen", n(seen.as_millis()))]));
    let Some(lease) = &session.lease else { return writes.delete(key, as_seen) };
    let change =
        "SET holder = :holder, fence = :fence, till = :till, stopping = :stopping, part_h = :shard, lease_r = :lease";
    let mut condition =
        "(attribute_not_exists(pk) OR fence <> :fence OR holder <> :holder OR till <= :till)".to_owned();
    let mut values = vec![
        (":holder", s(lease.owner.as_str())),
        (":fence", n(session.fencing)),
        (":till", n(lease.until.as_millis())),
        (":stopping", n(u8::from(session.stop_requested.is_some()))),
        (":shard", s(shard(session.id))),
        (":lease", s(time_key(lease.until, session.id))),
    ];
    if let Some((as_seen, seen)) = as_seen {
        condition = format!("{condition} AND {as_seen}");
        values.extend(seen);
    }
    writes.update(key, change.into(), condition, values)
}

/// What belongs to the same write as the record. Answers what is to be unfolded after it.
fn consequences(writes: &mut Writes<'_>, ids: &Ids, session: &Session, commit: &Commit) -> Vec<Key> {
    for transcript in &session.transcripts {
        writes.put(pointer(Key::transcript(transcript.id), session.id));
    }
    if let Some(key) = record::remote_key(session) {
        writes.point_first(key, session.id);
    }
    outbox::add(writes, ids, &commit.jobs, commit.now);
    // Last: they take as much of a transaction as is left.
    deliveries::add(writes, ids, session, commit)
}

pub(super) async fn renew(
    table: &Table,
    owner: &WorkerId,
    leases: &[LeaseRenewal],
    until: Timestamp,
) -> Result<Vec<Renewed>, StoreError> {
    let renewals = leases.iter().map(|lease| renew_one(table, owner, *lease, until));
    // Collected first: a borrowing stream of futures is not known to be `Send`.
    let renewals: Vec<_> = renewals.collect();
    let mut renewals: Vec<Result<Renewed, StoreError>> = stream::iter(renewals).buffered(RENEWALS).collect().await;
    if !renewals.is_empty() && renewals.iter().all(Result::is_err) {
        return renewals.swap_remove(0).map(|renewed| vec![renewed]);
    }
    Ok(renewals.into_iter().map(|renewed| renewed.unwrap_or(Renewed::Unknown)).collect())
}

async fn renew_one(
    table: &Table,
    owner: &WorkerId,
    lease: LeaseRenewal,
    until: Timestamp,
) -> Result<Renewed, StoreError> {
    const DOING: &str = "renewing a lease";
    let mut attempt = 0;
    loop {
        let update = table.client.update_item().table_name(&table.name);
        let update = update.set_key(Some(Key::lease(lease.bot).into_item()));
        let update = update.update_expression("SET till = :till, lease_r = :lease");
        let update = update.condition_expression("holder = :holder AND fence = :fence AND till < :till");
        let update = update
            .expression_attribute_values(":holder", s(owner.as_str()))
            .expression_attribute_values(":fence", n(lease.fencing))
            .expression_attribute_values(":till", n(until.as_millis()))
            .expression_attribute_values(":lease", s(time_key(until, lease.bot)));
        let update = update.return_values(ReturnValue::AllNew);
        let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match update.send().await {
            Ok(renewed) => return Ok(held(&renewed.attributes.unwrap_or_default())),
            Err(error) => error,
        };
        let service = error.as_service_error();
        if let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = service {
            let stored = refused.item().filter(|stored| {
                maybe_text(stored, "holder") == Some(owner.as_str())
                    && maybe_number(stored, "fence") == Some(lease.fencing)
            });
            // Ours, and longer already: a late renewal, or one that the SDK sent twice.
            return Ok(stored.map_or(Renewed::Lost, held));
        }
        if !service.is_some_and(|error| error.is_transaction_conflict_exception()) {
            return Err(failed(DOING, &error));
        }
        table.wait(DOING, &mut attempt).await?;
    }
}

fn held(lease: &Item) -> Renewed {
    Renewed::Held { stop_requested: maybe_number(lease, "stopping") == Some(1) }
}

/// First what hangs on the record, so that a crash in between leaves a record to come back to; then the record and what
/// binds it; then what was written meanwhile.
pub(super) async fn delete(table: &Table, bot: BotId) -> Result<bool, StoreError> {
    let (mut attempt, mut none_taken) = (0, false);
    loop {
        let Some(stored) = table.get(Key::record(bot)).await? else { return Ok(false) };
        let session = record::of_items(std::slice::from_ref(&stored))?.ok_or(StoreError::Missing)?;
        sweep(table, bot).await?;
        for key in record::remote_keys(&stored) {
            table.delete_if(key, "bot = :bot", vec![(":bot", s(bot.to_string()))]).await?;
        }
        let mut writes = Writes::new(&table.name);
        let as_read = ("ver = :ver", vec![(":ver", n(session.version))]);
        let record = writes.delete(Key::record(bot), Some(as_read));
        writes.delete(Key::lease(bot), None);
        for transcript in &session.transcripts {
            writes.delete(Key::transcript(transcript.id), None);
        }
        if let Some(key) = maybe_text(&stored, "idem") {
            writes.delete(Key::idempotency(&session.tenant, key), None);
        }
        if let Some(key) = &session.deduplication_key {
            writes.delete(Key::deduplication(&session.tenant, key), None);
        }
        let place = PlaceChange::of_deletion(&session);
        let mut places = Change { place, waited: line::place(&session).is_some(), none_taken };
        let load = places.write(&mut writes, &session, false);
        match table.transact_beside(writes.into_vec(), load).await? {
            Ok(()) => {
                sweep(table, bot).await?;
                return Ok(true);
            }
            Err(refusal) if refusal.of(record) == Some(None) => return Ok(false),
            Err(refusal) => {
                places.refused(&refusal, load)?;
                none_taken = places.none_taken;
                table.wait("deleting a session", &mut attempt).await?;
            }
        }
    }
}

/// Removes the log and the settled deliveries. Jobs and pending deliveries stay: they were promised.
async fn sweep(table: &Table, bot: BotId) -> Result<(), StoreError> {
    let mut keys = Vec::new();
    for line in table.select(&items_of(bot, LOG), usize::MAX).await? {
        keys.push(Key::of(&line)?);
    }
    let mut settled = items_of(bot, DELIVERY);
    settled.filter = Some("attribute_not_exists(next_r)".into());
    for delivery in table.select(&settled, usize::MAX).await? {
        keys.push(Key::delivery_id(super::item::number(&delivery, "did")?));
        keys.push(Key::of(&delivery)?);
    }
    table.delete_many(keys).await
}
