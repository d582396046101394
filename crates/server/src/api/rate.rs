//! How many requests a tenant makes: counted by its key, said in the headers of every answer, and refused beyond the limit.
//!
//! `RateLimit` and `RateLimit-Policy` are those of the IETF's draft (draft-ietf-httpapi-ratelimit-headers), `X-RateLimit-*` the
//! ones that clients knew before it; `X-RateLimit-Reset` is in seconds since the epoch.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use muster_session::TenantId;

use super::error::ApiError;
use crate::clock::Clock;
use crate::config::Tiers;

/// What a limit is for.
const WINDOW: Duration = Duration::from_secs(60);
/// Tenants that were not here for a window are forgotten after so many requests.
const FORGET_EVERY: u64 = 4_096;

type Limiter = RateLimiter<TenantId, HashMapStateStore<TenantId>, Told, StateInformationMiddleware>;

/// Time that only goes forward, from any beginning.
#[derive(Clone)]
struct Told(Arc<dyn Fn() -> Duration + Send + Sync>);

impl governor::clock::Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        (self.0)().into()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Told").field(&(self.0)()).finish()
    }
}

/// Counts requests. What it keeps is of tenants that have a key, and of the last minute.
#[derive(Debug)]
pub struct Rates {
    tiers: Tiers,
    /// By requests in a minute.
    limiters: BTreeMap<NonZeroU32, Limiter>,
    counted: AtomicU64,
    clock: Told,
}

/// How a tenant stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    limit: u32,
    remaining: u32,
    /// Until nothing is used any more.
    reset: Duration,
    /// The request was one too many; another may be made after this time.
    refused: Option<Duration>,
}

impl Rates {
    /// With the limits of these tenants.
    #[must_use]
    pub fn new(tiers: Tiers) -> Self {
        let began = Instant::now();
        Self::told_by(tiers, move || began.elapsed())
    }

    /// The same by another clock; tests pass one they can move. It must not go back.
    #[must_use]
    pub fn told_by(tiers: Tiers, tell: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let clock = Told(Arc::new(tell));
        let limiter = |most: NonZeroU32| {
            let store = HashMapStateStore::default();
            Limiter::new(Quota::per_minute(most), store, clock.clone())
        };
        let limiters = tiers.rates().into_iter().map(|most| (most, limiter(most))).collect();
        Self { tiers, limiters, counted: AtomicU64::new(0), clock }
    }

    fn count(&self, tenant: &TenantId) -> Option<Standing> {
        let most = self.tiers.of(tenant).requests_per_minute?;
        let limiter = self.limiters.get(&most)?;
        if self.counted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiters.values().for_each(RateLimiter::retain_recent);
        }
        let limit = most.get();
        Some(match limiter.check_key(tenant) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = WINDOW * limit.saturating_sub(remaining) / limit;
                Standing { limit, remaining, reset, refused: None }
            }
            Err(until) => {
                let refused = Some(until.wait_time_from(self.clock.now()));
                Standing { limit, remaining: 0, reset: WINDOW, refused }
            }
        })
    }
}

/// Where the request in hand notes how its tenant stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(Arc<OnceLock<Standing>>);

impl Counted {
    /// Counts the request, once however often it is asked.
    pub(super) fn count(&self, rates: &Rates, tenant: &TenantId) -> Result<(), ApiError> {
        if self.0.get().is_some() {
            return Ok(());
        }
        let Some(standing) = rates.count(tenant) else { return Ok(()) };
        let standing = self.0.get_or_init(|| standing);
        match standing.refused {
            None => Ok(()),
            Some(wait) => {
                let message = format!("Too many requests: the limit is {} in a minute", standing.limit);
                Err(ApiError::too_many(message, wait))
            }
        }
    }
}

/// Puts the headers on every answer to a request that was counted.
pub(super) async fn layer(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    let counted = Counted::default();
    request.extensions_mut().insert(counted.clone());
    let mut response = next.run(request).await;
    if let Some(standing) = counted.0.get() {
        say(*standing, clock.now().as_millis() / 1_000, response.headers_mut());
    }
    response
}

fn say(standing: Standing, now: i64, headers: &mut HeaderMap) {
    let Standing { limit, remaining, reset, .. } = standing;
    let reset = seconds(reset);
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("ratelimit-policy", format!("\"requests\";q={limit};w={}", WINDOW.as_secs()));
    put("ratelimit", format!("\"requests\";r={remaining};t={reset}"));
    put("x-ratelimit-limit", limit.to_string());
    put("x-ratelimit-remaining", remaining.to_string());
    put("x-ratelimit-reset", now.saturating_add_unsigned(reset).to_string());
}

/// Whole seconds, rounded up.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tier;

    fn tier(requests: u32) -> Tier {
        Tier { requests_per_minute: NonZeroU32::new(requests), ..Tier::default() }
    }

    #[test]
    fn each_tenant_has_its_own_count() {
        let tenant = TenantId::new;
        let tiers = Tiers::new(tier(2), [(tenant("big"), tier(100)), (tenant("free"), tier(0))]);
        let now = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&now);
        let rates = Rates::told_by(tiers, move || Duration::from_secs(told.load(Ordering::Relaxed)));
        let first = rates.count(&tenant("a")).unwrap();
        assert_eq!((first.limit, first.remaining, first.refused), (2, 1, None));
        assert_eq!(first.reset, Duration::from_secs(30));
        assert_eq!(rates.count(&tenant("a")).unwrap().remaining, 0);
        let over = rates.count(&tenant("a")).unwrap();
        assert_eq!(over.refused, Some(Duration::from_secs(30)));
        assert_eq!(rates.count(&tenant("b")).unwrap().remaining, 1);
        assert_eq!(rates.count(&tenant("big")).unwrap().remaining, 99);
        assert_eq!(rates.count(&tenant("free")), None);
        now.store(29, Ordering::Relaxed);
        assert_eq!(rates.count(&tenant("a")).unwrap().refused, Some(Duration::from_secs(1)));
        now.store(30, Ordering::Relaxed);
        assert_eq!(rates.count(&tenant("a")).unwrap().refused, None);
    }

    #[test]
    fn a_standing_is_said_in_both_ways() {
        let mut headers = HeaderMap::new();
        let standing = Standing { limit: 600, remaining: 598, reset: Duration::from_millis(201), refused: None };
        say(standing, 1_000, &mut headers);
        let of = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(of("ratelimit-policy"), "\"requests\";q=600;w=60");
        assert_eq!(of("ratelimit"), "\"requests\";r=598;t=1");
        assert_eq!(
            (of("x-ratelimit-limit"), of("x-ratelimit-remaining"), of("x-ratelimit-reset")),
            ("600", "598", "1001")
        );
    }
}
