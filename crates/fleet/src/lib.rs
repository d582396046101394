//! The pure policy of a fleet: what fits on a machine, whose turn it is, how many workers there should be.
//!
//! Everything here is a function of what it is told, the time included; there is no clock, no I/O and no randomness but by a
//! seed. Workers, the `control` role, the planner and the simulator share it.
//!
//! - [`cost`]: what a bot costs, declared or learned.
//! - [`admission`]: what fits on a machine.
//! - [`fair`]: whose turn it is.
//! - [`learned`]: how long bots take to join, and how long they stay.
//! - [`scaling`]: how many workers there should be.
//! - [`schedule`]: when a scheduled bot sets out.
//! - [`trace`]: meetings to plan for; [`host`]: machines to have; [`plan`]: how many of them; [`simulate`]: a fleet in virtual time.

pub mod admission;
pub mod cost;
pub mod fair;
pub mod host;
pub mod learned;
pub mod plan;
pub mod scaling;
pub mod schedule;
pub mod simulate;
pub mod trace;
