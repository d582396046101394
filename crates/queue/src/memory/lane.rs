//! The messages of one topic. Told the time, and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_session::Timestamp;
use muster_session::job::Topic;

use crate::{Delivery, Depth, Enqueue, QueueError, Receipt};

#[derive(Debug, Default)]
pub(super) struct Lane {
    messages: BTreeMap<u64, Message>,
    /// When each can be received: its due time at first, the end of its lease while somebody has it.
    by_time: BTreeSet<(Timestamp, u64)>,
    by_key: BTreeMap<String, u64>,
    /// Payload and reason, oldest first.
    dead: BTreeMap<u64, (Vec<u8>, String)>,
}

#[derive(Debug)]
struct Message {
    payload: Vec<u8>,
    key: Option<String>,
    visible_at: Timestamp,
    leased: bool,
    /// Leases ever given; the last of them is the token of its receipt.
    lease: u64,
    receives: u32,
}

/// What a look at a topic found.
pub(super) enum Look {
    /// Messages, leased.
    Messages(Vec<Delivery>),
    /// Nothing that can be received now.
    Nothing {
        /// When the next message can be, if there is one.
        next_in: Option<Duration>,
    },
}

impl Lane {
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.messages.values().map(|message| message.payload.clone()).collect()
    }

    pub(super) fn add(&mut self, next_id: &mut dyn FnMut() -> u64, message: Enqueue, visible_at: Timestamp) {
        let Enqueue { payload, dedup_key: key, .. } = message;
        if key.as_ref().is_some_and(|key| self.by_key.contains_key(key)) {
            return;
        }
        let id = next_id();
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), id);
        }
        self.by_time.insert((visible_at, id));
        self.messages.insert(id, Message { payload, key, visible_at, leased: false, lease: 0, receives: 0 });
    }

    /// Leases up to `max` receivable messages.
    pub(super) fn take(&mut self, topic: Topic, max: u32, now: Timestamp, until: Timestamp) -> Look {
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        let ready: Vec<u64> = self.by_time.range(..=(now, u64::MAX)).take(most).map(|(_, id)| *id).collect();
        if ready.is_empty() {
            return Look::Nothing { next_in: self.by_time.first().map(|(at, _)| at.since(now)) };
        }
        Look::Messages(ready.into_iter().map(|id| self.lease(topic, id, until)).collect())
    }

    fn lease(&mut self, topic: Topic, id: u64, until: Timestamp) -> Delivery {
        let message = self.move_to(id, until);
        message.leased = true;
        message.lease += 1;
        message.receives += 1;
        let receipt = Receipt { topic, id: id.to_string(), token: message.lease.to_string() };
        Delivery { receipt, payload: message.payload.clone(), receives: message.receives }
    }

    fn move_to(&mut self, id: u64, visible_at: Timestamp) -> &mut Message {
        let message = self.messages.get_mut(&id).expect("ids come from the list of times or from held()");
        self.by_time.remove(&(message.visible_at, id));
        self.by_time.insert((visible_at, id));
        message.visible_at = visible_at;
        message
    }

    /// The message that a receipt is for, as long as its lease holds.
    fn held(&self, receipt: &Receipt, now: Timestamp) -> Result<u64, QueueError> {
        // A receipt that was never given out holds nothing.
        let number = |text: &str| text.parse::<u64>().map_err(|_| QueueError::LeaseLost);
        let (id, lease) = (number(&receipt.id)?, number(&receipt.token)?);
        let holds = |message: &Message| message.leased && message.lease == lease && message.visible_at > now;
        if self.messages.get(&id).is_some_and(holds) { Ok(id) } else { Err(QueueError::LeaseLost) }
    }

    pub(super) fn extend(&mut self, receipt: &Receipt, now: Timestamp, until: Timestamp) -> Result<(), QueueError> {
        let id = self.held(receipt, now)?;
        self.move_to(id, until);
        Ok(())
    }

    pub(super) fn release(&mut self, receipt: &Receipt, now: Timestamp, at: Timestamp) -> Result<(), QueueError> {
        let id = self.held(receipt, now)?;
        self.move_to(id, at).leased = false;
        Ok(())
    }

    /// Takes a held message out; answers its payload.
    pub(super) fn remove(&mut self, receipt: &Receipt, now: Timestamp) -> Result<Vec<u8>, QueueError> {
        let id = self.held(receipt, now)?;
        let message = self.messages.remove(&id).expect("it is held");
        self.by_time.remove(&(message.visible_at, id));
        if let Some(key) = &message.key {
            self.by_key.remove(key);
        }
        Ok(message.payload)
    }

    pub(super) fn set_aside(
        &mut self,
        next_id: &mut dyn FnMut() -> u64,
        receipt: &Receipt,
        now: Timestamp,
        reason: &str,
    ) -> Result<(), QueueError> {
        let payload = self.remove(receipt, now)?;
        self.dead.insert(next_id(), (payload, reason.to_owned()));
        Ok(())
    }

    pub(super) fn dead(&self, limit: u32) -> Vec<(String, Vec<u8>, String)> {
        let letter =
            |(id, (payload, reason)): (&u64, &(Vec<u8>, String))| (id.to_string(), payload.clone(), reason.clone());
        self.dead.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).map(letter).collect()
    }

    /// Makes a message of a dead letter; true if it was there.
    pub(super) fn put_back(&mut self, next_id: &mut dyn FnMut() -> u64, id: &str, now: Timestamp) -> bool {
        let Some((payload, _)) = id.parse().ok().and_then(|id: u64| self.dead.remove(&id)) else { return false };
        self.add(next_id, Enqueue { payload, ..Enqueue::default() }, now);
        true
    }

    pub(super) fn depth(&self, now: Timestamp) -> Depth {
        let mut depth = Depth { dead: self.dead.len() as u64, ..Depth::default() };
        for message in self.messages.values() {
            match message {
                Message { visible_at, .. } if *visible_at <= now => depth.ready += 1,
                Message { leased: true, .. } => depth.leased += 1,
                Message { .. } => depth.delayed += 1,
            }
        }
        depth.oldest_ready = self.by_time.first().map(|(at, _)| now.since(*at)).unwrap_or_default();
        depth
    }
}
