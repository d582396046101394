//! Who leads, and which workers there are.

use aws_sdk_dynamodb::types::ReturnValue;
use muster_session::{Timestamp, WorkerId};

use super::item::{Key, WORKERS, from_json, n, s, to_json};
use super::table::{Select, Table, failed};
use crate::{KnownWorker, StoreError, WorkerRecord};

/// Set once a worker was asked to take no more bots.
const ASKED: &str = "asked";

pub(super) async fn lead(
    table: &Table,
    name: &str,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let update = table.client.update_item().table_name(&table.name).set_key(Some(Key::lead(name).into_item()));
    let update = update
        .update_expression("SET holder = :holder, till = :till")
        .condition_expression("attribute_not_exists(pk) OR holder = :holder OR till <= :now")
        .expression_attribute_values(":holder", s(owner))
        .expression_attribute_values(":till", n(until.as_millis()))
        .expression_attribute_values(":now", n(now.as_millis()));
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(false),
        Err(error) => Err(failed("taking a lead", &error)),
    }
}

pub(super) async fn beat(table: &Table, worker: &WorkerRecord) -> Result<bool, StoreError> {
    let update = table.client.update_item().table_name(&table.name).set_key(Some(Key::worker(&worker.id).into_item()));
    let update = update
        .update_expression("SET doc = :doc")
        .expression_attribute_values(":doc", to_json(worker))
        .return_values(ReturnValue::AllNew);
    let answer = update.send().await.map_err(|error| failed("noting a worker", &error))?;
    Ok(answer.attributes.is_some_and(|item| item.contains_key(ASKED)))
}

pub(super) async fn workers(table: &Table) -> Result<Vec<KnownWorker>, StoreError> {
    let select =
        Select { condition: "pk = :pk".into(), values: [(":pk".to_owned(), s(WORKERS))].into(), ..Select::default() };
    let items = table.select(&select, usize::MAX).await?;
    let known = items.iter().map(|item| {
        Ok(KnownWorker { record: from_json("a worker", item, "doc")?, draining: item.contains_key(ASKED) })
    });
    let mut known = known.collect::<Result<Vec<KnownWorker>, StoreError>>()?;
    // Long ids are hashed in the table.
    known.sort_by(|one, other| one.record.id.as_str().cmp(other.record.id.as_str()));
    Ok(known)
}

pub(super) async fn drain(table: &Table, worker: &WorkerId) -> Result<bool, StoreError> {
    let update = table.client.update_item().table_name(&table.name).set_key(Some(Key::worker(worker).into_item()));
    let update = update
        .update_expression("SET asked = :asked")
        .condition_expression("attribute_exists(pk)")
        .expression_attribute_values(":asked", n(1));
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(false),
        Err(error) => Err(failed("asking a worker", &error)),
    }
}

pub(super) async fn forget(table: &Table, worker: &WorkerId) -> Result<bool, StoreError> {
    let delete = table.client.delete_item().table_name(&table.name).set_key(Some(Key::worker(worker).into_item()));
    let answer = delete.return_values(ReturnValue::AllOld).send().await;
    Ok(answer.map_err(|error| failed("forgetting a worker", &error))?.attributes.is_some_and(|old| !old.is_empty()))
}
