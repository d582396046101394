use muster_session::TenantId;

/// What a write does to the number of places that a tenant has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaceChange {
    /// Nothing.
    #[default]
    Keep,
    /// One more.
    Take {
        /// The write is refused if so many are taken, or more. None is without end.
        limit: Option<u64>,
    },
    /// One less, if any is taken.
    Free,
}

impl PlaceChange {
    /// By whether the session [has a place](Session::has_place) before and after.
    #[must_use]
    pub const fn between(before: bool, after: bool, limit: Option<u64>) -> Self {
        match (before, after) {
            (false, true) => Self::Take { limit },
            (true, false) => Self::Free,
            (false, false) | (true, true) => Self::Keep,
        }
    }
}

/// How much a tenant has of the fleet, and how much it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLoad {
    /// Who.
    pub tenant: TenantId,
    /// Places taken.
    pub taken: u64,
    /// Sessions that wait in line for one.
    pub held: u64,
}

/// Something small that a part of the fleet remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is known by.
    pub name: String,
    /// Optimistic lock, kept by the store: 0 before the first write.
    pub version: u64,
    /// At most 200 kB as text.
    pub body: serde_json::Value,
}
