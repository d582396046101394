//! What parts of the fleet remember.

use rusqlite::{Connection, OptionalExtension, params};

use crate::codec::{from_json, to_json};
use crate::{Document, StoreError};

pub(super) fn get(c: &Connection, name: String) -> Result<Option<Document>, StoreError> {
    let mut select = c.prepare_cached("SELECT version, body FROM document WHERE name = ?1")?;
    let found = select.query_row([&name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).optional()?;
    let Some((version, body)) = found else { return Ok(None) };
    Ok(Some(Document { name, version: version.cast_unsigned(), body: from_json("a document", &body)? }))
}

pub(super) fn put(c: &Connection, mut document: Document) -> Result<Document, StoreError> {
    let (read, body) = (document.version.cast_signed(), to_json(&document.body));
    let sql = if read == 0 {
        "INSERT INTO document (name, version, body) VALUES (?1, ?2 + 1, ?3) ON CONFLICT (name) DO NOTHING"
    } else {
        "UPDATE document SET version = version + 1, body = ?3 WHERE name = ?1 AND version = ?2"
    };
    if c.prepare_cached(sql)?.execute(params![document.name, read, body])? == 0 {
        return Err(StoreError::Conflict);
    }
    document.version += 1;
    Ok(document)
}
