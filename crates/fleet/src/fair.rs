//! Whose turn it is.
//!
//! Bots that can start at once are dispatched at once; the others wait in line, each tenant's in order. As places get free they go
//! to the tenant that has the least of its share: weighted max-min fairness over running bots. So a burst of one tenant waits
//! behind itself, and not in front of others.

use std::collections::BTreeMap;
use std::time::Duration;

/// Bots that may wait in the queue, beyond what the fleet can run now, so that no worker is idle until the line moves. More than the
/// queue depth at which fleets are commonly told to grow.
pub const AHEAD: u64 = 16;
/// And as many again of tenants that have less than their share while others wait: they do not wait for the line to move.
const BESIDE: u64 = AHEAD;

/// How a tenant stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its part of the fleet when everybody wants more than there is.
    pub weight: u32,
    /// Most bots at a time; none for as many as the fleet has.
    pub limit: Option<u64>,
    /// Bots that are running or on their way to a worker.
    pub taken: u64,
    /// Bots that wait in line.
    pub held: u64,
}

impl Share {
    fn may_have_more(&self) -> bool {
        self.held > 0 && self.limit.is_none_or(|limit| self.taken < limit)
    }

    /// What a tenant has of its share once it has `more`, times a constant. Less is sooner.
    fn rank(&self, more: u64) -> u128 {
        u128::from(self.taken + more) * u128::from(u32::MAX) / u128::from(self.weight.max(1))
    }

    /// How many of its own that wait will have been taken when somebody's turn with `rank` comes; with `before`, also in a draw.
    fn ahead_of(&self, rank: u128, before: bool) -> u64 {
        let most = self.limit.map_or(self.held, |limit| self.held.min(limit.saturating_sub(self.taken)));
        // The largest count whose rank is smaller; ranks grow with it.
        let is_ahead = |count: u64| if before { self.rank(count) <= rank } else { self.rank(count) < rank };
        let (mut ahead, mut beyond) = (0, most + 1);
        while beyond - ahead > 1 {
            let middle = ahead + (beyond - ahead) / 2;
            if is_ahead(middle) { ahead = middle } else { beyond = middle }
        }
        ahead
    }
}

/// Places, and who wants them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line<Tenant> {
    /// Bots that the fleet can run: room of workers that take bots, and what already runs anywhere.
    pub capacity: u64,
    /// Everybody who has or wants something.
    pub tenants: BTreeMap<Tenant, Share>,
}

impl<Tenant> Default for Line<Tenant> {
    fn default() -> Self {
        Self { capacity: 0, tenants: BTreeMap::new() }
    }
}

impl<Tenant: Ord + Clone> Line<Tenant> {
    /// Most bots that this tenant may have running or on their way, so that one more can be dispatched at once. `own` is how
    /// it stands, whether it is in line or not.
    ///
    /// One that has bots in line gets none past them. Others get their share of the fleet, and a little more that may wait in
    /// the queue, as long as no more wait there than may: who is in line has an order among all, and more time.
    #[must_use]
    pub fn at_once(&self, tenant: &Tenant, own: Share) -> u64 {
        if own.held > 0 {
            return 0;
        }
        let wants = |share: &Share| share.taken + share.held > 0;
        let others = self.tenants.iter().filter(|(other, share)| *other != tenant && wants(share));
        let (others, weight) =
            others.fold((0_u64, 0_u64), |(others, sum), (_, share)| (others + 1, sum + u64::from(share.weight.max(1))));
        let own_weight = u64::from(own.weight.max(1));
        let fair = (self.capacity + AHEAD) * own_weight / (weight + own_weight);
        // What others leave is there for whoever comes first.
        let taken: u64 = self.tenants.iter().filter(|(other, _)| *other != tenant).map(|(_, share)| share.taken).sum();
        let waiting = self.tenants.values().any(Share::may_have_more);
        let left = (self.capacity + AHEAD).saturating_sub(taken);
        let most = if others > 0 && waiting { fair } else { fair.max(left) };
        let beside = (self.capacity + AHEAD + BESIDE).saturating_sub(taken.saturating_add(own.taken));
        let most = most.min(own.taken.saturating_add(beside));
        own.limit.map_or(most, |limit| limit.min(most))
    }

    /// Gives the next place away: whose bot that waits longest is to be dispatched. None when there is no place, or nobody who
    /// may have one.
    pub fn give(&mut self) -> Option<Tenant> {
        let taken: u64 = self.tenants.values().map(|share| share.taken).sum();
        if taken >= self.capacity + AHEAD {
            return None;
        }
        let waiting = self.tenants.iter_mut().filter(|(_, share)| share.may_have_more());
        let (tenant, share) = waiting.min_by_key(|(_, share)| share.rank(1))?;
        share.taken += 1;
        share.held -= 1;
        Some(tenant.clone())
    }

    /// How many bots get a place before the one of this tenant that has `before` of its own in front of it, if nobody else
    /// comes or goes.
    #[must_use]
    pub fn ahead_of(&self, tenant: &Tenant, before: u64) -> u64 {
        let Some(own) = self.tenants.get(tenant) else { return before };
        let rank = own.rank(before + 1);
        let others = self.tenants.iter().filter(|(other, _)| *other != tenant);
        before + others.map(|(other, share)| share.ahead_of(rank, other < tenant)).sum::<u64>()
    }

    /// What the bot of this tenant can expect that waits in line with `before` of its own in front. `running` bots are with a
    /// worker, the other ones that have a place are in the queue; calls take `stay`.
    #[must_use]
    pub fn outlook(&self, tenant: &Tenant, before: u64, running: u64, stay: Duration) -> Outlook {
        let ahead = self.queued(running) + self.ahead_of(tenant, before);
        let of_fleet = wait(ahead, self.capacity.saturating_sub(running), self.capacity, stay);
        let own = self.tenants.get(tenant).and_then(|own| own.limit.map(|limit| (own.taken, limit)));
        let of_own =
            own.map_or(Some(Duration::ZERO), |(taken, limit)| wait(before, limit.saturating_sub(taken), limit, stay));
        Outlook { ahead, eta: of_fleet.zip(of_own).map(|(fleet, own)| fleet.max(own)) }
    }

    /// The same for one that is in the queue, at the worst: nobody knows who of those there is first.
    #[must_use]
    pub fn outlook_queued(&self, running: u64, stay: Duration) -> Outlook {
        let ahead = self.queued(running).saturating_sub(1);
        Outlook { ahead, eta: wait(ahead, self.capacity.saturating_sub(running), self.capacity, stay) }
    }

    fn queued(&self, running: u64) -> u64 {
        self.tenants.values().map(|share| share.taken).sum::<u64>().saturating_sub(running)
    }

    /// Bots in line that are kept there by the size of the fleet alone: more workers would run them.
    #[must_use]
    pub fn wanting(&self) -> u64 {
        let wanting =
            |share: &Share| share.limit.map_or(share.held, |limit| share.held.min(limit.saturating_sub(share.taken)));
        self.tenants.values().map(wanting).sum()
    }
}

/// What a bot that waits can expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// So many bots get to a worker first.
    pub ahead: u64,
    /// It gets there after this time, at a guess; none if nobody can say, as there are no workers.
    pub eta: Option<Duration>,
}

/// Until the place comes that `ahead` others do not take: `free` there are now, of `places`.
fn wait(ahead: u64, free: u64, places: u64, stay: Duration) -> Option<Duration> {
    match ahead.checked_sub(free) {
        None => Some(Duration::ZERO),
        Some(_) if places == 0 => None,
        Some(ahead) => Some(eta(ahead, places, stay)),
    }
}

/// When a place comes, at a guess: `ahead` bots get one first, of `places` that get free one after the other as calls end that
/// take `stay` each.
#[must_use]
pub fn eta(ahead: u64, places: u64, stay: Duration) -> Duration {
    let turns = u32::try_from(ahead.saturating_add(1)).unwrap_or(u32::MAX);
    stay.saturating_mul(turns) / u32::try_from(places.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
