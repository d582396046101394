//! The pure policy of a fleet: what fits on a machine, whose turn it is, how many workers there should be.
//!
//! Everything here is a function of what it is told, the time included; there is no clock, no I/O and no randomness but by a
//! seed. Workers, the `control` role, the planner and the simulator share it.

pub mod cost;
