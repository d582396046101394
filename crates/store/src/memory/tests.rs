//! The suite on the store in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::MemoryStore;
use crate::SessionStore;
use crate::conformance::Fixture;
use crate::model::{self, Backend};

#[async_trait]
impl Fixture for MemoryStore {
    async fn open(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.clone())
    }
}

crate::store_conformance!(MemoryStore::new());

impl Backend for MemoryStore {
    const CASES: u32 = 100;

    fn new() -> Self {
        Self::new()
    }
}

#[test]
fn it_behaves_as_lists_do() {
    model::behaves_as_lists_do::<MemoryStore>();
}
