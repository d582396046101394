//! Writes that happen together or not at all.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use muster_session::BotId;

use super::item::{self, Item, Key};
use crate::StoreError;

/// What DynamoDB takes.
const LARGEST_ITEM_BYTES: usize = 400 << 10;
pub(super) const MOST_WRITES: usize = 100;
pub(super) const LARGEST_BYTES: usize = 4 << 20;
/// Condition of items that must be new.
const ABSENT: &str = "attribute_not_exists(pk)";

/// Why a transaction is cancelled that another one is in the way of.
const CONFLICT: &str = "TransactionConflict";

/// Writes for one table.
#[derive(Debug)]
pub(super) struct Writes<'a> {
    table: &'a str,
    writes: Vec<TransactWriteItem>,
}

/// Values of an expression.
pub(super) type Values<'a> = Vec<(&'a str, AttributeValue)>;

impl<'a> Writes<'a> {
    pub(super) const fn new(table: &'a str) -> Self {
        Self { table, writes: Vec::new() }
    }

    pub(super) fn into_vec(self) -> Vec<TransactWriteItem> {
        self.writes
    }

    /// How many there are so far.
    pub(super) const fn len(&self) -> usize {
        self.writes.len()
    }

    /// An item, whatever was there.
    pub(super) fn put(&mut self, item: Item) {
        let put = Put::builder().table_name(self.table).set_item(Some(item)).build();
        self.push(TransactWriteItem::builder().put(put.expect("table and item are set")));
    }

    /// An item that is not there yet; answers which write this is.
    pub(super) fn put_new(&mut self, item: Item) -> usize {
        let put = Put::builder().table_name(self.table).set_item(Some(item)).condition_expression(ABSENT);
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).build();
        self.push(TransactWriteItem::builder().put(put.expect("table and item are set")))
    }

    /// A change of an item under a condition, which always holds if it is empty; answers which write this is.
    pub(super) fn update(&mut self, key: Key, change: String, condition: String, values: Values<'_>) -> usize {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let update = Update::builder().table_name(self.table).set_key(Some(key.into_item()));
        let condition = Some(condition).filter(|condition| !condition.is_empty());
        let update = update.update_expression(change).set_condition_expression(condition);
        let update = update.set_expression_attribute_values(Some(values));
        let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.push(TransactWriteItem::builder().update(update.build().expect("table, key and change are set")))
    }

    /// A pointer to this bot, if there is none to another yet.
    pub(super) fn point_first(&mut self, key: Key, bot: BotId) {
        let update = Update::builder().table_name(self.table).set_key(Some(key.into_item()));
        let update = update.update_expression("SET bot = if_not_exists(bot, :bot)");
        let update = update.expression_attribute_values(":bot", item::s(bot.to_string()));
        self.push(TransactWriteItem::builder().update(update.build().expect("table, key and change are set")));
    }

    /// Only if this holds of an item that is not written; answers which write this is.
    pub(super) fn require(&mut self, key: Key, condition: &str, values: Values<'_>) -> usize {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let check = ConditionCheck::builder().table_name(self.table).set_key(Some(key.into_item()));
        let check = check.condition_expression(condition).set_expression_attribute_values(Some(values));
        let check = check.build().expect("table, key and condition are set");
        self.push(TransactWriteItem::builder().condition_check(check))
    }

    /// Removes an item, if this holds; answers which write this is.
    pub(super) fn delete(&mut self, key: Key, condition: Option<(&str, Values<'_>)>) -> usize {
        let mut delete = Delete::builder().table_name(self.table).set_key(Some(key.into_item()));
        if let Some((condition, values)) = condition {
            delete = delete.condition_expression(condition);
            for (name, value) in values {
                delete = delete.expression_attribute_values(name, value);
            }
            delete = delete.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        }
        self.push(TransactWriteItem::builder().delete(delete.build().expect("table and key are set")))
    }

    fn push(&mut self, write: aws_sdk_dynamodb::types::builders::TransactWriteItemBuilder) -> usize {
        self.writes.push(write.build());
        self.writes.len() - 1
    }
}

/// Refuses what DynamoDB would refuse, and says what it is about.
pub(super) fn check(writes: &[TransactWriteItem]) -> Result<(), StoreError> {
    if writes.len() > MOST_WRITES {
        let said = format!("{} items belong together, and DynamoDB takes at most {MOST_WRITES}", writes.len());
        return Err(too_large(said));
    }
    let mut sum = 0;
    for write in writes {
        let (key, bytes) = match (write.put(), write.update()) {
            (Some(put), _) => (put.item(), item::bytes(put.item())),
            (_, Some(update)) => {
                let values = update.expression_attribute_values().map_or(0, item::bytes);
                (update.key(), item::bytes(update.key()) + values)
            }
            _ => continue,
        };
        check_item(key, bytes)?;
        sum += bytes;
    }
    if sum > LARGEST_BYTES {
        return Err(too_large(format!("{sum} bytes belong together, and DynamoDB takes {LARGEST_BYTES}")));
    }
    Ok(())
}

/// The same for one item.
pub(super) fn check_item(key: &Item, bytes: usize) -> Result<(), StoreError> {
    if bytes <= LARGEST_ITEM_BYTES {
        return Ok(());
    }
    let at = Key::of(key).map_or_else(|_| "an item".into(), |key| format!("{} {}", key.pk, key.sk));
    Err(too_large(format!("{at} has {bytes} bytes, and DynamoDB takes {LARGEST_ITEM_BYTES}")))
}

const fn too_large(detail: String) -> StoreError {
    StoreError::TooLarge { detail }
}

/// Whether DynamoDB refuses something for its size, such as an item that an update made too large. It has one code for everything
/// that is not valid: only the text tells them apart.
pub(super) fn is_about_size(code: Option<&str>, message: Option<&str>) -> bool {
    matches!(code, Some("ValidationException" | "ValidationError"))
        && message.is_some_and(|message| message.contains("exceeded the maximum allowed size"))
}

/// Why a transaction was cancelled: a reason for each write.
#[derive(Debug)]
pub(super) struct Refusal {
    reasons: Vec<CancellationReason>,
}

impl Refusal {
    /// A condition did not hold.
    pub(super) fn any(&self) -> bool {
        self.reasons.iter().any(is_condition)
    }

    /// Something is too large: what DynamoDB said of it.
    pub(super) fn too_large(&self) -> Option<StoreError> {
        let reason = self.reasons.iter().find(|reason| is_about_size(reason.code(), reason.message()))?;
        Some(too_large(format!("writing: {}", reason.message().unwrap_or_default())))
    }

    /// It may go better in a moment.
    pub(super) fn passes(&self) -> bool {
        let passing = [CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"];
        self.reasons.iter().any(|reason| reason.code().is_some_and(|code| passing.contains(&code)))
    }

    /// Another transaction writes the item of this write, and none any other.
    pub(super) fn conflicts_only(&self, write: usize) -> bool {
        let alone = |(at, reason): (usize, &CancellationReason)| match reason.code() {
            Some(CONFLICT) => at == write,
            None | Some("None") => at != write,
            Some(_) => false,
        };
        self.reasons.iter().enumerate().all(alone) && write < self.reasons.len()
    }

    /// If the condition of this write did not hold: what is there instead, if anything is.
    pub(super) fn of(&self, write: usize) -> Option<Option<&Item>> {
        let reason = self.reasons.get(write).filter(|reason| is_condition(reason))?;
        Some(reason.item().filter(|item| !item.is_empty()))
    }
}

fn is_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// The reasons, if the transaction was cancelled for some.
pub(super) fn refusal<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Refusal> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            Some(Refusal { reasons: cancelled.cancellation_reasons().to_vec() })
        }
        TransactWriteItemsError::TransactionInProgressException(_) => {
            let reason = CancellationReason::builder().code(CONFLICT).build();
            Some(Refusal { reasons: vec![reason] })
        }
        _ => None,
    }
}
