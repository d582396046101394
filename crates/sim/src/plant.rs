//! Bugs on purpose: what the simulation is tested with.

/// A bug that is put between the product and its backends, as if the product had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// Workers acknowledge a job as soon as they receive it, before its session is theirs.
    AckBeforeAcquire,
    /// Workers write for bots that they have lost.
    NoFencing,
    /// What is read of the outbox is marked as published before it is.
    LostOutbox,
    /// A record that changed since it was read is written all the same.
    DoubleTerminal,
    /// A session that is over keeps its place.
    KeptPlaces,
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::AckBeforeAcquire, Self::NoFencing, Self::LostOutbox, Self::DoubleTerminal, Self::KeptPlaces];
}
