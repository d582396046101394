//! Addresses that get the webhooks of every bot of a tenant.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use muster_hooks::deliver::TestResult;
use muster_hooks::sign;
use muster_session::{EndpointId, TenantId, Timestamp};
use muster_store::{Disabled, Endpoint, EndpointSecret, StoreError};
use uuid::Uuid;

use super::super::auth::Caller;
use super::super::body;
use super::super::error::{ApiError, Message};
use super::super::openapi::requests::{ChangeEndpoint, CreateEndpoint, RotateSecret};
use super::super::state::ApiState;
use answer::{EndpointItem, EndpointWithSecret, Endpoints, Tested};
use request::{Change, New, overlap};

/// Endpoints of a tenant at the most: each event becomes a delivery to each.
const MAX_ENDPOINTS: usize = 50;
/// Secrets that sign at a time at the most.
const MAX_SECRETS: usize = 10;
/// Races are with deliveries, which note how an endpoint is doing; they are short.
const CONFLICT_RETRIES: u32 = 8;

/// The caller's own endpoint of the path: another tenant's is as unknown as none.
#[derive(Debug)]
pub(crate) struct OwnEndpoint {
    tenant: TenantId,
    endpoint: Endpoint,
}

impl FromRequestParts<ApiState> for OwnEndpoint {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| no_such_endpoint())?;
        let id = id.parse().map_err(|_| no_such_endpoint())?;
        let endpoint = own(state, &caller.tenant, id).await?;
        Ok(Self { tenant: caller.tenant, endpoint })
    }
}

async fn own(state: &ApiState, tenant: &TenantId, id: EndpointId) -> Result<Endpoint, ApiError> {
    let endpoint = state.store.endpoint(id).await?;
    endpoint.filter(|endpoint| endpoint.tenant == *tenant).ok_or_else(no_such_endpoint)
}

fn no_such_endpoint() -> ApiError {
    ApiError::not_found("There is no such webhook endpoint")
}

/// The tenant's webhook endpoints
#[utoipa::path(get, path = "/webhook_endpoints", tag = "webhooks", responses((status = 200, body = Endpoints)))]
pub(crate) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<Json<Endpoints>, ApiError> {
    let now = state.clock.now();
    let endpoints = state.store.endpoints(&caller.tenant).await?;
    let webhook_endpoints = endpoints.into_iter().map(|endpoint| EndpointItem::new(endpoint, now)).collect();
    Ok(Json(Endpoints { webhook_endpoints }))
}

/// Makes a webhook endpoint
///
/// It gets the events of every bot of the tenant from now on. The secret is in this answer and in no other.
#[utoipa::path(
    post, path = "/webhook_endpoints", tag = "webhooks", request_body = CreateEndpoint,
    responses((status = 201, body = EndpointWithSecret), (status = 400, body = Message), (status = 409, body = Message))
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<EndpointWithSecret>), ApiError> {
    let request = body::read_json(body).await?;
    let new = New::parse(&request, &state.guard).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    if state.store.endpoints(&caller.tenant).await?.len() >= MAX_ENDPOINTS {
        return Err(too_many());
    }
    let (now, secret) = (state.clock.now(), new_secret()?);
    let endpoint = Endpoint {
        id: EndpointId::from_uuid(Uuid::now_v7()),
        tenant: caller.tenant.clone(),
        version: 0,
        url: new.url,
        description: new.description,
        events: new.events,
        secrets: vec![EndpointSecret { secret: secret.clone(), until: None }],
        created_at: now,
        failing_since: None,
        disabled: None,
    };
    let endpoint = state.store.put_endpoint(endpoint).await?;
    state.backend().endpoints.forget(&caller.tenant);
    // Of several that were made at once, the oldest stay.
    let all = state.store.endpoints(&caller.tenant).await?;
    if all.iter().skip(MAX_ENDPOINTS).any(|surplus| surplus.id == endpoint.id) {
        state.store.delete_endpoint(&caller.tenant, endpoint.id).await?;
        state.backend().endpoints.forget(&caller.tenant);
        return Err(too_many());
    }
    tracing::info!(endpoint = %endpoint.id, tenant = %caller.tenant, "webhook endpoint made");
    let answer = EndpointWithSecret { endpoint: EndpointItem::new(endpoint, now), secret };
    Ok((StatusCode::CREATED, Json(answer)))
}

fn too_many() -> ApiError {
    ApiError::conflict(format!("webhook_endpoints: expected at most {MAX_ENDPOINTS}, and there are as many"))
}

/// A webhook endpoint
#[utoipa::path(
    get, path = "/webhook_endpoints/{endpoint_id}", tag = "webhooks", params(("endpoint_id" = String, Path)),
    responses((status = 200, body = EndpointItem), (status = 404, body = Message))
)]
pub(crate) async fn show(State(state): State<ApiState>, own: OwnEndpoint) -> Json<EndpointItem> {
    Json(EndpointItem::new(own.endpoint, state.clock.now()))
}

/// Changes a webhook endpoint
///
/// What is pending for it goes to its new address. One that is enabled again gets what happens from then on; a replay sends it the
/// rest.
#[utoipa::path(
    patch, path = "/webhook_endpoints/{endpoint_id}", tag = "webhooks", params(("endpoint_id" = String, Path)),
    request_body = ChangeEndpoint,
    responses((status = 200, body = EndpointItem), (status = 400, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn change(
    State(state): State<ApiState>,
    own: OwnEndpoint,
    body: Body,
) -> Result<Json<EndpointItem>, ApiError> {
    let request = body::read_json(body).await?;
    let change =
        Change::parse(&request, &state.guard).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    let endpoint = rewrite(&state, own, |endpoint, now| {
        change.apply(endpoint, now);
        Ok(())
    })
    .await?;
    Ok(Json(EndpointItem::new(endpoint, state.clock.now())))
}

/// Removes a webhook endpoint
///
/// What is pending for it has failed.
#[utoipa::path(
    delete, path = "/webhook_endpoints/{endpoint_id}", tag = "webhooks", params(("endpoint_id" = String, Path)),
    responses((status = 200, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn remove(State(state): State<ApiState>, own: OwnEndpoint) -> Result<Json<Message>, ApiError> {
    if !state.store.delete_endpoint(&own.tenant, own.endpoint.id).await? {
        return Err(no_such_endpoint());
    }
    state.backend().endpoints.forget(&own.tenant);
    tracing::info!(endpoint = %own.endpoint.id, tenant = %own.tenant, "webhook endpoint removed");
    Ok(Json(Message { message: "The webhook endpoint was removed".to_owned() }))
}

/// Gives a webhook endpoint a new secret
///
/// It signs at once. The one before it signs too for `overlap_seconds`, so that receivers can change over. The new secret is in this
/// answer and in no other.
#[utoipa::path(
    post, path = "/webhook_endpoints/{endpoint_id}/rotate_secret", tag = "webhooks", params(("endpoint_id" = String, Path)),
    request_body = RotateSecret,
    responses(
        (status = 200, body = EndpointWithSecret), (status = 400, body = Message), (status = 404, body = Message),
        (status = 409, body = Message),
    )
)]
pub(crate) async fn rotate_secret(
    State(state): State<ApiState>,
    own: OwnEndpoint,
    body: Body,
) -> Result<Json<EndpointWithSecret>, ApiError> {
    let request = body::read_json(body).await?;
    let overlap = overlap(&request).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    let secret = new_secret()?;
    let endpoint = rewrite(&state, own, |endpoint, now| rotate(endpoint, &secret, overlap, now)).await?;
    tracing::info!(endpoint = %endpoint.id, tenant = %endpoint.tenant, "secret of a webhook endpoint rotated");
    Ok(Json(EndpointWithSecret { endpoint: EndpointItem::new(endpoint, state.clock.now()), secret }))
}

/// Sends a webhook endpoint the event `webhook.test`, once
///
/// Whatever events it takes, and even while it is disabled. Neither the ledger nor the endpoint's record of failures has it.
#[utoipa::path(
    post, path = "/webhook_endpoints/{endpoint_id}/test", tag = "webhooks", params(("endpoint_id" = String, Path)),
    responses((status = 200, body = Tested), (status = 404, body = Message))
)]
pub(crate) async fn test(State(state): State<ApiState>, own: OwnEndpoint) -> Json<Tested> {
    let TestResult { http_status, latency_ms, detail } = state.sender.test(&own.endpoint, state.clock.now()).await;
    let delivered = http_status.is_some_and(|status| (200..300).contains(&status));
    Json(Tested { delivered, http_status, latency_ms, detail })
}

/// The new secret comes first; those that sign no more are dropped.
fn rotate(endpoint: &mut Endpoint, secret: &str, overlap: Duration, now: Timestamp) -> Result<(), ApiError> {
    let end = now + overlap;
    for old in &mut endpoint.secrets {
        old.until = Some(old.until.map_or(end, |until| until.min(end)));
    }
    endpoint.secrets.retain(|old| old.until.is_some_and(|until| now < until));
    if endpoint.secrets.len() >= MAX_SECRETS {
        return Err(ApiError::conflict(format!(
            "expected at most {MAX_SECRETS} secrets at a time, and there are as many: a rotation with overlap_seconds 0 ends them"
        )));
    }
    endpoint.secrets.insert(0, EndpointSecret { secret: secret.to_owned(), until: None });
    Ok(())
}

/// Compare-and-swap of an endpoint, again from the start when somebody else wrote in between.
async fn rewrite(
    state: &ApiState,
    own: OwnEndpoint,
    edit: impl Fn(&mut Endpoint, Timestamp) -> Result<(), ApiError>,
) -> Result<Endpoint, ApiError> {
    let OwnEndpoint { tenant, mut endpoint } = own;
    for _ in 0..CONFLICT_RETRIES {
        let id = endpoint.id;
        edit(&mut endpoint, state.clock.now())?;
        match state.store.put_endpoint(endpoint).await {
            Err(StoreError::Conflict) => endpoint = self::own(state, &tenant, id).await?,
            written => {
                state.backend().endpoints.forget(&tenant);
                return Ok(written?);
            }
        }
    }
    Err(StoreError::Conflict.into())
}

fn new_secret() -> Result<String, ApiError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(sign::secret_of(&bytes))
}

impl Change {
    fn apply(&self, endpoint: &mut Endpoint, now: Timestamp) {
        if let Some(url) = self.url.as_ref().filter(|url| **url != endpoint.url) {
            endpoint.url.clone_from(url);
            // How the old one was doing says nothing of this one.
            endpoint.failing_since = None;
        }
        if let Some(events) = &self.events {
            endpoint.events.clone_from(events);
        }
        if let Some(description) = &self.description {
            endpoint.description.clone_from(description);
        }
        match self.disabled {
            Some(true) if endpoint.disabled.is_none() => {
                endpoint.disabled = Some(Disabled { at: now, reason: "disabled by request".to_owned() });
            }
            Some(false) => (endpoint.disabled, endpoint.failing_since) = (None, None),
            Some(true) | None => {}
        }
    }
}
