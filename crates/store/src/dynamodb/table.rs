//! The table, and the requests that we make to it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, TransactWriteItem, WriteRequest};
use muster_aws::{SdkConfig, ServiceClock};

use super::item::{Item, Key};
use super::write::{self, Refusal, Values};
use crate::StoreError;

/// How often a write is tried that others are in the way of.
const ATTEMPTS: u32 = 12;
/// Longest pause before one.
const LONGEST: Duration = Duration::from_millis(1_280);
/// The same where many write one item at once, each for a moment. With [`TURN`] it is some seconds in all.
const TURNS: u32 = 60;
/// Longest pause then.
const TURN: Duration = Duration::from_millis(200);
/// What DynamoDB takes at once.
const READ_BATCH: usize = 100;
const DELETE_BATCH: usize = 25;

/// One table of DynamoDB.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
    throttled: Throttled,
    clock: ServiceClock,
}

/// What to read, in order of the sort key.
#[derive(Clone, Debug, Default)]
pub(super) struct Select {
    /// None reads the table itself, and then sees every write before.
    pub(super) index: Option<&'static str>,
    pub(super) condition: String,
    pub(super) filter: Option<String>,
    pub(super) values: HashMap<String, AttributeValue>,
    pub(super) descending: bool,
    /// Items looked at in one request.
    pub(super) page: Option<i32>,
}

impl Table {
    pub(super) fn new(config: &SdkConfig, name: &str) -> Self {
        let (throttled, clock) = (Throttled::default(), ServiceClock::default());
        Self { client: client(config, &throttled, &clock), name: name.to_owned(), throttled, clock }
    }

    /// The same with another configuration, knowing what it knows.
    pub(super) fn with(self, config: &SdkConfig) -> Self {
        Self { client: client(config, &self.throttled, &self.clock), ..self }
    }

    /// How far this machine's clock is ahead of the service's, by the last answer.
    pub(super) fn clock_ahead_ms(&self) -> Option<i64> {
        self.clock.ahead_ms()
    }

    /// Answers so far that asked for fewer requests.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled.0.load(Ordering::Relaxed)
    }

    pub(super) async fn get(&self, key: Key) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.into_item())).consistent_read(true);
        Ok(get.send().await.map_err(|error| failed("reading an item", &error))?.item)
    }

    /// Those that are there, in no order.
    pub(super) async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(READ_BATCH) {
            let mut left: Vec<Item> = batch.iter().cloned().map(Key::into_item).collect();
            let mut attempt = 0;
            while !left.is_empty() {
                let asked = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
                let asked = asked.map_err(|error| unavailable("reading items", error))?;
                let answer = self.client.batch_get_item().request_items(&self.name, asked).send().await;
                let answer = answer.map_err(|error| failed("reading items", &error))?;
                found.extend(answer.responses.unwrap_or_default().remove(&self.name).unwrap_or_default());
                let unread = answer.unprocessed_keys.unwrap_or_default().remove(&self.name);
                left = unread.map(|unread| unread.keys).unwrap_or_default();
                if !left.is_empty() {
                    self.wait("reading items", &mut attempt).await?;
                }
            }
        }
        Ok(found)
    }

    /// One page, and where the next one begins.
    pub(super) async fn page(
        &self,
        select: &Select,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let answer = self.query(select, from).send().await.map_err(|error| failed("looking items up", &error))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    fn query(&self, select: &Select, from: Option<Item>) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.name).set_index_name(select.index.map(str::to_owned));
        let query = query.consistent_read(select.index.is_none()).scan_index_forward(!select.descending);
        let query = query.key_condition_expression(&select.condition).set_filter_expression(select.filter.clone());
        let query = query.set_expression_attribute_values(Some(select.values.clone()));
        query.set_limit(select.page).set_exclusive_start_key(from)
    }

    /// How many there are, without carrying them.
    pub(super) async fn count(&self, select: &Select) -> Result<u64, StoreError> {
        let (mut count, mut from) = (0, None);
        loop {
            let query = self.query(select, from).select(aws_sdk_dynamodb::types::Select::Count);
            let answer = query.send().await.map_err(|error| failed("counting", &error))?;
            count += u64::try_from(answer.count).unwrap_or_default();
            from = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(count);
            }
        }
    }

    /// All of them, or the first `limit`.
    pub(super) async fn select(&self, select: &Select, limit: usize) -> Result<Vec<Item>, StoreError> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let (items, next) = self.page(select, from).await?;
            found.extend(items);
            if next.is_none() || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
            from = next;
        }
    }

    /// All of these writes or none; the answer says whose condition did not hold. Waits while others write the same items.
    ///
    /// The SDK gives every request a token, so one that it repeats for lack of an answer is carried out once.
    pub(super) async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<Result<(), Refusal>, StoreError> {
        self.transact_beside(writes, None).await
    }

    /// The same with more patience for others that are in the way of one of the writes, and of no other: its item is one that
    /// many write at once.
    pub(super) async fn transact_beside(
        &self,
        writes: Vec<TransactWriteItem>,
        shared: Option<usize>,
    ) -> Result<Result<(), Refusal>, StoreError> {
        write::check(&writes)?;
        let (mut attempt, mut turn) = (0, 0);
        loop {
            let sent = self.client.transact_write_items().set_transact_items(Some(writes.clone())).send().await;
            let Err(error) = sent else { return Ok(Ok(())) };
            match write::refusal(&error) {
                Some(refusal) if refusal.any() => return Ok(Err(refusal)),
                Some(refusal) if shared.is_some_and(|write| refusal.conflicts_only(write)) => {
                    wait_up_to(TURN, TURNS, "writing", &mut turn).await?;
                }
                Some(refusal) if refusal.passes() => self.wait("writing", &mut attempt).await?,
                refusal => {
                    let too_large = refusal.as_ref().and_then(Refusal::too_large);
                    return Err(too_large.unwrap_or_else(|| failed("writing", &error)));
                }
            }
        }
    }

    /// Deletes what is there of these.
    pub(super) async fn delete_many(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        const DOING: &str = "removing items";
        for batch in keys.chunks(DELETE_BATCH) {
            let mut left = Vec::with_capacity(batch.len());
            for key in batch {
                let delete = DeleteRequest::builder().set_key(Some(key.clone().into_item())).build();
                let delete = delete.map_err(|error| unavailable(DOING, error))?;
                left.push(WriteRequest::builder().delete_request(delete).build());
            }
            let mut attempt = 0;
            while !left.is_empty() {
                let answer = self.client.batch_write_item().request_items(&self.name, left).send().await;
                let answer = answer.map_err(|error| failed(DOING, &error))?;
                left = answer.unprocessed_items.unwrap_or_default().remove(&self.name).unwrap_or_default();
                if !left.is_empty() {
                    self.wait(DOING, &mut attempt).await?;
                }
            }
        }
        Ok(())
    }

    /// Changes an item if this holds of it; true if it did.
    pub(super) async fn update_if(
        &self,
        key: Key,
        change: &str,
        condition: &str,
        values: Values<'_>,
    ) -> Result<bool, StoreError> {
        const DOING: &str = "changing an item";
        let mut attempt = 0;
        loop {
            let update = self.client.update_item().table_name(&self.name).set_key(Some(key.clone().into_item()));
            let update = update.update_expression(change).condition_expression(condition);
            let Err(error) = update.set_expression_attribute_values(Some(named(&values))).send().await else {
                return Ok(true);
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => return Ok(false),
                Some(UpdateItemError::TransactionConflictException(_)) => self.wait(DOING, &mut attempt).await?,
                _ => return Err(failed(DOING, &error)),
            }
        }
    }

    /// Removes an item if this holds of it; true if it did.
    pub(super) async fn delete_if(&self, key: Key, condition: &str, values: Values<'_>) -> Result<bool, StoreError> {
        const DOING: &str = "removing an item";
        let mut attempt = 0;
        loop {
            let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key.clone().into_item()));
            let delete = delete.condition_expression(condition);
            let Err(error) = delete.set_expression_attribute_values(Some(named(&values))).send().await else {
                return Ok(true);
            };
            match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => return Ok(false),
                Some(DeleteItemError::TransactionConflictException(_)) => self.wait(DOING, &mut attempt).await?,
                _ => return Err(failed(DOING, &error)),
            }
        }
    }

    /// Before the next attempt at something that others are in the way of: longer each time, and never as long as they.
    pub(super) async fn wait(&self, doing: &str, attempt: &mut u32) -> Result<(), StoreError> {
        wait_up_to(LONGEST, ATTEMPTS, doing, attempt).await
    }
}

async fn wait_up_to(longest: Duration, attempts: u32, doing: &str, attempt: &mut u32) -> Result<(), StoreError> {
    *attempt += 1;
    if *attempt == attempts {
        return Err(unavailable(doing, "others were in the way all the time"));
    }
    let longest = Duration::from_millis(10 << (*attempt).min(7)).min(longest);
    let share = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    tokio::time::sleep(longest.mul_f64(share)).await;
    Ok(())
}

fn named(values: &Values<'_>) -> Item {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn client(config: &SdkConfig, throttled: &Throttled, clock: &ServiceClock) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config);
    Client::from_conf(config.interceptor(throttled.clone()).interceptor(clock.clone()).build())
}

pub(super) fn failed<E, R>(doing: &str, error: &SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    let detail = muster_aws::describe(error);
    match write::is_about_size(error.code(), error.message()) {
        true => StoreError::TooLarge { detail: format!("{doing}: {detail}") },
        false => unavailable(doing, detail),
    }
}

pub(super) fn unavailable(doing: &str, detail: impl fmt::Display) -> StoreError {
    StoreError::Unavailable { detail: format!("{doing}: {detail}"), source: None }
}

/// Counts answers that ask for fewer requests, those that the SDK waits out included.
#[derive(Clone, Debug, Default)]
struct Throttled(Arc<AtomicU64>);

impl Intercept for Throttled {
    fn name(&self) -> &'static str {
        "count throttled requests"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(answer) = context.response().filter(|answer| !answer.status().is_success()) else { return Ok(()) };
        let body = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default());
        if ["Throttling", "ThroughputExceeded", "RequestLimitExceeded"].iter().any(|name| body.contains(name)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
