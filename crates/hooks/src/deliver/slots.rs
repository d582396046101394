//! Who may call next: slots, hosts and tenants. No I/O, no clock.
//!
//! A call takes a slot. One that lasts moves to a place for slow calls, of which there are more, so that receivers that hang
//! cannot keep the others waiting; when those are all taken, the call that has had the most time is given up. A host whose
//! last call was slow gets places of that kind only.
//!
//! Those who wait do so in order for each host. Each tenant has a circuit of its own for a host, which it may share with others
//! that have nothing to do with it. The next slot goes to the tenant that has the fewest calls under way.

mod state;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use muster_session::{TenantId, Timestamp};

use self::state::{Asked, At, HostState, Line, TenantState};
use super::circuit::{Admission, Verdict};
use super::host::Host;
use super::pace::Pace;

/// The state of a host that nobody calls is forgotten after this.
const FORGET: Duration = Duration::from_secs(900);
/// The least number of hosts to clean up for.
const FEW_HOSTS: usize = 1_024;
/// The most hosts to remember that nobody calls.
const MANY_HOSTS: usize = 16_384;

/// How much goes on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Calls that have not lasted yet.
    pub(super) quick: usize,
    /// Calls that have.
    pub(super) slow: usize,
    /// Calls to one host, of both kinds.
    pub(super) host: usize,
    /// Those who wait.
    pub(super) waiting: usize,
}

impl Limits {
    /// For so many quick calls. One that hangs costs a socket and a few kilobytes, so there may be more of them.
    pub(super) fn new(concurrency: usize) -> Self {
        let quick = concurrency.max(1);
        Self { quick, slow: quick * 4, host: (quick / 4).max(1), waiting: quick * 16 }
    }

    /// Bots that can be in hand: each waits or calls, but for a few that read or write.
    pub(super) const fn bots(&self) -> usize {
        self.waiting + self.quick * 2 + self.slow
    }
}

/// What somebody who asked is told. Whoever was let go hears of it in [`Slots::told`] first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Call now; the call counts as slow from the start, or not.
    Go {
        /// Counts as slow.
        slow: bool,
    },
    /// Not before then. Nothing is to be given back.
    Later(Timestamp),
    /// Give the call up: others need the place.
    Cut,
}

/// Number of somebody who asked.
pub(super) type Ticket = u64;

/// All of it.
#[derive(Debug)]
pub(super) struct Slots {
    limits: Limits,
    asked: HashMap<Ticket, Asked>,
    hosts: HashMap<Host, HostState>,
    tenants: HashMap<TenantId, TenantState>,
    quick: usize,
    /// By the order in which they began.
    slow: BTreeMap<u64, Ticket>,
    begun: u64,
    /// Hosts that take a slot, and those that take a place for slow ones.
    lines: [Line; 2],
    waiting: usize,
    next: Ticket,
    clean_at: usize,
    pace: Pace,
    told: Vec<(Ticket, Told)>,
}

impl Slots {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            asked: HashMap::new(),
            hosts: HashMap::new(),
            tenants: HashMap::new(),
            quick: 0,
            slow: BTreeMap::new(),
            begun: 0,
            lines: [Line::new(), Line::new()],
            waiting: 0,
            next: 0,
            clean_at: FEW_HOSTS,
            pace: Pace::default(),
            told: Vec::new(),
        }
    }

    /// Asks for a call. What comes of it is [told](Self::told); whoever is told to go has to [end](Self::end) it.
    pub(super) fn ask(&mut self, tenant: &TenantId, host: &Host, overdue: bool, now: Timestamp) -> Ticket {
        self.clean(now);
        let ticket = self.next;
        self.next += 1;
        let state = self.hosts.entry(host.clone()).or_default();
        state.used = now;
        let admission = if overdue { Admission::Free } else { state.admit(tenant, now) };
        let probe = match admission {
            Admission::Later(until) => {
                self.told.push((ticket, Told::Later(until)));
                return ticket;
            }
            Admission::Free => false,
            Admission::Probe => true,
        };
        state.waiting.entry(tenant.clone()).or_default().insert(ticket);
        self.tenants.entry(tenant.clone()).or_default().waiting.insert(ticket);
        self.waiting += 1;
        let asked = Asked {
            tenant: tenant.clone(),
            host: host.clone(),
            at: At::Waiting,
            begun: 0,
            lasted: false,
            probe,
            overdue,
        };
        self.asked.insert(ticket, asked);
        self.refresh(host);
        self.fill();
        if self.waiting > self.limits.waiting {
            self.send_one_away(now);
        }
        ticket
    }

    /// A call lasts.
    pub(super) fn lasts(&mut self, ticket: Ticket) {
        let Some(asked) = self.asked.get_mut(&ticket) else { return };
        asked.lasted = true;
        if asked.at != At::Quick {
            return;
        }
        asked.at = At::Slow;
        let (host, begun) = (asked.host.clone(), asked.begun);
        self.quick -= 1;
        if self.slow.len() >= self.limits.slow
            && let Some((_, oldest)) = self.slow.pop_first()
        {
            self.asked.get_mut(&oldest).expect("what has a place is known").at = At::Cut;
            self.told.push((oldest, Told::Cut));
        }
        self.slow.insert(begun, ticket);
        self.mark(&host, true);
        self.fill();
    }

    /// A call is over, or its caller waits no more.
    pub(super) fn end(&mut self, ticket: Ticket, verdict: Verdict, now: Timestamp) {
        let Some(asked) = self.asked.get(&ticket) else { return };
        if asked.at == At::Waiting {
            self.leave(ticket, now);
            return;
        }
        let Asked { tenant, host, at, begun, lasted, probe, .. } = self.asked.remove(&ticket).expect("it was there");
        match at {
            At::Quick => self.quick -= 1,
            At::Slow => drop(self.slow.remove(&begun)),
            At::Cut | At::Waiting => {}
        }
        self.pace.ended(now);
        if let Some(state) = self.tenants.get_mut(&tenant) {
            state.calls -= 1;
            self.forget_tenant(&tenant);
        }
        let state = self.hosts.get_mut(&host).expect("a host that is called is known");
        state.calls -= 1;
        state.used = now;
        if !lasted && verdict != Verdict::Unknown {
            state.slow = false;
        }
        if state.record(&tenant, verdict, probe, now) {
            self.send_away(&host, &tenant, now);
        }
        self.refresh(&host);
        self.forget_host(&host);
        self.fill();
    }

    /// What is to be told to those who asked, since it was last taken.
    pub(super) fn told(&mut self) -> Vec<(Ticket, Told)> {
        std::mem::take(&mut self.told)
    }

    /// Gives out what is free.
    fn fill(&mut self) {
        for slow in [false, true] {
            loop {
                let full = if slow { self.slow.len() >= self.limits.slow } else { self.quick >= self.limits.quick };
                let Some(ticket) = (if full { None } else { self.first(slow) }) else { break };
                self.grant(ticket, slow);
            }
        }
    }

    /// Of the tenants with the fewest calls the one who waits longest.
    fn first(&self, slow: bool) -> Option<Ticket> {
        let fronts = self.lines[usize::from(slow)].iter();
        let first = |(tenant, hosts): (&TenantId, &BTreeMap<Ticket, Host>)| {
            let ticket = *hosts.first_key_value()?.0;
            Some((self.tenants.get(tenant).map_or(0, |state| state.calls), ticket))
        };
        fronts.filter_map(first).min().map(|(_, ticket)| ticket)
    }

    fn grant(&mut self, ticket: Ticket, slow: bool) {
        let host = self.unqueue(ticket).expect("who is first in line waits");
        let asked = self.asked.get_mut(&ticket).expect("who waits is known");
        self.begun += 1;
        asked.begun = self.begun;
        asked.at = if slow { At::Slow } else { At::Quick };
        self.tenants.entry(asked.tenant.clone()).or_default().calls += 1;
        self.hosts.entry(host.clone()).or_default().calls += 1;
        if slow {
            self.slow.insert(asked.begun, ticket);
        } else {
            self.quick += 1;
        }
        self.told.push((ticket, Told::Go { slow }));
        self.refresh(&host);
    }

    /// Somebody stops to wait.
    fn leave(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(host) = self.unqueue(ticket) else { return };
        let asked = self.asked.remove(&ticket).expect("who waits is known");
        self.forget_tenant(&asked.tenant);
        if asked.probe
            && let Some(state) = self.hosts.get_mut(&host)
        {
            state.record(&asked.tenant, Verdict::Unknown, true, now);
        }
        self.refresh(&host);
        self.forget_host(&host);
    }

    /// Takes somebody out of the queues; answers whom they wait for.
    fn unqueue(&mut self, ticket: Ticket) -> Option<Host> {
        let Asked { tenant, host, .. } = self.asked.get(&ticket).filter(|asked| asked.at == At::Waiting)?.clone();
        let state = self.hosts.get_mut(&host)?;
        if let Some(queue) = state.waiting.get_mut(&tenant) {
            queue.remove(&ticket);
            if queue.is_empty() {
                state.waiting.remove(&tenant);
            }
        }
        if let Some(state) = self.tenants.get_mut(&tenant) {
            state.waiting.remove(&ticket);
        }
        self.waiting -= 1;
        Some(host)
    }

    /// Too many wait: the tenant with the most of them has its last one come back later.
    fn send_one_away(&mut self, now: Timestamp) {
        let last = |state: &TenantState| Some((state.waiting.len(), *state.waiting.last()?));
        let Some((_, ticket)) = self.tenants.values().filter_map(last).max() else { return };
        self.leave(ticket, now);
        self.told.push((ticket, Told::Later(self.pace.back(now))));
    }

    /// The circuit of a host opened for a tenant: what waits there for it comes back later.
    fn send_away(&mut self, host: &Host, tenant: &TenantId, now: Timestamp) {
        let Some(state) = self.hosts.get(host) else { return };
        let asked = &self.asked;
        let waiting = state.waiting.get(tenant).into_iter().flatten().copied();
        let tickets: Vec<Ticket> = waiting.filter(|ticket| asked.get(ticket).is_some_and(|a| !a.overdue)).collect();
        for ticket in tickets {
            self.leave(ticket, now);
            let Some(state) = self.hosts.get_mut(host) else { return };
            if let Admission::Later(until) = state.admit(tenant, now) {
                self.told.push((ticket, Told::Later(until)));
            }
        }
    }

    fn mark(&mut self, host: &Host, slow: bool) {
        if let Some(state) = self.hosts.get_mut(host) {
            state.slow = slow;
        }
        self.refresh(host);
    }

    /// Makes the lines right again for a host.
    fn refresh(&mut self, host: &Host) {
        let Some(state) = self.hosts.get_mut(host) else { return };
        for (slow, tenant, ticket) in state.fronts.drain(..) {
            let line = &mut self.lines[usize::from(slow)];
            if let Some(hosts) = line.get_mut(&tenant) {
                hosts.remove(&ticket);
                if hosts.is_empty() {
                    line.remove(&tenant);
                }
            }
        }
        if state.calls >= self.limits.host {
            return;
        }
        for (tenant, queue) in &state.waiting {
            let Some(ticket) = queue.first().copied() else { continue };
            let line = &mut self.lines[usize::from(state.slow)];
            line.entry(tenant.clone()).or_default().insert(ticket, host.clone());
            state.fronts.push((state.slow, tenant.clone(), ticket));
        }
    }

    fn forget_tenant(&mut self, tenant: &TenantId) {
        if self.tenants.get(tenant).is_some_and(|state| state.calls == 0 && state.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }

    fn forget_host(&mut self, host: &Host) {
        let known = |state: &HostState| state.slow || !state.circuits.is_empty() || !state.is_idle();
        if !self.hosts.get(host).is_some_and(known) {
            self.hosts.remove(host);
        }
    }

    /// Forgets hosts that were not called for long; all that are not called when there are too many.
    fn clean(&mut self, now: Timestamp) {
        if self.hosts.len() < self.clean_at {
            return;
        }
        self.hosts.retain(|_, state| !state.is_idle() || now.since(state.used) < FORGET);
        if self.hosts.len() >= MANY_HOSTS {
            self.hosts.retain(|_, state| !state.is_idle());
        }
        self.clean_at = (self.hosts.len() * 2).max(FEW_HOSTS);
    }
}

#[cfg(test)]
mod tests;
