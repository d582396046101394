//! The line for places, for the operator of the fleet.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Operator;
use super::error::{ApiError, Message};
use super::state::ApiState;
use crate::roles::{lessons, line::Standing};

/// Who has how many places, and who waits for one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FleetLine {
    /// Bots that the fleet can have now.
    capacity: u64,
    /// Bots that are with a worker.
    running: u64,
    /// Bots in line that more workers would run: what keeps them is the size of the fleet.
    wanting: u64,
    /// How long a bot keeps its place, in the mean.
    stay_seconds: u64,
    /// So long before its time a scheduled bot sets out, at the latest; null until enough is known.
    lead_seconds: Option<f64>,
    /// Those that have or want something.
    tenants: Vec<TenantInLine>,
}

/// One tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantInLine {
    tenant: String,
    /// Bots in calls and on their way.
    taken: u64,
    /// Bots that wait in line.
    held: u64,
    /// Most bots at a time; null for as many as the fleet has.
    limit: Option<u64>,
    /// Its part of the fleet when everybody wants more than there is.
    weight: u32,
}

/// The line for places
///
/// For the operator: a key of the tenant `default`.
#[utoipa::path(
    get, path = "/fleet/line", tag = "extensions",
    responses((status = 200, body = FleetLine), (status = 403, body = Message))
)]
pub(crate) async fn line(State(state): State<ApiState>, _: Operator) -> Result<Json<FleetLine>, ApiError> {
    let backend = state.backend();
    let Standing { line, running } = Standing::look(backend).await?;
    let learned = lessons::learned(&*backend.store).await?;
    let wanting = line.wanting();
    let tenants = line.tenants.into_iter().map(|(tenant, share)| TenantInLine {
        tenant: tenant.to_string(),
        taken: share.taken,
        held: share.held,
        limit: share.limit,
        weight: share.weight,
    });
    Ok(Json(FleetLine {
        capacity: line.capacity,
        running,
        wanting,
        stay_seconds: learned.stay().as_secs(),
        lead_seconds: learned.lead().map(|lead| lead.as_secs_f64()),
        tenants: tenants.collect(),
    }))
}
