//! What the backends share: between a [`Session`] and what is stored of it, and where a page ended.

use std::fmt::Display;
use std::str::FromStr;

use muster_session::{Session, State, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::StoreError;

/// What follows from a record and is stored beside it, to find it by. Times are milliseconds since the epoch.
pub(crate) struct Columns {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) state: &'static str,
    pub(crate) fencing: i64,
    pub(crate) lease_owner: Option<String>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) stop_requested: bool,
    pub(crate) due_at: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) retire_at: Option<i64>,
    pub(crate) record: String,
}

impl Columns {
    pub(crate) fn of(session: &Session) -> Self {
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        Self {
            id: session.id.to_string(),
            version: session.version.cast_signed(),
            state: session.state.as_str(),
            fencing: session.fencing.cast_signed(),
            lease_owner: session.lease.as_ref().map(|lease| lease.owner.to_string()),
            lease_until: millis(session.lease_until()),
            stop_requested: session.stop_requested.is_some(),
            due_at: millis(session.join_at.filter(|_| session.state == State::Scheduled)),
            deadline: millis(session.deadline()),
            retire_at: session.state.is_terminal().then(|| session.expires_at.as_millis()),
            record: to_json(session),
        }
    }
}

/// The record with what may have run ahead of it.
pub(crate) fn decode(record: &str, version: i64, lease_until: Option<i64>) -> Result<Session, StoreError> {
    let mut session: Session = from_json("a session", record)?;
    session.version = version.cast_unsigned();
    if let (Some(lease), Some(until)) = (&mut session.lease, lease_until) {
        lease.until = Timestamp::from_millis(until);
    }
    Ok(session)
}

/// Reads no more of the record than it has to: most of those looked at may not be wanted.
pub(crate) fn has_attributes(record: &str, wanted: &[(String, Value)]) -> Result<bool, StoreError> {
    #[derive(Deserialize)]
    struct Attributes {
        custom_attributes: Map<String, Value>,
    }
    if wanted.is_empty() {
        return Ok(true);
    }
    let Attributes { custom_attributes } = from_json("a session", record)?;
    Ok(wanted.iter().all(|(key, value)| custom_attributes.get(key) == Some(value)))
}

/// Largest page.
pub(crate) const PAGE_MAX: u32 = 1_000;

/// The first of what is found, as many as a page may have, and where the next page begins if there is more.
pub(crate) fn page<T>(
    found: impl IntoIterator<Item = Result<(Cursor, T), StoreError>>,
    limit: u32,
) -> Result<(Vec<T>, Option<String>), StoreError> {
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let (mut page, mut last) = (Vec::new(), None);
    for entry in found {
        let (cursor, entry) = entry?;
        // One too many: that is how it is known that there is a next page.
        if page.len() == limit {
            return Ok((page, last.map(|cursor: Cursor| cursor.write())));
        }
        page.push(entry);
        last = Some(cursor);
    }
    Ok((page, None))
}

/// Where a page ended: the place of its last record.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) created_at: i64,
    pub(crate) seq: i64,
}

impl Cursor {
    pub(crate) fn write(&self) -> String {
        format!("{}-{}", self.created_at, self.seq)
    }

    /// Only what [`write`](Self::write) makes.
    pub(crate) fn read(text: &str) -> Option<Self> {
        // A time before 1970 has a minus of its own.
        let (created_at, seq) = text.rsplit_once('-')?;
        let cursor = Self { created_at: created_at.parse().ok()?, seq: seq.parse().ok()? };
        (cursor.write() == text).then_some(cursor)
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is stored is plain data with text keys")
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

pub(crate) fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(what, error))
}

pub(crate) fn corrupt(what: &str, error: impl Display) -> StoreError {
    StoreError::Corrupt { detail: format!("{what}: {error}") }
}
