//! A bot that says what it was given to say.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use muster_server::roles::worker::Bot;
use muster_session::protocol::{Command, Report};
use tokio::sync::mpsc;

/// It is there until it is dropped, and so is what is kept for it.
#[derive(Debug)]
pub(crate) struct Told<Kept> {
    reports: mpsc::UnboundedReceiver<Report>,
    _kept: Kept,
}

impl<Kept> Told<Kept> {
    pub(crate) const fn new(reports: mpsc::UnboundedReceiver<Report>, kept: Kept) -> Self {
        Self { reports, _kept: kept }
    }
}

#[async_trait]
impl<Kept: Debug + Send> Bot for Told<Kept> {
    async fn next_report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    fn command(&self, _: Command) {}

    async fn begin_stop(&mut self, _: Command, _: Duration) {
        self.reports.close();
    }

    async fn kill(&mut self) {
        self.reports.close();
    }

    async fn wait(&mut self) -> String {
        "the end of the script".to_owned()
    }
}
