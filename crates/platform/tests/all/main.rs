//! A real browser against pages of a server of our own. Nothing leaves this machine.
#![expect(clippy::unwrap_used, reason = "what is unexpected here fails the test")]

mod capture;
mod lifetime;
mod meeting;
mod page;
mod script;
mod site;
mod take;
