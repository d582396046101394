//! How many machines it takes.

use serde::Serialize;

use crate::admission::{Budget, Limit};
use crate::cost::Cost;
use crate::host::HostType;
use crate::simulate::Outcome;

/// How many bots a host takes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PerHost {
    /// Bots of one host: the least of what follows.
    pub bots_per_host: u32,
    /// Which limit that is.
    pub binding: Limit,
    /// Bots by each limit.
    pub by_limit: Vec<ByLimit>,
    /// What bots may use of a host, after what stays free.
    pub budget: Budget,
}

/// Bots by one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ByLimit {
    /// The limit.
    pub limit: Limit,
    /// Bots that it lets in; none if it does not matter.
    pub bots: Option<u32>,
}

/// Hosts and what they cost.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bill {
    /// Hosts times hours.
    pub host_hours: f64,
    /// In the calls or on the way, times hours.
    pub bot_hours: f64,
    /// USD, if there is a price.
    pub usd: Option<f64>,
    /// USD for one bot for an hour.
    pub usd_per_bot_hour: Option<f64>,
    /// USD in 30 days that go on like this.
    pub usd_per_month: Option<f64>,
}

const HOURS_OF_A_MONTH: f64 = 720.0;

impl PerHost {
    /// The same decision as a worker's, for bots of this cost.
    #[must_use]
    pub fn of(host: &HostType, cost: Cost, headroom_percent: u8, slots: Option<u32>) -> Self {
        let budget = Budget::of(host.host(), slots.unwrap_or(u32::MAX), headroom_percent, cost);
        let (bots_per_host, binding) = budget.fits(cost);
        let alone = |limit, budget: u64, cost: u64| ByLimit {
            limit,
            bots: budget.checked_div(cost).map(|bots| u32::try_from(bots).unwrap_or(u32::MAX)),
        };
        let by_limit = vec![
            ByLimit { limit: Limit::Slots, bots: slots },
            alone(Limit::Memory, budget.memory_bytes, cost.memory_bytes),
            alone(Limit::Cpu, budget.cpu_millis, cost.cpu_millis),
            alone(Limit::Descriptors, budget.descriptors, cost.descriptors),
            alone(Limit::SharedMemory, budget.shm_bytes, cost.shm_bytes),
        ];
        Self { bots_per_host, binding, by_limit, budget }
    }

    /// Hosts for so many bots; none if not one bot fits.
    #[must_use]
    pub fn hosts_for(&self, bots: u64) -> Option<u64> {
        (self.bots_per_host > 0).then(|| bots.div_ceil(u64::from(self.bots_per_host)))
    }
}

impl Bill {
    /// For hosts that are there all the time, with so many bots on them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of machines")]
    pub fn steady(hosts: u64, bots: u64, price: Option<f64>) -> Self {
        Self::new(hosts as f64, bots as f64, price, HOURS_OF_A_MONTH)
    }

    /// For a simulated fleet that was watched for so many hours.
    #[must_use]
    pub fn of(outcome: &Outcome, slots: u32, price: Option<f64>, hours: f64) -> Self {
        let bot_hours = outcome.host_hours * f64::from(slots) * outcome.utilisation;
        Self::new(outcome.host_hours, bot_hours, price, HOURS_OF_A_MONTH / hours.max(1.0))
    }

    fn new(host_hours: f64, bot_hours: f64, price: Option<f64>, times_a_month: f64) -> Self {
        let usd = price.map(|price| price * host_hours);
        Self {
            host_hours,
            bot_hours,
            usd,
            usd_per_bot_hour: usd.filter(|_| bot_hours > 0.0).map(|usd| usd / bot_hours),
            usd_per_month: usd.map(|usd| usd * times_a_month),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_15_to_20_bots_on_a_c5_4xlarge() {
        let host = HostType::read("c5.4xlarge").unwrap();
        let plan = PerHost::of(&host, Cost::PLANNED, 15, None);
        assert!((15..=20).contains(&plan.bots_per_host), "{plan:?}");
        assert_eq!(plan.hosts_for(500), Some(32));
        let bill = Bill::steady(32, 500, host.price);
        assert!((bill.usd_per_month.unwrap() - 32.0 * 0.68 * 720.0).abs() < 0.01);
    }

    #[test]
    fn bots_that_are_too_large_need_no_hosts() {
        let host = HostType::read("c5.large").unwrap();
        let cost = Cost { memory_bytes: 8 << 30, ..Cost::PLANNED };
        let plan = PerHost::of(&host, cost, 15, None);
        assert_eq!((plan.bots_per_host, plan.binding, plan.hosts_for(1)), (0, Limit::Memory, None));
    }
}
