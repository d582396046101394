//! A look at a server that leaves nothing behind.

use std::time::{Duration, Instant};

use redis::cmd;

use crate::error::Place;
use crate::{OpenError, Section, Settings, check};

/// What was seen of a server that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Host and port.
    pub address: String,
    /// Such as `7.0.15`; empty if it does not say.
    pub version: String,
    /// How the append-only file is written: `no` if there is none; none if it does not say.
    pub appendfsync: Option<String>,
    /// If it has an append-only file; none if it does not say.
    pub appendonly: Option<bool>,
    /// What is dropped when memory is short; none if it does not say.
    pub maxmemory_policy: Option<String>,
    /// What may lose data in the way it is set up, in words for people.
    pub warnings: Vec<String>,
    /// If there is data under the prefix, or was. It has the version that this release knows.
    pub has_data: bool,
    /// One command and its answer.
    pub round_trip: Duration,
    /// Milliseconds that this machine's clock is ahead of the server's; negative if it is behind.
    pub clock_ahead_ms: i64,
}

/// As [`open`](crate::open), but writes nothing, so that it cannot say whether the user may write.
pub async fn inspect(
    settings: &Settings,
    section: Section,
    schema_key: &str,
    schema: u32,
) -> Result<Inspection, OpenError> {
    let place = Place { settings, section };
    let link = place.link()?;
    let failed = |error| place.failed(error);
    let facts = check::facts(&link).await.map_err(failed)?;
    let warnings = check::judge(&facts, &place)?;
    let found: Option<String> = link.run(cmd("GET").arg(schema_key)).await.map_err(failed)?;
    if let Some(found) = &found {
        check::schema(found, schema, &place)?;
    }
    let begun = Instant::now();
    let clock_ahead_ms = link.clock_ahead_ms().await.map_err(failed)?;
    let round_trip = begun.elapsed();
    Ok(Inspection {
        address: place.address(),
        version: facts.version,
        appendonly: facts.appendonly,
        appendfsync: facts.appendfsync,
        maxmemory_policy: facts.policy,
        warnings,
        has_data: found.is_some(),
        round_trip,
        clock_ahead_ms,
    })
}
