//! Leased, at-least-once queues.
//!
//! [`Queue`] is the contract; [`embedded`] is the backend for one machine, [`redis`] one for many, and `sqs` (feature `aws`)
//! one that is Amazon's. [`conformance`] is the suite that every backend passes: one function for each numbered sentence of
//! the contract. [`JobQueue`] is what the rest of the program uses: the same, in terms of jobs instead of bytes.

pub mod conformance;
mod contract;
pub mod embedded;
mod jobs;
#[cfg(test)]
mod model;
pub mod redis;
#[cfg(feature = "aws")]
pub mod sqs;

pub use contract::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};
pub use jobs::{JobDelivery, JobQueue};
pub use redis::RedisQueue;
#[cfg(feature = "aws")]
pub use sqs::{SqsQueue, SqsSettings};
