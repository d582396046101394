//! How many machines it takes.

use serde::Serialize;

use crate::admission::{Budget, Host, Limit};
use crate::cost::Cost;
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

/// Hosts, bots, and what they cost when it goes on like this.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bill {
    /// Hosts times hours, in a day.
    pub host_hours_per_day: f64,
    /// Bots with a host times hours, in a day.
    pub bot_hours_per_day: f64,
    /// USD, if there is a price.
    pub usd_per_day: Option<f64>,
    /// USD in seven days.
    pub usd_per_week: Option<f64>,
    /// USD in thirty days.
    pub usd_per_month: Option<f64>,
    /// USD for one bot for an hour.
    pub usd_per_bot_hour: Option<f64>,
}

const HOURS: f64 = 24.0;

impl PerHost {
    /// The same decision as a worker's, for bots of this cost.
    #[must_use]
    pub fn of(host: Host, cost: Cost, headroom_percent: u8, slots: Option<u32>) -> Self {
        let budget = Budget::of(host, slots.unwrap_or(u32::MAX), headroom_percent, cost);
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
    /// For hosts that are there all the time, with so many bots on them. A price is in USD per host and hour.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of machines")]
    pub fn steady(hosts: u64, bots: u64, price: Option<f64>) -> Self {
        Self::new(hosts as f64 * HOURS, bots as f64 * HOURS, price)
    }

    /// For a simulated fleet whose meetings stand for so many days.
    #[must_use]
    pub fn of(outcome: &Outcome, days: f64, price: Option<f64>) -> Self {
        Self::new(outcome.host_hours / days, outcome.bot_hours / days, price)
    }

    fn new(host_hours: f64, bot_hours: f64, price: Option<f64>) -> Self {
        let usd = price.map(|price| price * host_hours);
        Self {
            host_hours_per_day: host_hours,
            bot_hours_per_day: bot_hours,
            usd_per_day: usd,
            usd_per_week: usd.map(|usd| usd * 7.0),
            usd_per_month: usd.map(|usd| usd * 30.0),
            usd_per_bot_hour: usd.filter(|_| bot_hours > 0.0).map(|usd| usd / bot_hours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostType;

    #[test]
    fn the_guide_has_15_to_20_bots_on_a_c5_4xlarge() {
        let host = HostType::read("c5.4xlarge").unwrap();
        let plan = PerHost::of(host.host(), Cost::PLANNED, 15, None);
        assert!((15..=20).contains(&plan.bots_per_host), "{plan:?}");
        assert_eq!(plan.hosts_for(500), Some(32));
        let bill = Bill::steady(32, 500, Some(0.68));
        assert!((bill.usd_per_month.unwrap() - 32.0 * 0.68 * 720.0).abs() < 0.01);
        assert!((bill.usd_per_bot_hour.unwrap() - 32.0 * 0.68 / 500.0).abs() < 1e-9);
        assert_eq!(Bill::steady(1, 0, Some(1.0)).usd_per_bot_hour, None);
    }

    #[test]
    fn each_limit_binds_where_it_is_the_least() {
        let host = Host { memory_bytes: 32 << 30, cpu_millis: 16_000, descriptors: 65_535, shm_bytes: 64 << 20 };
        let bots = |cost, slots| {
            let plan = PerHost::of(host, cost, 15, slots);
            let least =
                plan.by_limit.iter().filter_map(|by| by.bots.map(|bots| (bots, by.limit))).min_by_key(|by| by.0);
            assert_eq!(least, Some((plan.bots_per_host, plan.binding)), "what binds is the least of the table");
            (plan.bots_per_host, plan.binding)
        };
        let small = Cost { memory_bytes: 100 << 20, cpu_millis: 50, descriptors: 16, shm_bytes: 0 };
        assert_eq!(bots(Cost::PLANNED, None), (16, Limit::Cpu));
        assert_eq!(bots(Cost { memory_bytes: 2 << 30, ..Cost::PLANNED }, None), (13, Limit::Memory));
        assert_eq!(bots(small, Some(40)), (40, Limit::Slots));
        assert_eq!(bots(Cost { descriptors: 1_000, ..small }, None), (65, Limit::Descriptors));
        assert_eq!(bots(Cost { shm_bytes: 4 << 20, ..small }, None), (16, Limit::SharedMemory));
    }

    #[test]
    fn bots_that_are_too_large_need_no_hosts() {
        let host = HostType::read("c5.large").unwrap();
        let cost = Cost { memory_bytes: 8 << 30, ..Cost::PLANNED };
        let plan = PerHost::of(host.host(), cost, 15, None);
        assert_eq!((plan.bots_per_host, plan.binding, plan.hosts_for(1)), (0, Limit::Memory, None));
    }
}
