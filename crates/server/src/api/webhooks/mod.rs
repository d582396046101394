//! Webhooks of all bots of a tenant: where they go, what became of them, sending them again, and those that came in.

pub(crate) mod endpoints;
pub(crate) mod inbox;
pub(crate) mod ledger;
pub(crate) mod replay;

/// Page size unless asked for another.
const LIMIT_DEFAULT: u32 = 50;
/// Largest page.
const LIMIT_MAX: u32 = 100;
