//! One delivery: where it goes now, its turn, the attempt, and what is written of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_session::Timestamp;
use muster_store::{Attempt, Delivery, DeliveryStatus, Endpoint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::decide::{self, Outcome};
use super::gate::{Entered, Permit};
use super::host::Host;
use super::sender::Reply;
use super::{Deliverer, Error};
use crate::resolve::NoTurn;
use crate::sign::{SecretError, Signer};

/// A call that has taken so long takes no slot any more.
const LASTS: Duration = Duration::from_secs(1);

/// Pause before the next try of what was not called, as its name could not be looked up for the names of others.
const BUSY: Duration = Duration::from_secs(5);

/// What became of a delivery for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// What came of it is in the ledger.
    Settled,
    /// It was not tried, and is not to be before then.
    Later(Timestamp),
    /// It was not tried, as nothing more is to be begun.
    Stopped,
}

/// How many receivers are being called for a bot. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<AtomicUsize>);

/// One of them; counts until it is dropped.
struct Calling(Arc<AtomicUsize>);

impl Calls {
    /// True if there is none.
    pub(super) fn none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn begin(&self) -> Calling {
        self.0.fetch_add(1, Ordering::Relaxed);
        Calling(Arc::clone(&self.0))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a delivery goes.
enum Target {
    /// To an address of the bot's own.
    Address,
    /// To an endpoint, as it is now.
    Endpoint(Arc<Endpoint>),
    /// Nowhere any more.
    Nowhere(Cow<'static, str>),
}

impl Target {
    fn url<'a>(&'a self, delivery: &'a Delivery) -> Option<&'a Url> {
        match self {
            Self::Address => Some(&delivery.url),
            Self::Endpoint(endpoint) => Some(&endpoint.url),
            Self::Nowhere(_) => None,
        }
    }
}

impl Deliverer {
    /// Makes one attempt at a delivery when its turn comes, and writes what came of it. Not cancel safe: what was sent may have
    /// arrived, and is sent again.
    pub(super) async fn make(
        &self,
        delivery: &Delivery,
        stop: &CancellationToken,
        calls: &Calls,
    ) -> Result<Made, Error> {
        loop {
            let target = self.target(delivery).await?;
            let host = match (&target, target.url(delivery)) {
                (_, Some(url)) => Host::of(url),
                (Target::Nowhere(why), None) => return self.give_up(delivery, why).await,
                (_, None) => unreachable!("only what goes nowhere has no address"),
            };
            let overdue = decide::is_overdue(delivery, self.now());
            let entering = self.0.gate.enter(&delivery.tenant, &host, overdue);
            let permit = match stop.run_until_cancelled(entering).await {
                None => return Ok(Made::Stopped),
                Some(Entered::Later(until)) => return Ok(Made::Later(until)),
                Some(Entered::Go(permit)) => permit,
            };
            // Waiting may have taken a while.
            let target = self.target(delivery).await?;
            if target.url(delivery).map(Host::of).as_ref() == Some(&host) {
                let _calling = calls.begin();
                return self.attempt(delivery, &target, permit).await;
            }
        }
    }

    async fn target(&self, delivery: &Delivery) -> Result<Target, Error> {
        let Some(id) = delivery.endpoint else { return Ok(Target::Address) };
        Ok(match self.0.endpoints.get(id).await? {
            None => Target::Nowhere("not sent: the endpoint was deleted".into()),
            Some(endpoint) => match &endpoint.disabled {
                Some(disabled) => {
                    Target::Nowhere(format!("not sent: the endpoint is disabled: {}", disabled.reason).into())
                }
                None => Target::Endpoint(endpoint),
            },
        })
    }

    async fn give_up(&self, delivery: &Delivery, why: &str) -> Result<Made, Error> {
        let attempt = Attempt { at: self.now(), http_status: None, latency_ms: 0, detail: why.to_owned(), url: None };
        self.0.store.record_attempt(delivery.id, attempt, DeliveryStatus::Failed).await?;
        Ok(Made::Settled)
    }

    async fn attempt(&self, delivery: &Delivery, target: &Target, permit: Permit) -> Result<Made, Error> {
        let at = self.now();
        let called = match self.signer(delivery, target, at) {
            Ok(signer) => self.call(delivery, target, &signer, &permit, at).await,
            Err(error) => Ok(Reply::without(Outcome::Refused, Instant::now(), error)),
        };
        let Ok(reply) = called else { return Ok(Made::Later(self.now() + BUSY)) };
        permit.end(decide::verdict(reply.outcome));
        let now = self.now();
        if let Target::Endpoint(endpoint) = target
            && let Err(error) = self.0.endpoints.note(endpoint, reply.outcome, now).await
        {
            tracing::warn!(endpoint = %endpoint.id, %error, "how an endpoint is doing could not be noted");
        }
        let status = decide::after_attempt(reply.outcome, delivery.failures, reply.retry_after, now, (self.0.jitter)());
        tracing::debug!(
            bot = %delivery.event.bot, sequence = delivery.event.sequence, event = delivery.event.bot_event,
            outcome = ?reply.outcome, ?status, latency_ms = reply.latency_ms, "webhook attempt"
        );
        let Reply { outcome, latency_ms, detail, .. } = reply;
        let url = target.url(delivery).filter(|url| **url != delivery.url).cloned();
        let attempt = Attempt { at, http_status: outcome.http_status(), latency_ms, detail, url };
        self.0.store.record_attempt(delivery.id, attempt, status).await?;
        Ok(Made::Settled)
    }

    fn signer<'a>(
        &'a self,
        delivery: &Delivery,
        target: &Target,
        at: Timestamp,
    ) -> Result<Cow<'a, Signer>, SecretError> {
        match target {
            Target::Endpoint(endpoint) => Signer::of(endpoint.secrets_at(at)).map(Cow::Owned),
            Target::Address | Target::Nowhere(_) => Ok(Cow::Borrowed(self.0.signers.of(&delivery.tenant))),
        }
    }

    async fn call(
        &self,
        delivery: &Delivery,
        target: &Target,
        signer: &Signer,
        permit: &Permit,
        at: Timestamp,
    ) -> Result<Reply, NoTurn> {
        let started = Instant::now();
        let url = target.url(delivery).unwrap_or(&delivery.url);
        let call = self.0.sender.send(&delivery.event, url, signer, at);
        tokio::pin!(call);
        if let Ok(reply) = tokio::time::timeout(LASTS, &mut call).await {
            return reply;
        }
        permit.lasts();
        tokio::select! {
            biased;
            reply = &mut call => reply,
            () = permit.cut() => {
                let given = started.elapsed().as_secs();
                let detail = format!("no answer within {given} s, and too many receivers were slow to wait any longer");
                Ok(Reply::without(Outcome::NoAnswer, started, detail))
            }
        }
    }
}
