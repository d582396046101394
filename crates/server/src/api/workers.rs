//! The workers of the fleet, for its operator.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use muster_session::{Timestamp, WorkerId};
use muster_store::KnownWorker;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Operator;
use super::error::{ApiError, Message};
use super::state::ApiState;

/// Silent for longer than this, a worker is taken for gone. Twice the longest heartbeat that can be set, and some.
const SILENCE: Duration = Duration::from_secs(150);

/// Every worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

/// One run of a worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    worker_id: String,
    /// Name of its machine.
    host: String,
    version: String,
    /// `active`; `draining` if it takes no more bots; `lost` if it was not heard of for 150 s.
    status: &'static str,
    /// Most bots at a time.
    capacity: u32,
    /// Bots it has now.
    running: u32,
    /// Its bots are simulated, for load tests: they attend sandbox meetings only.
    simulated: bool,
    started_at: String,
    seen_at: String,
}

fn worker(known: KnownWorker, now: Timestamp) -> Worker {
    let KnownWorker { record, draining } = known;
    let status = match draining {
        _ if now.since(record.seen_at) > SILENCE => "lost",
        true => "draining",
        false => "active",
    };
    Worker {
        worker_id: record.id.to_string(),
        host: record.host,
        version: record.version,
        status,
        capacity: record.capacity,
        running: record.running,
        simulated: record.simulated,
        started_at: record.started_at.to_rfc3339(),
        seen_at: record.seen_at.to_rfc3339(),
    }
}

/// The workers
///
/// For the operator: a key of the tenant `default`. A worker that ends is gone from the list; one that died is `lost`, and
/// forgotten after an hour.
#[utoipa::path(
    get, path = "/workers", tag = "extensions",
    responses((status = 200, body = Workers), (status = 403, body = Message))
)]
pub(crate) async fn list(State(state): State<ApiState>, _: Operator) -> Result<Json<Workers>, ApiError> {
    let now = state.clock.now();
    let workers = state.store.workers().await?.into_iter().map(|known| worker(known, now)).collect();
    Ok(Json(Workers { workers }))
}

/// Makes a worker take no more bots
///
/// Running calls go on, and the process stays until it is stopped; a new run of it takes bots again. The worker hears of it
/// with its next heartbeat. Repeating it is harmless.
#[utoipa::path(
    post, path = "/workers/{worker_id}/drain", tag = "extensions", params(("worker_id" = String, Path)),
    responses((status = 200, body = Message), (status = 403, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn drain(
    State(state): State<ApiState>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Json<Message>, ApiError> {
    if !state.store.drain_worker(&WorkerId::new(id)).await? {
        return Err(ApiError::not_found("There is no such worker"));
    }
    Ok(Json(Message { message: "The worker will take no more bots".to_owned() }))
}
