//! Bots: create, list, look at, remove, and fetch what they captured.

pub(crate) mod artifacts;
pub(crate) mod create;
mod leave;
pub(crate) mod ledger;
pub(crate) mod list;
pub(crate) mod live;
mod media_plan;
pub(crate) mod people;
mod queue;
pub(crate) mod remove;
pub mod request;
pub(crate) mod show;
pub(crate) mod speakers;
pub(crate) mod streams;

pub(in crate::api) use media_plan::post_call_provider;
