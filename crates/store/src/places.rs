use muster_session::{Session, TenantId};

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
    /// What the write of a session does that `had_place` when it was read. What is given back is only what was
    /// [counted](Session::place); and one that had its place without being counted, as one of a release that counted nothing,
    /// is not counted later.
    #[must_use]
    pub fn between(had_place: bool, session: &Session, limit: Option<u64>) -> Self {
        match (session.has_place(), session.place) {
            (true, false) if !had_place => Self::Take { limit },
            (false, true) => Self::Free,
            _ => Self::Keep,
        }
    }

    /// Makes the record that is written with this say whether its place is counted.
    pub const fn note(self, session: &mut Session) {
        match self {
            Self::Keep => {}
            Self::Take { .. } => session.place = true,
            Self::Free => session.place = false,
        }
    }

    /// What the deletion of a session does.
    #[must_use]
    pub const fn of_deletion(session: &Session) -> Self {
        if session.place { Self::Free } else { Self::Keep }
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
