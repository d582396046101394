//! The workers of the fleet, for its operator.

use axum::Json;
use axum::extract::{Path, State};
use muster_fleet::cost::Cost;
use muster_session::{Timestamp, WorkerId};
use muster_store::KnownWorker;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Operator;
use super::error::{ApiError, Message};
use super::state::ApiState;
use crate::roles::worker::costs;

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
    /// `active`; `draining` if it takes no more bots; `lost` if it was not heard of for 30 s, or three of its heartbeats and a second if that is longer.
    status: &'static str,
    /// Most bots at a time.
    capacity: u32,
    /// Bots it has now.
    running: u32,
    /// How many more it would take now.
    room: u32,
    /// What keeps the next bot out, or will first: `slots`, `memory`, `cpu`, `descriptors`, `shared_memory`, or
    /// `available_memory` if others use the memory of the machine.
    limit: Option<String>,
    /// Of the CPU that its bots may use, how much they do.
    cpu_percent: Option<u8>,
    /// Of the memory that its bots may use, how much is held for them.
    memory_percent: Option<u8>,
    /// It has no bot since then.
    idle_since: Option<String>,
    /// From the start of its process until it took bots.
    launch_ms: Option<u64>,
    /// What is held for its bots, the largest 32.
    bots: Vec<BotCost>,
    /// Its bots are simulated, for load tests: they attend sandbox meetings only.
    simulated: bool,
    started_at: String,
    seen_at: String,
}

/// What is held for a bot of the memory and the cores of its machine: what its kind costs at first, then what it was measured
/// to use, and of memory no less than its kind is known to cost.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BotCost {
    bot_id: String,
    /// Its platform, and `live` if it sends sound or words away during the call, else `audio`.
    kind: String,
    memory_bytes: u64,
    /// Thousandths of a core.
    cpu_millis: u64,
}

/// What a worker tells of its bots.
#[derive(Debug, Default, Deserialize)]
struct Told {
    limit: Option<String>,
    #[serde(default)]
    costs: Vec<BotCost>,
}

/// What bots cost by their kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Costs {
    costs: Vec<KindCost>,
}

/// What 95 % of the bots of a kind did not exceed: the most memory that they had in their calls, and their cores on average.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KindCost {
    /// Platform and mode, such as `zoom/live`.
    kind: String,
    memory_bytes: u64,
    /// Thousandths of a core.
    cpu_millis: u64,
    /// How many it was learned from; earlier ones count less.
    bots: u32,
}

fn worker(known: KnownWorker, now: Timestamp) -> Worker {
    let KnownWorker { record, draining } = known;
    let status = match draining {
        _ if record.is_lost(now) => "lost",
        true => "draining",
        false => "active",
    };
    // It may not have heard yet that it drains.
    let room = if status == "active" { record.room() } else { 0 };
    let told: Told = serde_json::from_value(record.bots).unwrap_or_default();
    Worker {
        worker_id: record.id.to_string(),
        host: record.host,
        version: record.version,
        status,
        capacity: record.capacity,
        running: record.running,
        room,
        limit: told.limit,
        cpu_percent: record.cpu_percent,
        memory_percent: record.memory_percent,
        idle_since: record.idle_since.map(|at| at.to_rfc3339()),
        launch_ms: record.launch_ms,
        bots: told.costs,
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

/// What bots cost
///
/// As all workers measured it, of every kind that enough is known of. For the operator: a key of the tenant `default`.
#[utoipa::path(
    get, path = "/workers/costs", tag = "extensions",
    responses((status = 200, body = Costs), (status = 403, body = Message))
)]
pub(crate) async fn costs(State(state): State<ApiState>, _: Operator) -> Result<Json<Costs>, ApiError> {
    let book = state.store.document(costs::COSTS).await?.map(|known| costs::read(&known)).unwrap_or_default();
    let kind = |(kind, cost, bots): (&str, Cost, u32)| KindCost {
        kind: kind.to_owned(),
        memory_bytes: cost.memory_bytes,
        cpu_millis: cost.cpu_millis,
        bots,
    };
    Ok(Json(Costs { costs: book.known(Cost::PLANNED).map(kind).collect() }))
}

/// Makes a worker take no more bots
///
/// Running calls go on, for `worker.drain_deadline` at most, and the process stays until it is stopped, unless it is one that
/// ends when it is idle; a new run of it takes bots again. The worker hears of it
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
