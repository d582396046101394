//! The suite that every backend passes: one function for each numbered sentence of the contract of [`Queue`], named by
//! it. They panic where the backend breaks the sentence. [`queue_conformance!`](crate::queue_conformance) makes a test of
//! each, and of each under each fault that can come between a caller and a backend.
//!
//! Under a fault the sentences speak to a client that behaves as our callers do: it tries again, under a deduplication key,
//! and knows what it has been told before. What a sentence cannot hold under is in one table, with the reason.
//!
//! Nothing here sleeps: what takes time is waited for through [`Queue::receive`], which has to wake for it.

mod client;
mod faults;
mod sentences;
mod work;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Queue;

pub use faults::Under;
pub use muster_faults::Fault;
pub use sentences::{
    limits_are_enforced, s01_acknowledged_messages_survive, s02_a_leased_message_is_nobody_elses,
    s03_a_lease_that_runs_out_makes_it_receivable_again, s04_a_lost_lease_settles_nothing,
    s05_a_delayed_message_does_not_come_early, s06_a_key_is_in_the_queue_once,
    s07_receive_answers_at_once_or_when_something_comes, s08_order_is_roughly_kept,
    s09_dead_letters_are_kept_and_put_back, s10_depth_counts,
};
pub use work::work_is_done_at_least_once_by_one_at_a_time;

/// Longest wait for something that has to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// A lease or delay that does not end within a test.
const LONG: Duration = Duration::from_secs(600);
/// One that a test waits for.
const SHORT: Duration = Duration::from_millis(40);
const NOW: Duration = Duration::ZERO;

/// The longest of the delays that the suite is run under.
pub const LONGEST_DELAY: Duration = Duration::from_millis(5);

/// Gives the suite a queue of its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the queue, empty at first. A call after everything of the one before was dropped finds what that one left, as
    /// a process finds what a dead one left.
    async fn open(&self) -> Arc<dyn Queue>;
}

/// Makes a `#[tokio::test]` for each sentence of the contract, and in a module for each fault one more for each sentence
/// under it. The argument makes a `conformance::Fixture`. With `if_there:` before it, it makes an `Option` of one, and
/// nothing is tested without: it has said so. `in seconds, without deduplication` after it is for a backend that counts
/// time in seconds, and whose limits say the rest: it is tested in fewer ways.
///
/// `tools/conformance.py` counts what ran.
#[macro_export]
macro_rules! queue_conformance {
    ($fixture:expr) => {
        $crate::queue_conformance! { if_there: Some($fixture) }
    };
    (if_there: $fixture:expr) => {
        $crate::queue_conformance! { @no_fault $fixture; }
        $crate::queue_conformance! { @not_made_or_late $fixture; adding expiring settling waiting }
        $crate::queue_conformance! { @made_unheard_or_twice $fixture; adding expiring settling waiting }
    };
    (if_there: $fixture:expr, in seconds, without deduplication) => {
        $crate::queue_conformance! { @no_fault $fixture; }
        // Under these it gets the calls that it gets without. Waiting for it a second at a time would show little.
        $crate::queue_conformance! { @not_made_or_late $fixture; adding settling }
        // Those that only add and receive would meet no fault: see `conformance::faults`.
        $crate::queue_conformance! { @made_unheard_or_twice $fixture; settling waiting }
    };
    (@no_fault $fixture:expr;) => {
        $crate::queue_conformance! { @adding $fixture, None }
        $crate::queue_conformance! { @expiring $fixture, None }
        $crate::queue_conformance! { @settling $fixture, None }
        $crate::queue_conformance! { @waiting $fixture, None }
    };
    (@not_made_or_late $fixture:expr; $($part:ident)*) => {
        $crate::queue_conformance! {
            @in delay $fixture, $crate::conformance::Fault::Delay($crate::conformance::LONGEST_DELAY); $($part)*
        }
        $crate::queue_conformance! { @in throttle $fixture, $crate::conformance::Fault::Throttle; $($part)* }
        $crate::queue_conformance! { @in refuse $fixture, $crate::conformance::Fault::Refuse; $($part)* }
    };
    (@made_unheard_or_twice $fixture:expr; $($part:ident)*) => {
        $crate::queue_conformance! { @in lost_answer $fixture, $crate::conformance::Fault::LostAnswer; $($part)* }
        $crate::queue_conformance! { @in duplicate $fixture, $crate::conformance::Fault::Duplicate; $($part)* }
    };
    (@in $module:ident $fixture:expr, $fault:expr; $($part:ident)*) => {
        mod $module {
            use super::*;

            $($crate::queue_conformance! { @$part $fixture, Some($fault) })*
        }
    };
    (@adding $fixture:expr, $fault:expr) => {
        $crate::queue_conformance! { @each $fixture, $fault;
            s02_a_leased_message_is_nobody_elses
            s08_order_is_roughly_kept
        }
    };
    (@expiring $fixture:expr, $fault:expr) => {
        $crate::queue_conformance! { @each $fixture, $fault;
            s03_a_lease_that_runs_out_makes_it_receivable_again
        }
    };
    (@settling $fixture:expr, $fault:expr) => {
        $crate::queue_conformance! { @each $fixture, $fault;
            s01_acknowledged_messages_survive
            s06_a_key_is_in_the_queue_once
            s10_depth_counts
            limits_are_enforced
        }
    };
    (@waiting $fixture:expr, $fault:expr) => {
        $crate::queue_conformance! { @each $fixture, $fault;
            s04_a_lost_lease_settles_nothing
            s05_a_delayed_message_does_not_come_early
            s07_receive_answers_at_once_or_when_something_comes
            s09_dead_letters_are_kept_and_put_back
            work_is_done_at_least_once_by_one_at_a_time
        }
    };
    (@each $fixture:expr, $fault:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let fixture = $fixture;
                if let Some(fixture) = &fixture {
                    let under = $crate::conformance::Under::new(fixture, $fault, stringify!($name));
                    $crate::conformance::$name(&under).await;
                    under.check();
                }
            }
        )*
    };
}
