//! Between a [`Session`] and its row.

use std::fmt::Display;
use std::str::FromStr;

use muster_session::{Session, State, Timestamp};
use rusqlite::{Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// What [`Raw::read`] needs to be selected, in this order.
pub(super) const COLUMNS: &str = "record, version, lease_until";

/// A session as it is stored.
pub(super) struct Raw {
    record: String,
    version: i64,
    lease_until: Option<i64>,
}

impl Raw {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { record: row.get(0)?, version: row.get(1)?, lease_until: row.get(2)? })
    }

    pub(super) fn json(&self) -> &str {
        &self.record
    }

    pub(super) fn decode(self) -> Result<Session, StoreError> {
        let mut session: Session = from_json("a session", &self.record)?;
        session.version = self.version.cast_unsigned();
        if let (Some(lease), Some(until)) = (&mut session.lease, self.lease_until) {
            lease.until = Timestamp::from_millis(until);
        }
        Ok(session)
    }
}

/// The columns that follow from a record and change with it.
pub(super) struct Columns {
    pub(super) id: String,
    version: i64,
    state: &'static str,
    fencing: i64,
    lease_owner: Option<String>,
    lease_until: Option<i64>,
    stop_requested: bool,
    due_at: Option<i64>,
    deadline: Option<i64>,
    retire_at: Option<i64>,
    record: String,
}

impl Columns {
    pub(super) fn of(session: &Session) -> Self {
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

    /// `?1` to `?11` of the statements that write a session.
    pub(super) fn parameters(&self) -> [&dyn ToSql; 11] {
        [
            &self.id,
            &self.version,
            &self.state,
            &self.fencing,
            &self.lease_owner,
            &self.lease_until,
            &self.stop_requested,
            &self.due_at,
            &self.deadline,
            &self.retire_at,
            &self.record,
        ]
    }
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is stored is plain data with text keys")
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

pub(super) fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(what, error))
}

pub(super) fn corrupt(what: &str, error: impl Display) -> StoreError {
    StoreError::Corrupt { detail: format!("{what}: {error}") }
}
