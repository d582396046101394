//! The pure policy of a fleet: what fits on a machine, whose turn it is, how many workers there should be.
//!
//! Everything here is a function of what it is told, the time included; there is no clock, no I/O and no randomness but by a
//! seed. Workers, the `control` role, the planner and the simulator share it.
//!
//! - [`cost`]: what a bot costs, declared or learned.
//! - [`admission`]: what fits on a machine.
//! - [`fair`]: whose turn it is.
//! - [`scaling`]: how many workers there should be.
//! - [`schedule`]: when a scheduled bot sets out.

pub mod admission;
pub mod cost;
pub mod fair;
pub mod scaling;
pub mod schedule;
