//! Leased, at-least-once queues.
//!
//! [`Queue`] is the contract; [`embedded`] is the backend for one machine, [`redis`] one for many, and `sqs` (feature `aws`)
//! one that is Amazon's. [`JobQueue`] is what the rest of the program uses: the same, in terms of jobs instead of bytes.
//!
//! For tests, behind the feature `testing`: `conformance` is the suite that every backend passes, one function for each
//! numbered sentence of the contract, as it is and with faults in between; `memory` is a backend that goes by the clock of
//! the runtime; `faulty` puts planned faults before any backend.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod contract;
pub mod embedded;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
mod jobs;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
#[cfg(test)]
mod model;
pub mod redis;
#[cfg(feature = "aws")]
pub mod sqs;

pub use contract::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
#[cfg(any(test, feature = "testing"))]
pub use faulty::FaultyQueue;
pub use jobs::{JobDelivery, JobQueue};
#[cfg(any(test, feature = "testing"))]
pub use memory::MemoryQueue;
pub use redis::RedisQueue;
#[cfg(feature = "aws")]
pub use sqs::{SqsQueue, SqsSettings};
