//! Leased, at-least-once queues.
//!
//! [`Queue`] is the contract; [`embedded`] is the backend for one machine. [`conformance`] is the suite that every
//! backend passes: one function for each numbered sentence of the contract.

mod contract;

pub use contract::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
