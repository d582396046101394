//! The size of the fleet, for its operator and for KEDA.

use axum::Json;
use axum::extract::State;

use super::auth::Measurer;
use super::error::{ApiError, Message};
use super::state::ApiState;
use crate::roles::autoscale::status::Status;

/// How many workers there are, and how many there should be
///
/// For the operator: a key of the tenant `default`, in `Authorization: Token …` or, as KEDA's `metrics-api` sends it, in
/// `X-API-Key`. Every figure is there in every answer, whatever the backends and the actuator are. What cannot be read is no
/// figure: then the answer is 503, and nothing is to be changed. Asking changes nothing.
#[utoipa::path(
    get, path = "/fleet/scaling", tag = "extensions",
    responses((status = 200, body = Status), (status = 403, body = Message), (status = 503, body = Message))
)]
pub(crate) async fn scaling(State(state): State<ApiState>, _: Measurer) -> Result<Json<Status>, ApiError> {
    match state.scaling.status().await {
        Ok(status) => Ok(Json(status)),
        Err(detail) => Err(ApiError::unavailable("The fleet could not be looked at; nothing is to be changed", detail)),
    }
}
