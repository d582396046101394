//! The Muster server: configuration, HTTP API, roles and command line around the other crates.
//!
//! This is the only crate that names concrete backends. One request's way through it: [`api`] validates a create and
//! commits session, keys and job in one write; [`roles::relay`] publishes the job; [`roles::worker`] acquires the session
//! and supervises its bot; [`roles::media`] settles the artifacts; `muster_hooks` delivers what every transition caused.

pub mod api;
mod backends;
mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod endpoints;
pub mod engines;
pub mod inbound;
pub mod keys;
pub mod recordings;
pub mod roles;
pub mod serve;
pub mod supervise;
