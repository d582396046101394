//! Bots, and the meetings they go to: scripts in the place of processes and browsers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_server::roles::worker::{Bot, Bots};
use muster_session::protocol::{BotSpec, Command, Report};
use muster_session::{BotId, EndReason, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::plot::Meeting;
use crate::world::{Life, Presence, World};

/// The end of its input tells a bot that its supervisor is gone; it is out within this time.
const ORPHAN_LEAVES: Duration = Duration::from_secs(2);
/// The way out of a bot that leaves because its supervisor is silent takes at most this long.
const WAY_OUT: Duration = Duration::from_millis(1_600);
/// Between SIGTERM and SIGKILL.
const TERMINATE: Duration = Duration::from_secs(3);

/// Starts bots for one process.
pub struct ScriptedBots {
    world: Arc<World>,
    life: Life,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for ScriptedBots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBots").field("life", &self.life).finish_non_exhaustive()
    }
}

impl ScriptedBots {
    /// For the process of this life, with its clock.
    #[must_use]
    pub fn new(world: Arc<World>, life: Life, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { world, life, clock }
    }
}

#[derive(Debug)]
enum Order {
    Command(Command),
    Stop { command: Command, grace: Duration },
    Kill,
}

/// The supervisor's end of a scripted bot. Dropping it is the death of the supervisor: the bot finds its input closed.
#[derive(Debug)]
struct ScriptedBot {
    reports: mpsc::Receiver<Report>,
    orders: mpsc::UnboundedSender<Order>,
    gone: watch::Receiver<()>,
}

#[async_trait]
impl Bots for ScriptedBots {
    async fn launch(&self, spec: &BotSpec) -> Result<Box<dyn Bot>, String> {
        let world = &self.world;
        let Some(meeting) = world.meeting(&spec.meeting.key).cloned() else {
            return Err(format!("there is no meeting {}", spec.meeting.key));
        };
        tokio::time::sleep(world.up_to(Duration::from_secs(3))).await;
        if world.dice(|rng| rng.u32(0..100)) < meeting.launch_failures {
            world.tell(|| format!("launch of {} attempt {} fails", spec.bot, spec.attempt));
            return Err("it ended before it was ready".to_owned());
        }
        let held_until = spec.held_until;
        let (reports, waiting_reports) = mpsc::channel(64);
        let (orders, waiting_orders) = mpsc::unbounded_channel();
        let (alive, gone) = watch::channel(());
        let play = Play {
            world: Arc::clone(world),
            meeting,
            bot: spec.bot,
            attempt: spec.attempt,
            life: self.life,
            clock: Arc::clone(&self.clock),
            reports,
            orders: waiting_orders,
            held: None,
        };
        // A process of its own: it outlives whoever started it, and ends with the runtime.
        tokio::spawn(async move {
            play.run(held_until).await;
            drop(alive);
        });
        Ok(Box::new(ScriptedBot { reports: waiting_reports, orders, gone }))
    }
}

#[async_trait]
impl Bot for ScriptedBot {
    async fn next_report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    fn command(&self, command: Command) {
        let _ = self.orders.send(Order::Command(command));
    }

    async fn begin_stop(&mut self, command: Command, grace: Duration) {
        let _ = self.orders.send(Order::Stop { command, grace });
    }

    async fn kill(&mut self) {
        let _ = self.orders.send(Order::Kill);
    }

    async fn wait(&mut self) -> String {
        while self.gone.changed().await.is_ok() {}
        "the end of the script".to_owned()
    }
}

/// One attempt of one bot.
struct Play {
    world: Arc<World>,
    meeting: Meeting,
    bot: BotId,
    attempt: u32,
    life: Life,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    reports: mpsc::Sender<Report>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// The session is held until then, as far as the bot was told: by its own clock and by the time that passed.
    held: Option<Instant>,
}

/// Why a bot does not go on.
enum Cut {
    /// Politely, for this reason.
    Leave(EndReason),
    /// At once, without a word.
    Gone,
}

impl Play {
    async fn run(mut self, held_until: Option<Timestamp>) {
        let bot = self.bot;
        self.hold(held_until);
        if self.time_to_leave() <= Instant::now() {
            return;
        }
        let _inside = self.world.enter(bot, Presence { attempt: self.attempt, life: self.life });
        let cut = match self.attend().await {
            Ok(reason) => Cut::Leave(reason),
            Err(cut) => cut,
        };
        let Cut::Leave(reason) = cut else { return };
        self.say(|at| Report::Leaving { at, reason, message: reason.message().to_owned() });
        let way_out = self.world.up_to(Duration::from_millis(1_500));
        let way_out = way_out.min(self.held.map_or(way_out, |end| end.saturating_duration_since(Instant::now())));
        // On the way out only a kill is heard.
        let ended = tokio::time::timeout(way_out, async {
            while !matches!(self.orders.recv().await, None | Some(Order::Kill)) {}
        });
        if ended.await.is_ok() {
            return;
        }
        self.say(|at| Report::Ended { at, reason, message: reason.message().to_owned(), recorded_ms: 0 });
    }

    /// From the page to the end of the call; the reason of a polite end.
    async fn attend(&mut self) -> Result<EndReason, Cut> {
        self.say(|at| Report::Joining { at, simulated: false });
        self.stay(self.world.up_to(Duration::from_secs(3))).await?;
        let over = |world: &World, meeting: &Meeting| world.elapsed() >= meeting.ends;
        if over(&self.world, &self.meeting) {
            return Ok(EndReason::MeetingOver);
        }
        if let Some(lobby) = self.meeting.lobby {
            self.say(|at| Report::WaitingRoom { at });
            self.stay(lobby).await?;
        }
        if let Some(reason) = self.meeting.refused {
            return Ok(reason);
        }
        self.say(|at| Report::Admitted { at });
        self.stay(Duration::from_millis(200)).await?;
        self.say(|at| Report::Recording { at });
        let left = self.meeting.ends.saturating_sub(self.world.elapsed());
        if self.world.dice(|rng| rng.u32(0..100)) < self.meeting.crashes {
            self.stay(self.world.up_to(left)).await?;
            self.world.tell(|| format!("bot {} attempt {} crashes", self.bot, self.attempt));
            return Err(Cut::Gone);
        }
        self.stay(left).await?;
        Ok(self.meeting.end)
    }

    /// Lets time pass while orders are heard.
    async fn stay(&mut self, time: Duration) -> Result<(), Cut> {
        let mut until = Instant::now() + time;
        let mut killed = false;
        loop {
            let leave = self.time_to_leave();
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    None => {
                        tokio::time::sleep(self.world.up_to(ORPHAN_LEAVES)).await;
                        return Err(Cut::Gone);
                    }
                    Some(Order::Kill) => return Err(Cut::Gone),
                    Some(Order::Command(Command::Hold { until })) => self.hold(Some(until)),
                    Some(Order::Command(Command::Leave { reason })) => return Err(Cut::Leave(reason)),
                    Some(Order::Stop { command: Command::Leave { reason }, .. }) if !self.meeting.stubborn => {
                        return Err(Cut::Leave(reason));
                    }
                    Some(Order::Stop { grace, .. }) => {
                        killed = true;
                        until = until.min(Instant::now() + grace + TERMINATE);
                    }
                },
                // The supervisor says nothing: the session could be somebody else's soon.
                () = tokio::time::sleep_until(leave), if leave < until => return Err(Cut::Leave(EndReason::WorkerLost)),
                () = tokio::time::sleep_until(until) => {
                    return if killed { Err(Cut::Gone) } else { Ok(()) };
                }
            }
        }
    }

    /// The session is held until then. Nothing is known of it without a time.
    fn hold(&mut self, until: Option<Timestamp>) {
        self.held = until.map(|until| Instant::now() + until.since((self.clock)()));
    }

    /// The last part of a hold is for the way out.
    fn time_to_leave(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(86_400);
        self.held.map_or(far, |end| end.checked_sub(WAY_OUT).unwrap_or(end))
    }

    fn say(&self, report: impl FnOnce(Timestamp) -> Report) {
        let report = report((self.clock)());
        self.world.tell(|| format!("bot {} attempt {} says {report:?}", self.bot, self.attempt));
        // A reader that is gone, or has too much to read, is the supervisor's trouble.
        let _ = self.reports.try_send(report);
    }
}
