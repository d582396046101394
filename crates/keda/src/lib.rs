//! KEDA's external scaler: whether workers are wanted, and figures of the fleet, over gRPC.
//!
//! KEDA asks in two ways. It polls (`IsActive`, `GetMetrics`), and of a trigger of the type `external-push` it keeps a stream
//! open (`StreamIsActive`) that says at once when something waits, so that the first worker does not wait for a poll. The
//! figures come from a [`Source`]; what is to be scaled by which of them is said in the trigger's metadata:
//!
//! - `metric`: the figure. Default: the first of [`Source::FIGURES`].
//! - `target`: how much of it is one replica's. Default: 1.

mod scaler;
mod stream;
mod wire {
    //! Made from `proto/externalscaler.proto`.
    #![expect(clippy::allow_attributes, reason = "generated")]
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    tonic::include_proto!("externalscaler");
}

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

/// The interface, for clients in tests.
#[doc(hidden)]
pub use wire::*;

/// An open stream may say nothing for hours: so often it is asked whether anybody is there still.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// And has so long to answer.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// How the fleet is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// There has to be a worker: bots wait, are due or run.
    pub active: bool,
    /// Bots that wait or are due: when these get more, streams say that the fleet is active once more.
    pub wanted: u64,
    /// Figures by their names.
    pub figures: BTreeMap<&'static str, u64>,
}

/// Who knows how the fleet is. Clones know the same.
#[async_trait]
pub trait Source: Clone + Send + Sync + 'static {
    /// Names of the figures that a trigger can ask for; the first is the default.
    const FIGURES: &'static [&'static str];

    /// How the fleet is now, or why that cannot be said: then KEDA is told so, and changes nothing.
    async fn read(&self) -> Result<Reading, String>;
}

/// Answers KEDA until `ended` is cancelled; every open stream ends with it. A stream looks again after `look`.
///
/// # Errors
///
/// The listener's.
pub async fn serve(
    listener: TcpListener,
    source: impl Source,
    look: Duration,
    ended: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let scaler = scaler::Scaler::new(source, look, ended.clone());
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .add_service(wire::external_scaler_server::ExternalScalerServer::new(scaler))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), ended.cancelled_owned())
        .await
}
