//! Addresses that a tenant's webhooks go to.

use muster_redis::cmd;
use muster_session::{EndpointId, TenantId};

use super::{RedisStore, arguments, scripts};
use crate::codec::{corrupt, from_json, parse, to_json};
use crate::{Endpoint, StoreError};

pub(super) async fn put(store: &RedisStore, mut endpoint: Endpoint) -> Result<Endpoint, StoreError> {
    let read = endpoint.version;
    endpoint.version += 1;
    let fill = arguments(|script| {
        script.arg(endpoint.id.to_string()).arg(endpoint.tenant.as_str());
        script.arg(read).arg(endpoint.version).arg(to_json(&endpoint))
    });
    let written: bool = store.script(&scripts::PUT_ENDPOINT, fill).await?;
    if written { Ok(endpoint) } else { Err(StoreError::Conflict) }
}

pub(super) async fn get(store: &RedisStore, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let fill = arguments(|script| script.arg(id.to_string()));
    let found: Option<String> = store.script(&scripts::ENDPOINT, fill).await?;
    found.map(|stored| decode(&stored)).transpose()
}

pub(super) async fn of_tenant(store: &RedisStore, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
    let found: Vec<String> = store.link.run(cmd("HVALS").arg(store.key(&format!(":endpoints:{tenant}")))).await?;
    let mut endpoints = found.iter().map(|stored| decode(stored)).collect::<Result<Vec<_>, _>>()?;
    endpoints.sort_by_key(|endpoint| (endpoint.created_at, endpoint.id));
    Ok(endpoints)
}

pub(super) async fn delete(store: &RedisStore, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
    let fill = arguments(|script| script.arg(tenant.as_str()).arg(id.to_string()));
    store.script(&scripts::DELETE_ENDPOINT, fill).await
}

/// Version and record.
fn decode(stored: &str) -> Result<Endpoint, StoreError> {
    const WHAT: &str = "an endpoint";
    let (version, record) = stored.split_once(':').ok_or_else(|| corrupt(WHAT, "it has no version"))?;
    Ok(Endpoint { version: parse(WHAT, version)?, ..from_json(WHAT, record)? })
}
