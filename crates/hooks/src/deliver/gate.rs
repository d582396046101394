//! Waiting for one's turn to call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_session::{TenantId, Timestamp};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::circuit::Verdict;
use super::host::Host;
use super::slots::{Limits, Slots, Ticket, Told};

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The slots of a process. Clones share them.
#[derive(Clone)]
pub(super) struct Gate {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

struct State {
    slots: Slots,
    callers: HashMap<Ticket, Caller>,
}

/// How somebody who asked is reached.
struct Caller {
    go: Option<oneshot::Sender<Told>>,
    cut: CancellationToken,
}

/// How asking ended.
#[derive(Debug)]
pub(super) enum Entered {
    /// Call now.
    Go(Permit),
    /// Not before then.
    Later(Timestamp),
}

/// The right to call. Dropped, it is given back, and says nothing of the host.
pub(super) struct Permit {
    gate: Gate,
    ticket: Ticket,
    cut: CancellationToken,
    verdict: Verdict,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl State {
    /// Passes on what is to be told.
    fn tell(&mut self) {
        for (ticket, told) in self.slots.told() {
            let Some(caller) = self.callers.get_mut(&ticket) else { continue };
            match (told, caller.go.take()) {
                (Told::Cut, _) => caller.cut.cancel(),
                (told, Some(go)) => {
                    if matches!(told, Told::Later(_)) {
                        self.callers.remove(&ticket);
                    }
                    // Whoever is gone ends its ticket itself.
                    let _ = go.send(told);
                }
                (_, None) => {}
            }
        }
    }
}

impl Gate {
    pub(super) fn new(limits: Limits, clock: Clock) -> Self {
        let state = State { slots: Slots::new(limits), callers: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    /// Waits for one's turn. Cancel safe: whoever stops to wait loses the place.
    pub(super) async fn enter(&self, tenant: &TenantId, host: &Host, overdue: bool) -> Entered {
        let now = (self.clock)();
        let (go, told) = oneshot::channel();
        let cut = CancellationToken::new();
        let permit = {
            let mut state = self.lock();
            let ticket = state.slots.ask(tenant, host, overdue, now);
            state.callers.insert(ticket, Caller { go: Some(go), cut: cut.clone() });
            state.tell();
            Permit { gate: self.clone(), ticket, cut, verdict: Verdict::Unknown }
        };
        match told.await {
            Ok(Told::Later(until)) => Entered::Later(until),
            Ok(Told::Go { .. } | Told::Cut) => Entered::Go(permit),
            Err(_) => unreachable!("a caller is told before it is forgotten"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The call lasts: it takes no slot any more.
    pub(super) fn lasts(&self) {
        let mut state = self.gate.lock();
        state.slots.lasts(self.ticket);
        state.tell();
    }

    /// Returns when the call is to be given up. Cancel safe.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Gives it back with what the call said of the host.
    pub(super) fn end(mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = (self.gate.clock)();
        let mut state = self.gate.lock();
        state.callers.remove(&self.ticket);
        state.slots.end(self.ticket, self.verdict, now);
        state.tell();
    }
}
