//! The task that owns a bot process from its start until nothing of it is left.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use muster_session::BotId;
use muster_session::protocol::Command;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::confine::Cell;
use crate::escalate::{Escalation, Phase, Send};
use crate::group::{Cleared, Group};
use crate::handle::{EndedBy, Exit, Status};
use crate::home::{CLEAR_DEADLINE, Home};

/// Between two looks for processes that leave the group.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After the bot's end its children have this long to follow before they count as leaked.
const FOLLOW: Duration = Duration::from_millis(500);
/// For a bot that closed its output and lives on.
const MUTE_GRACE: Duration = Duration::from_secs(5);
/// After the last process is gone its log is at its end, unless somebody outside the bot holds the pipe.
const LOG_END: Duration = Duration::from_secs(1);

/// From the handle to the task.
#[derive(Debug)]
pub(crate) enum Order {
    Command(Command),
    Stop { command: Command, grace: Duration },
    Kill,
}

/// Ends whatever is left when the task itself is ended, as at the end of the runtime.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) group: Group,
    pub(crate) home: Home,
    /// Its control group, if it has one.
    pub(crate) cell: Option<Cell>,
    /// The leader was waited for: its number means nothing any more.
    pub(crate) reaped: bool,
    pub(crate) settled: bool,
}

impl Drop for Remains {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if !self.reaped {
            self.group.signal(Signal::KILL);
        }
        if self.group.clear(Duration::ZERO, Duration::from_secs(1)).empty {
            self.remove();
        }
    }
}

impl Remains {
    fn remove(&self) {
        self.home.remove();
        if let Some(cell) = &self.cell {
            cell.remove();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Supervision {
    pub(crate) bot: BotId,
    pub(crate) child: Child,
    pub(crate) remains: Remains,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    /// Lines for the bot's standard input.
    pub(crate) lines: mpsc::Sender<Vec<u8>>,
    pub(crate) writer: AbortOnDropHandle<()>,
    pub(crate) logs: AbortOnDropHandle<()>,
    /// Closed when the bot's standard output is.
    pub(crate) output: oneshot::Receiver<()>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) exit: watch::Sender<Option<Exit>>,
}

impl Supervision {
    /// Until the bot and everything of it is gone. The handle being dropped is an order to kill.
    pub(crate) async fn run(mut self) {
        let mut way = Escalation::new(Instant::now());
        let mut asked = false;
        let status = self.attend(&mut way, &mut asked).await;
        self.remains.reaped = true;
        let by = match way.phase {
            Phase::Running => EndedBy::Itself,
            Phase::Leaving if !asked => EndedBy::Itself,
            Phase::Leaving => EndedBy::Stop,
            Phase::Terminating => EndedBy::Terminate,
            Phase::Killed | Phase::Ended => EndedBy::Kill,
        };
        let out_of_memory = self.remains.cell.as_ref().and_then(Cell::out_of_memory);
        let cleared = self.clear().await;
        if !cleared.killed.is_empty() {
            tracing::warn!(bot = %self.bot, pids = ?cleared.killed, "a bot left processes behind; they were killed");
        }
        let _ = tokio::time::timeout(LOG_END, &mut self.logs).await;
        self.writer.abort();
        way.end(Instant::now());
        self.publish(&way);
        self.exit.send_replace(Some(Exit { status, by, leaked: cleared.killed, out_of_memory }));
    }

    async fn attend(&mut self, way: &mut Escalation, asked: &mut bool) -> Option<ExitStatus> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut mute, mut let_go) = (false, false);
        loop {
            self.publish(way);
            tokio::select! {
                status = self.child.wait() => return status.ok(),
                order = self.orders.recv(), if !let_go => match order {
                    Some(Order::Command(command)) => self.tell(&command),
                    Some(Order::Stop { command, grace }) => {
                        *asked = true;
                        self.tell(&command);
                        way.ask(grace, Instant::now());
                    }
                    Some(Order::Kill) => self.act(way.kill(Instant::now())).await,
                    None => {
                        let_go = true;
                        self.act(way.kill(Instant::now())).await;
                    }
                },
                () = until(way.due) => self.act(way.step(Instant::now())).await,
                _ = &mut self.output, if !mute => {
                    mute = true;
                    way.ask(MUTE_GRACE, Instant::now());
                }
                _ = looks.tick() => self.look().await,
            }
        }
    }

    fn publish(&self, way: &Escalation) {
        self.status.send_replace(Status { phase: way.phase, since: way.since, due: way.due });
    }

    fn tell(&self, command: &Command) {
        let mut line = serde_json::to_vec(command).expect("a command has no map with odd keys");
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            tracing::warn!(bot = %self.bot, ?command, "the bot does not read its commands");
        }
    }

    async fn act(&mut self, what: Option<Send>) {
        let Some(what) = what else { return };
        // Before the parents are gone.
        self.look().await;
        match what {
            Send::Terminate => {
                tracing::warn!(bot = %self.bot, "the bot did not leave in time; SIGTERM");
                self.remains.group.signal(Signal::TERM);
            }
            Send::Kill => self.remains.group.signal(Signal::KILL),
        }
    }

    async fn look(&mut self) {
        let mut group = self.remains.group.clone();
        let looked = tokio::task::spawn_blocking(move || {
            group.look();
            group
        });
        if let Ok(group) = looked.await {
            self.remains.group = group;
        }
    }

    async fn clear(&mut self) -> Cleared {
        let group = self.remains.group.clone();
        let cleared = tokio::task::spawn_blocking(move || group.clear(FOLLOW, CLEAR_DEADLINE)).await;
        let cleared = cleared.unwrap_or(Cleared { killed: Vec::new(), empty: false });
        if cleared.empty {
            self.remains.remove();
        } else {
            tracing::error!(bot = %self.bot, "processes of a bot cannot be ended; the next start tries again");
        }
        self.remains.settled = true;
        cleared
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Writes lines to the bot until there is nobody left to send some; keeps the pipe open all the while, because its end
/// means to the bot that its supervisor is gone.
pub(crate) async fn write(mut input: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    let mut broken = false;
    while let Some(line) = lines.recv().await {
        if !broken && let Err(error) = input.write_all(&line).await {
            tracing::debug!(%error, "a bot's input is closed");
            broken = true;
        }
    }
}
