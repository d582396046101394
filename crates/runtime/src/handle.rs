//! The supervisor's end of a bot.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use muster_session::protocol::{Command, Report};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::escalate::Phase;
use crate::group::Group;
use crate::measure::{self, Meter, Usage};
use crate::supervise::Order;

/// How a bot process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status; unknown if waiting for it failed.
    pub status: Option<ExitStatus>,
    /// Whose doing that was.
    pub by: EndedBy,
    /// Processes that it left behind and that had to be killed.
    pub leaked: Vec<i32>,
    /// The kernel killed it, or something of it, for want of memory; as far as a [`Confinement`](crate::Confinement) tells.
    pub out_of_memory: Option<OutOfMemory>,
}

/// What had no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The bot itself: it took all that it may have.
    Bot,
    /// The machine, or the service, container or pod that the bot is part of.
    Around,
}

/// Who ended a bot process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Nobody had asked it to.
    Itself,
    /// Within its grace period, after it was asked to leave.
    Stop,
    /// It did not leave in time and was sent SIGTERM.
    Terminate,
    /// It was killed.
    Kill,
}

/// What a bot process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// When the next step of ending it is due.
    pub due: Option<Instant>,
}

impl Status {
    /// Time until the next step of ending it.
    #[must_use]
    pub fn grace_left(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }
}

/// A running bot. Dropping it kills the bot and everything of it.
#[derive(Debug)]
pub struct BotHandle {
    pub(crate) group: Group,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
    pub(crate) _reader: AbortOnDropHandle<()>,
}

impl BotHandle {
    /// The next report; `None` when there will be no more, which is when the bot and everything that held its output is
    /// gone, or it closed its output. Cancel safe.
    pub async fn next_report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Sends a command. Does not wait until the bot has read it.
    pub fn command(&self, command: Command) {
        let _ = self.orders.send(Order::Command(command));
    }

    /// Begins to end the bot: it is sent `command` and has `grace` to end; then its group is sent SIGTERM, and three
    /// seconds later SIGKILL. Returns at once; reports keep coming. Asked again, the shorter grace holds.
    pub async fn begin_stop(&mut self, command: Command, grace: Duration) {
        let _ = self.orders.send(Order::Stop { command, grace });
    }

    /// As [`begin_stop`](Self::begin_stop), and waits for the end. Reports that come meanwhile are dropped.
    pub async fn stop(mut self, command: Command, grace: Duration) -> Exit {
        self.begin_stop(command, grace).await;
        while self.next_report().await.is_some() {}
        self.wait().await
    }

    /// Kills the bot's process group at once. Returns when that is ordered; [`wait`](Self::wait) for the end.
    pub async fn kill(&mut self) {
        let _ = self.orders.send(Order::Kill);
    }

    /// Waits until the bot and everything of it is gone. Cancel safe; answers the same again. Reports still waiting in
    /// the handle hold nothing up.
    pub async fn wait(&mut self) -> Exit {
        match self.exit.wait_for(Option::is_some).await.map(|exit| exit.clone()) {
            Ok(Some(exit)) => exit,
            // The runtime is going down, and the supervision with it has killed the group.
            Ok(None) | Err(_) => Exit { status: None, by: EndedBy::Kill, leaked: Vec::new(), out_of_memory: None },
        }
    }

    /// Tells of the end also when the handle is gone.
    #[must_use]
    pub fn exit_watch(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Number of the process, and of its group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.group.pid().unwrap_or_default()
    }

    /// What measures it, for somebody else to read.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter { group: self.group.clone() }
    }

    /// What the bot and its children cost. Reads `/proc` on a blocking thread.
    pub async fn usage(&self) -> io::Result<Usage> {
        let group = self.group.clone();
        tokio::task::spawn_blocking(move || measure::usage(group.members().iter().map(|p| p.pid)))
            .await
            .map_err(io::Error::other)
    }
}
