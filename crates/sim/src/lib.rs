//! The whole fleet in one thread and virtual time, with faults by a seed.
//!
//! What runs is the product: the session machine, relay, worker, media, control, leader and webhook delivery of
//! `muster-server` and `muster-hooks`, in several simulated processes ([`node`], made of [`process`]) over one store and one queue in memory. What
//! is simulated is what surrounds it: bots and their meetings ([`bots`]), receivers of webhooks ([`receiver`]), customers, and
//! everything that goes wrong ([`plot`]): calls that are late, double, refused or unanswered, processes that die between any
//! two of them, processes that stand still, a backend that is out.
//!
//! [`watch`] checks the invariants after every call to store and queue. One seed is one course of events, the same each time.

pub mod bots;
pub mod node;
mod panics;
pub mod plant;
pub mod plot;
pub mod process;
pub mod receiver;
mod run;
pub mod watch;
pub mod world;

pub use plant::Plant;
pub use run::{Ending, run};
