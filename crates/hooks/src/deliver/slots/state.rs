//! What is known of those who ask, their hosts and their tenants.

use std::collections::{BTreeMap, BTreeSet};

use muster_session::{TenantId, Timestamp};

use super::Ticket;
use crate::deliver::circuit::{Admission, Circuit, Verdict};
use crate::deliver::host::Host;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Waiting,
    Quick,
    Slow,
    Cut,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) tenant: TenantId,
    pub(super) host: Host,
    pub(super) at: At,
    /// Which call it is, once it is one.
    pub(super) begun: u64,
    pub(super) lasted: bool,
    pub(super) probe: bool,
    /// Does not ask the circuit.
    pub(super) overdue: bool,
}

#[derive(Debug, Default)]
pub(super) struct HostState {
    /// Of each tenant its own: what one has wrong is no other's trouble. Those that are not marked are not here.
    pub(super) circuits: BTreeMap<TenantId, Circuit>,
    pub(super) calls: usize,
    pub(super) slow: bool,
    pub(super) waiting: BTreeMap<TenantId, BTreeSet<Ticket>>,
    /// What [`Line`]s know of it: which line, whose, and the first who waits.
    pub(super) fronts: Vec<(bool, TenantId, Ticket)>,
    pub(super) used: Timestamp,
}

impl HostState {
    pub(super) fn admit(&mut self, tenant: &TenantId, now: Timestamp) -> Admission {
        self.circuits.get_mut(tenant).map_or(Admission::Free, |circuit| circuit.admit(now))
    }

    /// What came of a call; true if it opened the tenant's circuit.
    pub(super) fn record(&mut self, tenant: &TenantId, verdict: Verdict, probe: bool, now: Timestamp) -> bool {
        let mut circuit = self.circuits.remove(tenant).unwrap_or_default();
        let opened = circuit.record(verdict, probe, now);
        if !circuit.is_unmarked() {
            self.circuits.insert(tenant.clone(), circuit);
        }
        opened
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls == 0 && self.waiting.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct TenantState {
    pub(super) calls: usize,
    pub(super) waiting: BTreeSet<Ticket>,
}

/// The first who waits for each host that may be called, by tenant.
pub(super) type Line = BTreeMap<TenantId, BTreeMap<Ticket, Host>>;
