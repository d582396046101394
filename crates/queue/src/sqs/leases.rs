//! The leases that this process holds.
//!
//! SQS may accept a receipt whose visibility timeout is over, and accepts one that was used. So this is where a lease ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use muster_session::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{QueueError, Receipt};

#[derive(Debug)]
pub(super) struct Leases {
    /// Tells our receipts from those of other processes.
    instance: String,
    /// By token.
    held: Mutex<HashMap<String, Held>>,
}

/// A lease that this process holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) payload: Vec<u8>,
    until: Instant,
}

/// A lease that somebody is about to settle.
#[derive(Debug)]
pub(super) struct Claimed {
    /// SQS's name for it.
    pub(super) handle: String,
    /// None if it was received by another process.
    pub(super) held: Option<Held>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { instance: Uuid::new_v4().simple().to_string(), held: Mutex::default() }
    }
}

impl Leases {
    /// Notes a lease; answers the token of its receipt.
    pub(super) fn add(&self, handle: &str, payload: Vec<u8>, until: Instant, now: Instant) -> String {
        let wall = wall_clock() + until.saturating_duration_since(now);
        let token = format!("{}.{}.{handle}", self.instance, wall.as_millis());
        let mut held = self.held();
        held.retain(|_, held| held.until > now);
        held.insert(token.clone(), Held { payload, until });
        token
    }

    /// Takes a lease out to settle it, so that it is settled once.
    pub(super) fn take(&self, receipt: &Receipt, now: Instant) -> Result<Claimed, QueueError> {
        let (handle, ours) = self.read(receipt)?;
        let held = if ours { Some(self.held().remove(&receipt.token).ok_or(QueueError::LeaseLost)?) } else { None };
        match held {
            Some(held) if held.until <= now => Err(QueueError::LeaseLost),
            held => Ok(Claimed { handle, held }),
        }
    }

    /// Puts back what could not be settled.
    pub(super) fn put_back(&self, receipt: &Receipt, claimed: Claimed) {
        if let Some(held) = claimed.held {
            self.held().insert(receipt.token.clone(), held);
        }
    }

    /// SQS's name for a lease that holds.
    pub(super) fn handle(&self, receipt: &Receipt, now: Instant) -> Result<String, QueueError> {
        let (handle, ours) = self.read(receipt)?;
        let holds = !ours || self.held().get(&receipt.token).is_some_and(|held| held.until > now);
        if holds { Ok(handle) } else { Err(QueueError::LeaseLost) }
    }

    /// It was extended, or cut short. A receipt from another process keeps the end that is written in it.
    pub(super) fn move_end(&self, receipt: &Receipt, until: Instant) {
        if let Some(held) = self.held().get_mut(&receipt.token) {
            held.until = until;
        }
    }

    /// The handle in a receipt, and if it was received here. One from elsewhere may be over by the time written in it.
    fn read(&self, receipt: &Receipt) -> Result<(String, bool), QueueError> {
        let mut parts = receipt.token.splitn(3, '.');
        let (Some(instance), Some(until), Some(handle)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(QueueError::LeaseLost);
        };
        let ours = instance == self.instance;
        let until = until.parse().map(Timestamp::from_millis).map_err(|_| QueueError::LeaseLost)?;
        if !ours && until <= wall_clock() {
            return Err(QueueError::LeaseLost);
        }
        Ok((handle.to_owned(), ours))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wall_clock() -> Timestamp {
    Timestamp::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_session::job::Topic;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn receipt(token: String) -> Receipt {
        Receipt { topic: Topic::Jobs, id: "m".into(), token }
    }

    #[test]
    fn a_lease_ends_here_whatever_the_service_would_accept() {
        let (leases, now) = (Leases::default(), Instant::now());
        let receipt = receipt(leases.add("handle", b"m".to_vec(), now + LEASE, now));
        let last = now + LEASE - Duration::from_millis(1);
        assert_eq!(leases.handle(&receipt, last).unwrap(), "handle");
        assert!(matches!(leases.handle(&receipt, now + LEASE), Err(QueueError::LeaseLost)));
        assert!(matches!(leases.take(&receipt, now + LEASE), Err(QueueError::LeaseLost)));
    }

    #[test]
    fn its_end_can_be_moved_both_ways() {
        let (leases, now) = (Leases::default(), Instant::now());
        let receipt = receipt(leases.add("handle", Vec::new(), now + LEASE, now));
        leases.move_end(&receipt, now + 2 * LEASE);
        assert!(leases.handle(&receipt, now + LEASE).is_ok());
        leases.move_end(&receipt, now + LEASE);
        assert!(leases.handle(&receipt, now + LEASE).is_err());
    }

    #[test]
    fn it_is_settled_once_unless_it_is_put_back() {
        let (leases, now) = (Leases::default(), Instant::now());
        let receipt = receipt(leases.add("handle", b"m".to_vec(), now + LEASE, now));
        let claimed = leases.take(&receipt, now).unwrap();
        assert!(matches!(leases.take(&receipt, now), Err(QueueError::LeaseLost)));
        leases.put_back(&receipt, claimed);
        assert_eq!(leases.take(&receipt, now).unwrap().held.unwrap().payload, b"m");
    }

    #[test]
    fn a_receipt_of_another_process_ends_by_the_wall_clock() {
        let (one, other, now) = (Leases::default(), Leases::default(), Instant::now());
        let good = receipt(one.add("a.b", b"m".to_vec(), now + LEASE, now));
        let claimed = other.take(&good, now).unwrap();
        assert_eq!((claimed.handle.as_str(), claimed.held.is_none()), ("a.b", true));
        let over = receipt(format!("{}.{}.handle", one.instance, wall_clock().as_millis()));
        assert!(matches!(other.take(&over, now), Err(QueueError::LeaseLost)));
        for bad in ["", "thing", "a.b", "a.b.c"] {
            assert!(matches!(other.take(&receipt(bad.into()), now), Err(QueueError::LeaseLost)), "{bad}");
        }
    }
}
