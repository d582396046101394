//! Addresses that a tenant's webhooks go to. Each is stored twice, in one write: to be found by its id, and with all of its
//! tenant; so both are read consistently.

use muster_session::{EndpointId, TenantId};

use super::item::{Item, Key, endpoints_of, from_json, n, number, s, to_json};
use super::table::{Select, Table};
use super::write::Writes;
use crate::{Endpoint, StoreError};

pub(super) async fn put(table: &Table, mut endpoint: Endpoint) -> Result<Endpoint, StoreError> {
    let read = endpoint.version;
    endpoint.version += 1;
    let fill = |key: Key| {
        let mut item = key.into_item();
        item.insert("owner_id".into(), s(endpoint.tenant.as_str()));
        item.insert("ver".into(), n(endpoint.version));
        item.insert("doc".into(), to_json(&endpoint));
        item
    };
    let (id, tenant) = (endpoint.id, &endpoint.tenant);
    let mut writes = Writes::new(&table.name);
    if read == 0 {
        writes.put_new(fill(Key::endpoint(id)));
    } else {
        let (new, doc) = (n(endpoint.version), to_json(&endpoint));
        let values = vec![(":ver", n(read)), (":owner", s(tenant.as_str())), (":new", new), (":doc", doc)];
        let condition = "ver = :ver AND owner_id = :owner".into();
        writes.update(Key::endpoint(id), "SET ver = :new, doc = :doc".into(), condition, values);
    }
    writes.put(fill(Key::endpoint_of(tenant, id)));
    let written = table.transact(writes.into_vec()).await?.is_ok();
    if written { Ok(endpoint) } else { Err(StoreError::Conflict) }
}

pub(super) async fn get(table: &Table, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    table.get(Key::endpoint(id)).await?.as_ref().map(decode).transpose()
}

pub(super) async fn of_tenant(table: &Table, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
    let select = Select {
        condition: "pk = :pk".into(),
        values: [(":pk".to_owned(), s(endpoints_of(tenant)))].into(),
        ..Select::default()
    };
    let items = table.select(&select, usize::MAX).await?;
    let mut endpoints = items.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    endpoints.sort_by_key(|endpoint| (endpoint.created_at, endpoint.id));
    Ok(endpoints)
}

pub(super) async fn delete(table: &Table, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
    let mut writes = Writes::new(&table.name);
    let owned = ("owner_id = :owner", vec![(":owner", s(tenant.as_str()))]);
    writes.delete(Key::endpoint(id), Some(owned));
    writes.delete(Key::endpoint_of(tenant, id), None);
    Ok(table.transact(writes.into_vec()).await?.is_ok())
}

fn decode(item: &Item) -> Result<Endpoint, StoreError> {
    Ok(Endpoint { version: number(item, "ver")?, ..from_json("an endpoint", item, "doc")? })
}
