//! `[limits]` and `[tenants.NAME.limits]`: how much a tenant may have at a time, and what happens beyond it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use muster_fleet::fair::Share;
use muster_session::TenantId;
use muster_store::TenantLoad;

use super::reader::Reader;

const CONCURRENCY: RangeInclusive<u32> = 0..=1_000_000;
const WEIGHT: RangeInclusive<u32> = 1..=1_000;
const REQUESTS: RangeInclusive<u32> = 0..=10_000_000;
const WAITING: RangeInclusive<u32> = 0..=10_000_000;
const BEYOND: [&str; 2] = ["queue", "refuse"];
/// What nobody reaches who does not mean to: a thousand a second.
const REQUESTS_DEFAULT: u32 = 60_000;
const WAITING_DEFAULT: u32 = 100_000;

/// What becomes of a bot when its tenant has as many as it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beyond {
    /// It waits in line.
    #[default]
    Queue,
    /// It is refused: 429. Those that wait, for room in the fleet or as they were scheduled, are of that number.
    Refuse,
}

/// What one tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Most bots at a time; none for as many as the fleet has.
    pub concurrency: Option<u64>,
    /// What becomes of more.
    pub beyond: Beyond,
    /// Its part of the fleet when everybody wants more than there is.
    pub weight: u32,
    /// Most requests in a minute to each process of the API; none for any number.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Most bots that wait in line; more are refused.
    pub max_waiting: u64,
}

impl Default for Tier {
    /// Nothing is limited but the line.
    fn default() -> Self {
        Self {
            concurrency: None,
            beyond: Beyond::Queue,
            weight: 1,
            requests_per_minute: None,
            max_waiting: WAITING_DEFAULT.into(),
        }
    }
}

/// What each tenant may have. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tiers {
    everybody: Tier,
    /// Those with limits of their own.
    tenants: Arc<BTreeMap<TenantId, Tier>>,
}

impl Tiers {
    /// The same for everybody but these.
    #[must_use]
    pub fn new(everybody: Tier, tenants: impl IntoIterator<Item = (TenantId, Tier)>) -> Self {
        Self { everybody, tenants: Arc::new(tenants.into_iter().collect()) }
    }

    /// What this tenant may have.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Tier {
        self.tenants.get(tenant).copied().unwrap_or(self.everybody)
    }

    /// How a tenant stands that has this much.
    #[must_use]
    pub fn share(&self, load: &TenantLoad) -> Share {
        let Tier { weight, concurrency: limit, .. } = self.of(&load.tenant);
        Share { weight, limit, taken: load.taken, held: load.held }
    }

    /// Every different number of requests in a minute.
    pub(crate) fn rates(&self) -> BTreeSet<NonZeroU32> {
        let all = std::iter::once(&self.everybody).chain(self.tenants.values());
        all.filter_map(|tier| tier.requests_per_minute).collect()
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let concurrency = r.integer(
            "limits.concurrency",
            0,
            0,
            *CONCURRENCY.end(),
            "Most bots that a tenant has at a time, in calls and on their way; 0 for as many as the fleet has.",
        );
        let beyond = r.choice("limits.beyond", &BEYOND, "What becomes of more: `queue` lets them wait in line, `refuse` answers 429 with Retry-After, and counts bots that wait for room in the fleet. Bots that are scheduled always wait.");
        let weight = r.integer("limits.weight", 1, 1, *WEIGHT.end(), "A tenant's part of the fleet when all together want more than there is: one with 3 gets three times as much as one with 1.");
        let requests = r.integer("limits.requests_per_minute", REQUESTS_DEFAULT, 0, *REQUESTS.end(), "Most requests of a tenant in a minute to each process of the API; more are answered 429 with Retry-After. 0 for any number.");
        let waiting = r.integer(
            "limits.max_waiting",
            WAITING_DEFAULT,
            0,
            *WAITING.end(),
            "Most bots of a tenant that wait in line; more are answered 429.",
        );
        let everybody = Tier {
            concurrency: some(concurrency),
            beyond: beyond_of(beyond),
            weight,
            requests_per_minute: NonZeroU32::new(requests),
            max_waiting: waiting.into(),
        };
        for (key, doc) in [
            ("tenants.NAME.limits.concurrency", "For the tenant NAME, instead of limits.concurrency."),
            ("tenants.NAME.limits.beyond", "For the tenant NAME, instead of limits.beyond."),
            ("tenants.NAME.limits.weight", "For the tenant NAME, instead of limits.weight."),
            ("tenants.NAME.limits.requests_per_minute", "For the tenant NAME, instead of limits.requests_per_minute."),
            ("tenants.NAME.limits.max_waiting", "For the tenant NAME, instead of limits.max_waiting."),
        ] {
            r.document(key, doc);
        }
        let tenants = r.tenants("limits").into_iter().map(|name| (tenant(r, &name, everybody), name));
        let tenants: Vec<_> = tenants.map(|(tier, name)| (TenantId::new(name), tier)).collect();
        Self::new(everybody, tenants)
    }
}

fn tenant(r: &mut Reader<'_>, name: &str, everybody: Tier) -> Tier {
    let path = |key| ["tenants", name, "limits", key];
    Tier {
        concurrency: r.integer_of(path("concurrency"), CONCURRENCY).map_or(everybody.concurrency, some),
        beyond: r.choice_of(path("beyond"), &BEYOND).map_or(everybody.beyond, beyond_of),
        weight: r.integer_of(path("weight"), WEIGHT).unwrap_or(everybody.weight),
        requests_per_minute: r
            .integer_of(path("requests_per_minute"), REQUESTS)
            .map_or(everybody.requests_per_minute, NonZeroU32::new),
        max_waiting: r.integer_of(path("max_waiting"), WAITING).map_or(everybody.max_waiting, u64::from),
    }
}

/// Zero is no limit.
fn some(concurrency: u32) -> Option<u64> {
    NonZeroU32::new(concurrency).map(|most| most.get().into())
}

fn beyond_of(name: &str) -> Beyond {
    if name == BEYOND[1] { Beyond::Refuse } else { Beyond::Queue }
}
