//! The suite that every backend passes: one function for each numbered sentence of the contract of
//! [`SessionStore`], named by it, and some for what the methods say of themselves. They panic where
//! the backend breaks the sentence. [`store_conformance!`](crate::store_conformance) makes a test of each, and of each under
//! each fault that can come between a caller and a backend.
//!
//! Under a fault the sentences speak to a client that behaves as our callers do: it tries again, and where a first try may
//! have been carried out it looks at what is there. What a sentence cannot hold under is in one table, with the reason.
//!
//! The store is told the time, so nothing here waits.

mod client;
mod endpoints;
mod faults;
mod fleet;
mod inbox;
mod leases;
mod ledger;
mod ledgers;
mod lookups;
mod places;
pub(crate) mod samples;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_faults::Fault;

use crate::SessionStore;

pub use endpoints::{
    a_notice_is_delivered_and_gone, a_notice_is_made_at_least_once, s16_each_address_has_a_delivery,
    s17_endpoints_compare_and_swap,
};
pub use faults::Under;
pub use fleet::{s13_one_owner_leads_at_a_time, s14_workers_are_known_by_their_beats, s24_documents_compare_and_swap};
pub use inbox::{
    inbox_filters_select, s18_a_webhook_takes_effect_once, the_inbox_is_counted, the_inbox_is_forgotten_oldest_first,
};
pub use leases::{s06_renewals_change_no_version, s15_a_lost_lease_logs_nothing, stop_requests_reach_the_renewal};
pub use ledger::{
    an_attempt_is_recorded_at_least_once, attempts_and_resends_are_recorded,
    deliveries_go_to_the_events_own_address_first, s10_promises_stay_until_settled,
    s11_pending_deliveries_come_in_sequence, s12_a_delete_leaves_only_what_was_promised,
};
pub use ledgers::{
    a_resend_is_made_whoever_hears_of_it, ledger_filters_select, s19_ledgers_and_inboxes_are_newest_first,
    s20_what_is_postponed_waits,
};
pub use lookups::{
    filters_select, keys_are_kept_by_hash, logs_are_read_back_in_order, s05_a_read_sees_the_write_before_it,
    s07_tenants_do_not_see_each_other, s08_pages_are_newest_first_and_complete, s09_the_control_role_finds_what_is_due,
    s21_a_session_is_found_by_its_bot_elsewhere, states_are_counted,
};
pub use places::{
    s22_no_more_places_are_taken_than_there_are, s22_only_what_was_counted_is_given_back,
    s23_the_line_is_known_and_in_order, s25_what_is_due_is_counted,
};
pub use writes::{
    s01_acknowledged_writes_survive, s02_one_idempotency_key_makes_one_bot, s03_deduplication_keys_bind_to_a_meeting,
    s04_commits_compare_and_swap,
};

/// What the suite is run under, for its macro.
pub const DELAY: Option<Fault> = Some(Fault::Delay(Duration::from_millis(5)));
/// Likewise.
pub const DUPLICATE: Option<Fault> = Some(Fault::Duplicate);
/// Likewise.
pub const LOST_ANSWER: Option<Fault> = Some(Fault::LostAnswer);
/// Likewise.
pub const THROTTLE: Option<Fault> = Some(Fault::Throttle);
/// Likewise.
pub const REFUSE: Option<Fault> = Some(Fault::Refuse);

/// Gives the suite a store of its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the store, empty at first. A call after everything of the one before was dropped finds what that one left, as
    /// a process finds what a dead one left.
    async fn open(&self) -> Arc<dyn SessionStore>;
}

/// Makes a `#[tokio::test]` for each function of the suite, and in a module for each fault one more for each function under
/// it. The argument makes a `conformance::Fixture`. With `if_there:` before it, it makes an `Option` of one, and nothing is
/// tested without: it has said so.
#[macro_export]
macro_rules! store_conformance {
    ($fixture:expr) => {
        $crate::store_conformance! { if_there: Some($fixture) }
    };
    (if_there: $fixture:expr) => {
        $crate::store_conformance! { @all $fixture, None }
        $crate::store_conformance! { @in delay $fixture, $crate::conformance::DELAY }
        $crate::store_conformance! { @in duplicate $fixture, $crate::conformance::DUPLICATE }
        $crate::store_conformance! { @in lost_answer $fixture, $crate::conformance::LOST_ANSWER }
        $crate::store_conformance! { @in throttle $fixture, $crate::conformance::THROTTLE }
        $crate::store_conformance! { @in refuse $fixture, $crate::conformance::REFUSE }
    };
    (@in $module:ident $fixture:expr, $fault:expr) => {
        mod $module {
            use super::*;

            $crate::store_conformance! { @all $fixture, $fault }
        }
    };
    (@all $fixture:expr, $fault:expr) => {
        $crate::store_conformance! { @each $fixture, $fault;
            s01_acknowledged_writes_survive
            s02_one_idempotency_key_makes_one_bot
            s03_deduplication_keys_bind_to_a_meeting
            s04_commits_compare_and_swap
            s05_a_read_sees_the_write_before_it
            s06_renewals_change_no_version
            s07_tenants_do_not_see_each_other
            s08_pages_are_newest_first_and_complete
            s09_the_control_role_finds_what_is_due
            s10_promises_stay_until_settled
            s11_pending_deliveries_come_in_sequence
            s12_a_delete_leaves_only_what_was_promised
            s13_one_owner_leads_at_a_time
            s14_workers_are_known_by_their_beats
            s15_a_lost_lease_logs_nothing
            s16_each_address_has_a_delivery
            s17_endpoints_compare_and_swap
            s18_a_webhook_takes_effect_once
            s19_ledgers_and_inboxes_are_newest_first
            s20_what_is_postponed_waits
            s21_a_session_is_found_by_its_bot_elsewhere
            s22_no_more_places_are_taken_than_there_are
            s22_only_what_was_counted_is_given_back
            s23_the_line_is_known_and_in_order
            s24_documents_compare_and_swap
            s25_what_is_due_is_counted
            stop_requests_reach_the_renewal
            deliveries_go_to_the_events_own_address_first
            attempts_and_resends_are_recorded
            an_attempt_is_recorded_at_least_once
            a_resend_is_made_whoever_hears_of_it
            a_notice_is_delivered_and_gone
            a_notice_is_made_at_least_once
            filters_select
            ledger_filters_select
            inbox_filters_select
            the_inbox_is_counted
            the_inbox_is_forgotten_oldest_first
            states_are_counted
            logs_are_read_back_in_order
            keys_are_kept_by_hash
        }
    };
    (@each $fixture:expr, $fault:expr; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
