//! Places, the line, and documents.

use muster_session::{Session, State, TenantId};
use serde_json::json;

use super::lists::Lists;
use super::op::TENANTS;
use super::{Backend, Run};
use crate::{Document, PlaceChange, StoreError, TenantLoad};

impl<B: Backend> Run<B> {
    pub(super) async fn document(&mut self, which: u8, stale: bool) {
        let name = format!("document {which}");
        let known = self.lists.documents.iter().position(|known| known.name == name);
        let version = known.map_or(0, |known| self.lists.documents[known].version);
        let mut document = Document { name, version: version + u64::from(stale), body: json!({"at": self.lists.now}) };
        let answer = self.store().put_document(document.clone()).await;
        if stale {
            assert!(matches!(answer, Err(StoreError::Conflict)), "{answer:?}");
            return;
        }
        document.version += 1;
        assert_eq!(answer.unwrap(), document);
        if let Some(known) = known {
            self.lists.documents.remove(known);
        }
        self.lists.documents.push(document);
    }

    pub(super) async fn compare_places(&self) {
        let (store, lists) = (self.store(), &self.lists);
        assert_eq!(store.loads().await.unwrap(), lists.loads());
        for tenant in TENANTS.map(TenantId::new) {
            let held = lists.held(&tenant);
            assert_eq!(store.held(&tenant, 3).await.unwrap(), held[..held.len().min(3)]);
            for session in lists.sessions.iter().filter(|session| session.tenant == tenant) {
                let before = held.iter().position(|known| known.id == session.id).map(|before| before as u64);
                assert_eq!(store.held_before(&tenant, session.id).await.unwrap(), before);
            }
        }
        for document in &lists.documents {
            assert_eq!(store.document(&document.name).await.unwrap().as_ref(), Some(document));
        }
    }
}

impl Lists {
    /// None if there is none to take.
    pub(super) fn change_place(&mut self, tenant: &TenantId, place: PlaceChange) -> Option<()> {
        match place {
            PlaceChange::Keep => {}
            PlaceChange::Take { limit } => {
                if limit.is_some_and(|limit| self.taken_by(tenant) >= limit) {
                    return None;
                }
                self.taken.push(tenant.clone());
            }
            PlaceChange::Free => {
                if let Some(at) = self.taken.iter().position(|known| known == tenant) {
                    self.taken.remove(at);
                }
            }
        }
        Some(())
    }

    pub(super) fn taken_by(&self, tenant: &TenantId) -> u64 {
        self.taken.iter().filter(|known| *known == tenant).count() as u64
    }

    fn held(&self, tenant: &TenantId) -> Vec<Session> {
        let waits = |s: &&Session| s.tenant == *tenant && s.state == State::Queued && s.held;
        let mut held: Vec<Session> = self.sessions.iter().filter(waits).cloned().collect();
        held.sort_by_key(|session| (session.created_at, session.id));
        held
    }

    fn loads(&self) -> Vec<TenantLoad> {
        let load = |tenant: TenantId| TenantLoad {
            taken: self.taken_by(&tenant),
            held: self.held(&tenant).len() as u64,
            tenant,
        };
        let loads = TENANTS.map(TenantId::new).map(load);
        loads.into_iter().filter(|load| load.taken + load.held > 0).collect()
    }
}
