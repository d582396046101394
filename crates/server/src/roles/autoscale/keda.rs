//! KEDA over gRPC: the figures of [`Status`] by their names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use muster_keda::{Reading, Source};
use tokio::net::TcpListener;

use super::Scaling;
use super::status::Status;
use crate::supervise::Shutdown;

/// An open stream looks so often, which is how late it is with a bot that waits.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Feed(Scaling);

#[async_trait::async_trait]
impl Source for Feed {
    const FIGURES: &'static [&'static str] = &[
        "workers_to_add",
        "workers_total",
        "desired_workers",
        "workers",
        "queued_unclaimed",
        "held",
        "waiting",
        "due_soon",
        "running",
        "slots",
        "free_slots",
    ];

    async fn read(&self) -> Result<Reading, String> {
        let status = self.0.status().await?;
        let figure = |name: &'static str| (name, figure(&status, name));
        let figures = Self::FIGURES.iter().copied().map(figure).collect::<BTreeMap<_, _>>();
        Ok(Reading { active: status.is_active(), wanted: status.waiting + status.due_soon, figures })
    }
}

fn figure(status: &Status, name: &str) -> u64 {
    match name {
        "workers_to_add" => status.workers_to_add,
        "workers_total" => status.workers_total,
        "desired_workers" => status.desired_workers,
        "workers" => status.workers,
        "queued_unclaimed" => status.queued_unclaimed,
        "held" => status.held,
        "waiting" => status.waiting,
        "due_soon" => status.due_soon,
        "running" => status.running,
        "slots" => status.slots,
        "free_slots" => status.free_slots,
        _ => unreachable!("figures are asked for by the names above"),
    }
}

/// Takes the address.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener
        .with_context(|| format!("cannot listen for KEDA on {address} (set autoscale.keda_listen to another address)"))
}

/// Answers KEDA until the end. Any `control` process does, whether it leads or not.
pub async fn run(address: SocketAddr, scaling: Scaling, shutdown: Shutdown) -> anyhow::Result<()> {
    let listener = bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "KEDA is answered");
    let ending = shutdown.ending_token();
    muster_keda::serve(listener, Feed(scaling), LOOK, ending).await.context("answering KEDA")
}
