//! Endpoints as they are now, and how they are doing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_queue::JobQueue;
use muster_session::event::{Event, event_id};
use muster_session::job::Job;
use muster_session::{EndpointId, Timestamp};
use muster_store::{Disabled, Endpoint, SessionStore, StoreError};
use serde_json::json;
use tokio::time::Instant;

use super::decide::Outcome;
use super::sender::{about, own_event};

/// A record that was read so long ago is read again.
const FRESH: Duration = Duration::from_secs(2);
/// The least number of records to clean up for.
const FEW: usize = 1_024;
/// Races between writers of one endpoint are rare and short; more than this many in a row is something else.
const CONFLICT_RETRIES: u32 = 32;
/// The name of the event that tells of an endpoint that was switched off.
const DISABLED: &str = "endpoint.disabled";

/// Reads endpoints, and writes how they are doing.
pub(super) struct Endpoints {
    store: Arc<dyn SessionStore>,
    queue: JobQueue,
    disable_after: Duration,
    known: Mutex<Cache>,
    /// Those that are being disabled.
    ending: Mutex<HashSet<EndpointId>>,
}

#[derive(Default)]
struct Cache {
    endpoints: HashMap<EndpointId, Known>,
    clean_at: usize,
}

struct Known {
    read: Instant,
    endpoint: Option<Arc<Endpoint>>,
}

/// The right to disable an endpoint, until it is dropped.
struct Ending<'a> {
    all: &'a Mutex<HashSet<EndpointId>>,
    id: EndpointId,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("disable_after", &self.disable_after).finish_non_exhaustive()
    }
}

/// What an attempt changes about an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// It is well again.
    Mend,
    /// It fails from now on.
    Fail,
    /// It is to get nothing more, for this reason.
    Disable(String),
}

/// What an attempt that ended at `now` changes. Most change nothing.
fn change(endpoint: &Endpoint, outcome: Outcome, now: Timestamp, disable_after: Duration) -> Option<Change> {
    if endpoint.disabled.is_some() {
        return None;
    }
    match (outcome, endpoint.failing_since) {
        (Outcome::Answered(200..=299), since) => since.map(|_| Change::Mend),
        (Outcome::Answered(410), _) => Some(Change::Disable("it answered 410 Gone".to_owned())),
        (_, None) => Some(Change::Fail),
        (_, Some(since)) if now.since(since) >= disable_after => {
            Some(Change::Disable(format!("no webhook has reached it since {since}")))
        }
        (_, Some(_)) => None,
    }
}

impl Endpoints {
    pub(super) fn new(store: Arc<dyn SessionStore>, queue: JobQueue, disable_after: Duration) -> Self {
        Self { store, queue, disable_after, known: Mutex::default(), ending: Mutex::default() }
    }

    /// The endpoint as it was at most [`FRESH`] ago.
    pub(super) async fn get(&self, id: EndpointId) -> Result<Option<Arc<Endpoint>>, StoreError> {
        if let Some(endpoint) = self.fresh(id) {
            return Ok(endpoint);
        }
        let endpoint = self.store.endpoint(id).await?.map(Arc::new);
        self.remember(id, endpoint.clone());
        Ok(endpoint)
    }

    fn fresh(&self, id: EndpointId) -> Option<Option<Arc<Endpoint>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.endpoints.get(&id).filter(|known| known.read.elapsed() < FRESH).map(|known| known.endpoint.clone())
    }

    fn remember(&self, id: EndpointId, endpoint: Option<Arc<Endpoint>>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.endpoints.len() >= known.clean_at {
            known.endpoints.retain(|_, known| known.read.elapsed() < FRESH);
            known.clean_at = (known.endpoints.len() * 2).max(FEW);
        }
        known.endpoints.insert(id, Known { read: Instant::now(), endpoint });
    }

    /// Takes note of an attempt at this endpoint, as it was when it was called, that ended at `now`. Writes when that changes
    /// something, and the endpoint still has the address that was called.
    pub(super) async fn note(&self, endpoint: &Endpoint, outcome: Outcome, now: Timestamp) -> Result<(), StoreError> {
        match change(endpoint, outcome, now, self.disable_after) {
            None => Ok(()),
            Some(Change::Mend | Change::Fail) => self.update(endpoint, outcome, now, mark).await.map(drop),
            Some(Change::Disable(_)) => match self.end(endpoint.id) {
                Some(_ending) => self.disable(endpoint, outcome, now).await,
                None => Ok(()),
            },
        }
    }

    /// None if it is being disabled already: once is enough to tell of it.
    fn end(&self, id: EndpointId) -> Option<Ending<'_>> {
        let first = self.ending.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        // Made only if it was the first: dropping another would give the right away.
        first.then(|| Ending { all: &self.ending, id })
    }

    /// Tells the tenant first, by an event that is the same in every try: whatever dies in between, it is told.
    async fn disable(&self, called: &Endpoint, outcome: Outcome, now: Timestamp) -> Result<(), StoreError> {
        let Some((endpoint, Change::Disable(reason))) = self.update(called, outcome, now, mark).await? else {
            return Ok(());
        };
        let event = notice(&endpoint, &reason, now);
        let mut others = self.store.endpoints(&endpoint.tenant).await?;
        others.retain(|other| other.id != called.id && other.takes(&event));
        let told = event.bot;
        if !others.is_empty() {
            self.store.notify(&endpoint.tenant, event, &others, now).await?;
        }
        if self.update(called, outcome, now, disable).await?.is_some() {
            tracing::warn!(endpoint = %called.id, tenant = %endpoint.tenant, reason, "an endpoint was disabled");
        }
        if !others.is_empty()
            && let Err(error) = self.queue.send(&Job::Deliver { bot: told }, Duration::ZERO, None).await
        {
            tracing::debug!(%error, "the notice of a disabled endpoint goes out with the next sweep");
        }
        Ok(())
    }

    /// Writes what an attempt changes about the record as it is now, by `edit`; answers what that was, if anything.
    async fn update(
        &self,
        called: &Endpoint,
        outcome: Outcome,
        now: Timestamp,
        edit: fn(Endpoint, &Change, Timestamp) -> Endpoint,
    ) -> Result<Option<(Arc<Endpoint>, Change)>, StoreError> {
        let id = called.id;
        for _ in 0..CONFLICT_RETRIES {
            let stored = self.store.endpoint(id).await?;
            let changed = stored
                .as_ref()
                .filter(|endpoint| endpoint.url == called.url)
                .and_then(|endpoint| Some((endpoint.clone(), change(endpoint, outcome, now, self.disable_after)?)));
            let Some((endpoint, change)) = changed else {
                self.remember(id, stored.map(Arc::new));
                return Ok(None);
            };
            let edited = edit(endpoint.clone(), &change, now);
            let written = if edited == endpoint { Ok(endpoint) } else { self.store.put_endpoint(edited).await };
            match written {
                Ok(endpoint) => {
                    let endpoint = Arc::new(endpoint);
                    self.remember(id, Some(Arc::clone(&endpoint)));
                    return Ok(Some((endpoint, change)));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}

/// The endpoint with its health noted. One that is to be disabled has failed at some time.
fn mark(endpoint: Endpoint, change: &Change, now: Timestamp) -> Endpoint {
    let failing_since = match change {
        Change::Mend => None,
        Change::Fail | Change::Disable(_) => endpoint.failing_since.or(Some(now)),
    };
    Endpoint { failing_since, ..endpoint }
}

/// The endpoint disabled, if that is the change.
fn disable(endpoint: Endpoint, change: &Change, now: Timestamp) -> Endpoint {
    match change {
        Change::Disable(reason) => {
            Endpoint { disabled: Some(Disabled { at: now, reason: reason.clone() }), ..endpoint }
        }
        Change::Mend | Change::Fail => endpoint,
    }
}

/// The event that tells the tenant's other endpoints. Its id and its time are those of this failure, which is noted by now.
fn notice(endpoint: &Endpoint, reason: &str, now: Timestamp) -> Event {
    let since = endpoint.failing_since.unwrap_or(now);
    let about = about(endpoint, since);
    let body = json!({
        "event": DISABLED,
        "bot_event": DISABLED,
        "message": format!("The endpoint {} gets no more webhooks: {reason}", endpoint.url),
        "status_code": 500,
        "timestamp": since.to_rfc3339(),
        "event_id": event_id(about.0, about.1),
        "endpoint_id": endpoint.id,
        "url": endpoint.url,
        "reason": reason,
    });
    own_event(about, DISABLED, since, body)
}

#[cfg(test)]
mod tests {
    use muster_session::TenantId;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn endpoint(failing_since: Option<Timestamp>) -> Endpoint {
        Endpoint {
            id: EndpointId::from_uuid(Uuid::from_u128(1)),
            tenant: TenantId::new("t"),
            version: 1,
            url: "https://example.com/all".parse().unwrap(),
            description: String::new(),
            events: Vec::new(),
            secrets: Vec::new(),
            created_at: NOW,
            failing_since,
            disabled: None,
        }
    }

    #[test]
    fn whoever_tells_of_a_failure_tells_the_same() {
        let failing = endpoint(Some(NOW));
        assert_eq!(notice(&failing, "gone", NOW), notice(&failing, "gone", NOW + DAY));
    }

    #[test]
    fn attempts_change_the_health_of_an_endpoint_and_most_do_not() {
        let gone = || Some(Change::Disable("it answered 410 Gone".into()));
        let long = || Some(Change::Disable(format!("no webhook has reached it since {}", NOW - DAY)));
        let cases = [
            (None, Outcome::Answered(200), None),
            (None, Outcome::Answered(500), Some(Change::Fail)),
            (None, Outcome::NoAnswer, Some(Change::Fail)),
            (None, Outcome::Refused, Some(Change::Fail)),
            (None, Outcome::Answered(410), gone()),
            (Some(NOW), Outcome::Answered(204), Some(Change::Mend)),
            (Some(NOW), Outcome::Answered(404), None),
            (Some(NOW), Outcome::Answered(410), gone()),
            (Some(NOW - DAY + Duration::from_millis(1)), Outcome::NoAnswer, None),
            (Some(NOW - DAY), Outcome::NoAnswer, long()),
            (Some(NOW - DAY), Outcome::Answered(200), Some(Change::Mend)),
        ];
        for (since, outcome, want) in cases {
            assert_eq!(change(&endpoint(since), outcome, NOW, DAY), want, "{since:?} {outcome:?}");
            let disabled = Disabled { at: NOW, reason: String::new() };
            let off = Endpoint { disabled: Some(disabled), ..endpoint(since) };
            assert_eq!(change(&off, outcome, NOW, DAY), None, "{since:?} {outcome:?}");
        }
    }
}
