//! Where sessions live.
//!
//! [`SessionStore`] is the contract; [`embedded`] is the backend for one machine, [`redis`] one for many, and `dynamodb`
//! (feature `aws`) one that is Amazon's.
//!
//! For tests, behind the feature `testing`: `conformance` is the suite that every backend passes, one function for each
//! numbered sentence of the contract; `memory` is a backend without a process of its own; `faulty` is what goes wrong between
//! a caller and a backend.
//!
//! The store knows nothing of the rules by which a session changes: callers read a record, let
//! [`muster_session::Session::apply`] decide, and [`SessionStore::commit`] the result with the version they read.

mod codec;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod contract;
mod delivery;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod embedded;
mod endpoint;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
mod inbox;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
#[cfg(test)]
mod model;
mod places;
pub mod redis;
mod worker;

pub use contract::{
    ApiKey, Commit, CreateGuard, Created, LeaseRenewal, ListQuery, LogEntry, OutboxJob, Page, Renewed, SessionStore,
    StoreError,
};
pub use delivery::{Attempt, Delivery, DeliveryState, DeliveryStatus, LedgerPage, LedgerQuery};
#[cfg(feature = "aws")]
pub use dynamodb::{DynamoSettings, DynamoStore};
pub use endpoint::{Disabled, Endpoint, EndpointSecret, addresses};
pub use inbox::{InboxCount, InboxEntry, InboxOutcome, InboxPage, InboxQuery};
pub use places::{Document, PlaceChange, TenantLoad};
pub use redis::RedisStore;
pub use worker::{Ending, KnownWorker, WorkerRecord};
