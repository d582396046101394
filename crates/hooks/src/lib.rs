//! Webhooks both ways, and the only clients that may call a customer's address.
//!
//! - [`guard`] decides which addresses a customer's URL may reach, without any I/O.
//! - [`resolve`] turns names into addresses and drops what the guard refuses.
//! - [`client`] posts to such URLs, [`socket`] opens WebSockets to them. Both connect only to an address that was
//!   checked after its name was resolved, so a name that changes its address between check and use gains nothing.
//! - [`sign`] signs bodies by Standard Webhooks and by MeetStream's own scheme.
//! - [`inbound`] checks webhooks that come in from elsewhere, and reads what they say of a bot.
//! - [`deliver`] sends what the store's ledger says is pending.

pub mod client;
pub mod deliver;
pub mod guard;
pub mod inbound;
mod mac;
pub mod resolve;
pub mod sign;
pub mod socket;
pub mod tls;
