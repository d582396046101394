//! API keys: few, so they are together.

use aws_sdk_dynamodb::types::ReturnValue;

use super::item::{API_KEYS, Key, from_json, s, to_json};
use super::table::{Select, Table, failed};
use crate::{ApiKey, StoreError};

pub(super) async fn put(table: &Table, key: &ApiKey) -> Result<(), StoreError> {
    let mut item = Key::api_key(&key.hash).into_item();
    item.insert("doc".into(), to_json(key));
    let put = table.client.put_item().table_name(&table.name).set_item(Some(item)).send().await;
    put.map_err(|error| failed("storing a key", &error))?;
    Ok(())
}

pub(super) async fn by_hash(table: &Table, hash: &str) -> Result<Option<ApiKey>, StoreError> {
    let item = table.get(Key::api_key(hash)).await?;
    item.map(|item| from_json("a key", &item, "doc")).transpose()
}

pub(super) async fn all(table: &Table) -> Result<Vec<ApiKey>, StoreError> {
    let select =
        Select { condition: "pk = :pk".into(), values: [(":pk".to_owned(), s(API_KEYS))].into(), ..Select::default() };
    let items = table.select(&select, usize::MAX).await?;
    let mut keys = items.iter().map(|item| from_json("a key", item, "doc")).collect::<Result<Vec<ApiKey>, _>>()?;
    keys.sort_by(|one, other| (one.created_at, &one.hash).cmp(&(other.created_at, &other.hash)));
    Ok(keys)
}

pub(super) async fn delete(table: &Table, hash: &str) -> Result<bool, StoreError> {
    let delete = table.client.delete_item().table_name(&table.name).set_key(Some(Key::api_key(hash).into_item()));
    let answer = delete.return_values(ReturnValue::AllOld).send().await;
    Ok(answer.map_err(|error| failed("removing a key", &error))?.attributes.is_some_and(|old| !old.is_empty()))
}
