//! Monday, 9:00: many more bots are wanted at once than there are places for.

pub mod crowd;
mod fleet;
mod inbox;
mod machine;

pub use fleet::ten_thousand;
pub use machine::two_hundred;
