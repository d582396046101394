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

/// A figure: its name, and what it is.
type Figure = (&'static str, fn(&Status) -> u64);

const FIGURES: [Figure; 11] = [
    ("workers_to_add", |status| status.workers_to_add),
    ("workers_total", |status| status.workers_total),
    ("desired_workers", |status| status.desired_workers),
    ("workers", |status| status.workers),
    ("queued_unclaimed", |status| status.queued_unclaimed),
    ("held", |status| status.held),
    ("waiting", |status| status.waiting),
    ("due_soon", |status| status.due_soon),
    ("running", |status| status.running),
    ("slots", |status| status.slots),
    ("free_slots", |status| status.free_slots),
];

#[derive(Clone)]
struct Feed(Scaling);

#[async_trait::async_trait]
impl Source for Feed {
    const FIGURES: &'static [&'static str] = &names();

    async fn read(&self) -> Result<Reading, String> {
        let status = self.0.status().await?;
        let figures = FIGURES.iter().map(|(name, of)| (*name, of(&status))).collect::<BTreeMap<_, _>>();
        Ok(Reading { active: status.is_active(), wanted: status.waiting + status.due_soon, figures })
    }
}

const fn names() -> [&'static str; FIGURES.len()] {
    let mut names = [""; FIGURES.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = FIGURES[place].0;
        place += 1;
    }
    names
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
