//! What parts of the fleet remember.

use super::item::{Key, from_json, n, number, to_json};
use super::table::Table;
use super::write::Writes;
use crate::{Document, StoreError};

pub(super) async fn get(table: &Table, name: &str) -> Result<Option<Document>, StoreError> {
    let Some(item) = table.get(Key::document(name)).await? else { return Ok(None) };
    let (version, body) = (number(&item, "ver")?, from_json("a document", &item, "doc")?);
    Ok(Some(Document { name: name.to_owned(), version, body }))
}

/// A transaction of one, for the token: one that is sent twice is carried out once, and not refused the second time.
pub(super) async fn put(table: &Table, mut document: Document) -> Result<Document, StoreError> {
    let mut values = vec![(":new", n(document.version + 1)), (":doc", to_json(&document.body))];
    let condition = if document.version == 0 {
        "attribute_not_exists(pk)"
    } else {
        values.push((":ver", n(document.version)));
        "ver = :ver"
    };
    let mut writes = Writes::new(&table.name);
    writes.update(Key::document(&document.name), "SET ver = :new, doc = :doc".into(), condition.into(), values);
    if table.transact(writes.into_vec()).await?.is_err() {
        return Err(StoreError::Conflict);
    }
    document.version += 1;
    Ok(document)
}
