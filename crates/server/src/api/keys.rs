//! API keys of all tenants, for the operator.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use muster_session::TenantId;
use muster_store::{ApiKey, SessionStore};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::auth::Operator;
use super::body;
use super::error::{ApiError, Message};
use super::fields::{Fields, Problems};
use super::openapi::requests::CreateKey;
use super::query::Query;
use super::state::ApiState;
use crate::keys;

/// Keys of all tenants at the most: a list has them all. Several that are made at once may be a few more.
const MAX_KEYS: usize = 5_000;
const MAX_NAME_CHARS: usize = 100;

/// Keys of all tenants, or of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    keys: Vec<KeyItem>,
}

/// A key, but not what is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyItem {
    key_id: String,
    /// What the key begins with.
    prefix: String,
    tenant: String,
    /// For people; empty without one. `MUSTER_API_KEY` was given to the server so, `first start` was made by it.
    name: String,
    created_at: String,
}

impl KeyItem {
    fn new(key: ApiKey) -> Self {
        Self {
            key_id: keys::id(&key),
            prefix: key.prefix,
            tenant: key.tenant.to_string(),
            name: key.name,
            created_at: key.created_at.to_rfc3339(),
        }
    }
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewKey {
    #[serde(flatten)]
    item: KeyItem,
    /// What is sent as `Authorization: Token <key>`. It is in this answer and in no other.
    key: String,
}

/// A valid request for a key.
#[derive(Debug)]
struct New {
    tenant: TenantId,
    name: String,
}

impl New {
    fn parse(request: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
        let p = &mut problems;
        fields.require("tenant", keys::TENANT_NAME, p);
        let tenant = fields.value("tenant").and_then(|given| {
            let name = given.as_str().filter(|name| keys::is_tenant_name(name));
            if name.is_none() {
                p.expected("tenant", keys::TENANT_NAME, given);
            }
            name.map(TenantId::new)
        });
        let name = fields.text("name", MAX_NAME_CHARS, p).unwrap_or_default().trim().to_owned();
        match tenant {
            Some(tenant) => problems.none_or(Self { tenant, name }),
            None => Err(problems),
        }
    }
}

/// The API keys of all tenants, oldest first
///
/// For the operator: a key of the tenant `default`. No answer but the one that made it has a key itself: they are kept as hashes.
#[utoipa::path(
    get, path = "/keys", tag = "extensions",
    params(("tenant" = Option<String>, Query, description = "Only of this tenant")),
    responses((status = 200, body = Keys), (status = 403, body = Message))
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: Operator,
    RawQuery(raw): RawQuery,
) -> Result<Json<Keys>, ApiError> {
    let query = Query::parse(raw.as_deref());
    let mut keys = state.store.keys().await?;
    if let Some(tenant) = query.get("tenant") {
        keys.retain(|key| key.tenant.as_str() == tenant);
    }
    Ok(Json(Keys { keys: keys.into_iter().map(KeyItem::new).collect() }))
}

/// Makes an API key
///
/// For the operator: a key of the tenant `default`. A tenant is made by making a key of it, and needs nothing else; a second key of
/// `default` is another operator's. The key is in this answer and in no other.
#[utoipa::path(
    post, path = "/keys", tag = "extensions", request_body = CreateKey,
    responses(
        (status = 201, body = NewKey), (status = 400, body = Message), (status = 403, body = Message),
        (status = 409, description = "There are as many keys as there may be", body = Message),
    )
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    _: Operator,
    body: Body,
) -> Result<(StatusCode, Json<NewKey>), ApiError> {
    let request = body::read_json(body).await?;
    let New { tenant, name } = New::parse(&request).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    if state.store.keys().await?.len() >= MAX_KEYS {
        let message = format!("keys: expected at most {MAX_KEYS}, and there are as many: delete some first");
        return Err(ApiError::conflict(message));
    }
    let key = keys::generate().map_err(ApiError::internal)?;
    let record = keys::record(&key, tenant, &name, state.clock.now());
    state.store.put_key(&record).await?;
    tracing::info!(key = keys::id(&record), tenant = %record.tenant, "API key made");
    Ok((StatusCode::CREATED, Json(NewKey { item: KeyItem::new(record), key })))
}

/// Deletes an API key
///
/// For the operator: a key of the tenant `default`. The key is refused from then on, in every process. Bots, webhooks and data of its
/// tenant stay, and links to media that were given out work until they end. The last key of `default` cannot be deleted.
#[utoipa::path(
    delete, path = "/keys/{key}", tag = "extensions",
    params(("key" = String, Path, description = "Its `key_id`, or its `prefix` if no other key has the same")),
    responses(
        (status = 200, body = Message), (status = 403, body = Message), (status = 404, body = Message),
        (status = 409, description = "It is the last key of `default`; or several have this prefix", body = Message),
    )
)]
pub(crate) async fn remove(
    State(state): State<ApiState>,
    _: Operator,
    named: Result<Path<String>, PathRejection>,
) -> Result<Json<Message>, ApiError> {
    let Path(named) = named.map_err(|_| no_such_key())?;
    let all = state.store.keys().await?;
    let key = find(&all, &named)?;
    if is_of_operator(key) && all.iter().filter(|key| is_of_operator(key)).count() == 1 {
        return Err(last());
    }
    let (store, doomed) = (Arc::clone(&state.store), key.clone());
    // A task of its own, for it has to come to its end also if the caller does not wait for it.
    let done = tokio::spawn(async move { delete(&*store, &doomed).await }.in_current_span()).await;
    done.map_err(ApiError::internal)??;
    Ok(Json(Message { message: format!("The key {} of the tenant {} was deleted", keys::id(key), key.tenant) }))
}

/// Deletes a key, and puts one of the operator back if no other is known to be left.
async fn delete(store: &dyn SessionStore, key: &ApiKey) -> Result<(), ApiError> {
    let deleted = store.delete_key(&key.hash).await;
    if matches!(deleted, Ok(false)) {
        return Err(no_such_key());
    }
    // The others may have been deleted meanwhile, each by somebody who saw this one.
    let left = match deleted {
        Ok(_) if is_of_operator(key) => store.keys().await.map(|all| all.iter().any(is_of_operator)),
        other => other,
    };
    let refused = match left {
        Ok(true) => {
            tracing::info!(key = keys::id(key), tenant = %key.tenant, "API key deleted");
            return Ok(());
        }
        Ok(false) => last(),
        Err(error) => error.into(),
    };
    if is_of_operator(key) {
        store.put_key(key).await?;
    }
    Err(refused)
}

fn find<'k>(all: &'k [ApiKey], named: &str) -> Result<&'k ApiKey, ApiError> {
    if let Some(key) = all.iter().find(|key| keys::id(key) == named) {
        return Ok(key);
    }
    let mut found = all.iter().filter(|key| key.prefix == named);
    match (found.next(), found.count()) {
        (Some(key), 0) => Ok(key),
        (None, _) => Err(no_such_key()),
        (Some(_), more) => {
            let message = format!("key: {} keys begin with {named}; say which by its key_id", more + 1);
            Err(ApiError::conflict(message))
        }
    }
}

fn is_of_operator(key: &ApiKey) -> bool {
    key.tenant.as_str() == keys::DEFAULT_TENANT
}

fn no_such_key() -> ApiError {
    ApiError::not_found("There is no such key")
}

fn last() -> ApiError {
    ApiError::conflict(
        "This is the last key of the tenant `default`, and without one nobody could make another: make one of `default` first, and \
         delete this one with it",
    )
}
