//! Between a [`Session`] and its row.

use muster_session::Session;
use rusqlite::{Row, ToSql};

use crate::StoreError;
use crate::codec::{self, Columns};

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
        codec::decode(&self.record, self.version, self.lease_until)
    }
}

/// `?1` to `?11` of the statements that write a session.
pub(super) fn parameters(columns: &Columns) -> [&dyn ToSql; 11] {
    [
        &columns.id,
        &columns.version,
        &columns.state,
        &columns.fencing,
        &columns.lease_owner,
        &columns.lease_until,
        &columns.stop_requested,
        &columns.due_at,
        &columns.deadline,
        &columns.retire_at,
        &columns.record,
    ]
}
