//! What a worker needs of a bot, whoever runs it: processes in a product, scripts in the simulation.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use muster_runtime::measure::{Meter, Usage};
use muster_runtime::{BotHandle, Launcher, OutOfMemory, ProcessTable};
use muster_session::protocol::{BotSpec, Command, Report};

/// Starts bots.
#[async_trait]
pub trait Bots: Send + Sync + fmt::Debug + 'static {
    /// Starts a bot and returns when it says that it is ready, or with what went wrong; then nothing of it is left.
    /// Dropping the future kills the bot.
    async fn launch(&self, spec: &BotSpec) -> Result<Box<dyn Bot>, String>;
}

/// A running bot. Dropping it kills the bot.
#[async_trait]
pub trait Bot: Send + fmt::Debug {
    /// The next report; `None` when there will be no more. Cancel safe.
    async fn next_report(&mut self) -> Option<Report>;

    /// Sends a command. Does not wait until the bot has read it.
    fn command(&self, command: Command);

    /// Begins to end the bot: it has `grace` to carry out `command`, then it is killed. Reports keep coming.
    async fn begin_stop(&mut self, command: Command, grace: Duration);

    /// Kills the bot. Returns when that is ordered.
    async fn kill(&mut self);

    /// Waits until nothing of the bot is left, and answers how it ended, for people. Cancel safe.
    async fn wait(&mut self) -> String;

    /// What measures it, if anything can.
    fn gauge(&self) -> Option<Box<dyn Gauge>> {
        None
    }

    /// Once nothing of it is left: what had no memory left, if that is why.
    fn out_of_memory(&self) -> Option<OutOfMemory> {
        None
    }
}

/// Measures a bot, again and again, apart from who attends to it.
pub trait Gauge: Send + fmt::Debug {
    /// What the bot uses, by a process table of just now. Blocks.
    fn read(&mut self, table: &ProcessTable) -> Usage;
}

impl Gauge for Meter {
    fn read(&mut self, table: &ProcessTable) -> Usage {
        Self::read(self, table)
    }
}

#[async_trait]
impl Bots for Launcher {
    async fn launch(&self, spec: &BotSpec) -> Result<Box<dyn Bot>, String> {
        match Self::launch(self, spec).await {
            Ok(handle) => Ok(Box::new(handle)),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[async_trait]
impl Bot for BotHandle {
    async fn next_report(&mut self) -> Option<Report> {
        Self::next_report(self).await
    }

    fn command(&self, command: Command) {
        Self::command(self, command);
    }

    async fn begin_stop(&mut self, command: Command, grace: Duration) {
        Self::begin_stop(self, command, grace).await;
    }

    async fn kill(&mut self) {
        Self::kill(self).await;
    }

    async fn wait(&mut self) -> String {
        let exit = Self::wait(self).await;
        tracing::debug!(pid = self.pid(), ?exit, "a bot process ended");
        exit.status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string())
    }
    fn gauge(&self) -> Option<Box<dyn Gauge>> {
        Some(Box::new(self.meter()))
    }

    fn out_of_memory(&self) -> Option<OutOfMemory> {
        self.exit_watch().borrow().as_ref().and_then(|exit| exit.out_of_memory)
    }
}
