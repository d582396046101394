//! Webhooks that come in: accepted at once, worked on later.
//!
//! [`Intake`] makes them durable, many in one write. [`Envelope`] is what waits in the queue: the body and the headers as they
//! came. [`Sources`] is whose webhooks are taken. What they mean and cause is `roles::inbound`.

mod envelope;
mod intake;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_hooks::inbound::Source;

use crate::clock::Clock;
pub use envelope::{BadEnvelope, Envelope};
pub use intake::{Full, Intake};
pub use token::{callback, verify as verify_token};

/// What takes webhooks. Of its own, so that a request for it costs nothing of the rest of the API.
#[derive(Debug)]
pub struct Door {
    /// Whose webhooks are taken.
    pub sources: Sources,
    /// Takes them.
    pub intake: Intake,
    /// Largest of them, bytes.
    pub max_body: usize,
    /// The secret of the addresses that we give out.
    pub link_secret: Arc<[u8]>,
    /// The time.
    pub clock: Clock,
}

/// Who may send webhooks, by name.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    by_name: Arc<BTreeMap<String, Source>>,
}

impl Sources {
    /// These; of two with one name the last.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        Self { by_name: Arc::new(sources.into_iter().map(|source| (source.name.clone(), source)).collect()) }
    }

    /// The source with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Source> {
        self.by_name.get(name)
    }

    /// Every source, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.by_name.values()
    }
}
