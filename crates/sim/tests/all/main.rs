//! The simulation by many seeds, with bugs put in, and the same processes stopped at each step over real backends.

#![expect(clippy::unwrap_used, reason = "tests")]

mod fleet;
mod planted;
mod poison;
mod seeds;
mod steps;
mod told;
