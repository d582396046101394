//! One bot, from launch to the last word about it.

use muster_runtime::OutOfMemory;
use muster_session::protocol::{BotSpec, Command, Report};
use muster_session::{BotId, EndReason, Input, Session, State, Timestamp};
use muster_store::{LogEntry, StoreError};
use serde_json::json;

use super::leases::{Holding, Order, Word};
use super::pulse::{Pulse, SILENCE};
use super::room::{Eviction, Seat};
use super::spec::spec;
use super::{Bot, STORE_RETRY, Worker, WorkerSetup};
use crate::roles::{ApplyError, Backend};

/// Tries after the first to write a log line.
const LOG_RETRIES: u32 = 5;

/// Launches and attends the bot of a session that was just acquired. Returns when nothing of it is left.
pub(super) async fn bot(worker: &Worker, mut holding: Holding, mut seat: Seat, session: Session) {
    let Worker { backend, setup, .. } = worker;
    let (bot, fencing) = (session.id, session.fencing);
    tracing::info!(%bot, attempt = session.attempt, meeting = session.meeting.key, "launching");
    let Some(spec) = spec(setup, &session) else {
        let message = format!("this worker has no platform pack `{}`", session.meeting.platform);
        gone(backend, bot, fencing, EndReason::Internal, message).await;
        return;
    };
    let handle = match launch(worker, &spec).await {
        Ok(handle) => handle,
        Err((reason, message)) => {
            gone(backend, bot, fencing, reason, message).await;
            return;
        }
    };
    if let Some(gauge) = handle.gauge() {
        seat.measured_by(gauge);
    }
    let told_of_people = !session.media.participants.is_empty();
    let mut attendant = Attendant { backend, bot, fencing, lines: 0, told_of_people, admitted: false };
    let mut line = Line {
        setup,
        bot,
        handle,
        holding: &mut holding,
        seat: &mut seat,
        asked: Order::Stay,
        evicted: None,
        pulse: Pulse::new(),
        hangs: false,
    };
    let exit = attendant.follow(&mut line).await;
    tracing::info!(%bot, exit, "bot process ended");
    if line.asked == Order::Lost {
        return;
    }
    let (reason, message) = line.end(&exit);
    if reason == EndReason::OverBudget {
        line.seat.over_budget(&message);
    }
    if matches!(reason, EndReason::OverBudget | EndReason::HostOutOfMemory) {
        attendant.note(backend.clock.now(), &message).await;
    }
    // Refused if the bot's own last word was written: then this is old news.
    gone(backend, bot, fencing, reason, message).await;
}

/// Starts the bot, once those who protect this worker know of it; or says why there is none. A worker that is to take no more
/// bots starts none, and ends the one that it is starting: other workers have time for it.
async fn launch(worker: &Worker, spec: &BotSpec) -> Result<Box<dyn Bot>, (EndReason, String)> {
    let launching = async {
        worker.protections.shielded().await;
        worker.setup.bots.launch(spec).await
    };
    tokio::select! {
        biased;
        () = worker.stopped() => {
            tracing::info!(bot = %spec.bot, "no bot is started any more: the session is handed back");
            Err((EndReason::WorkerShutdown, EndReason::WorkerShutdown.message().to_owned()))
        }
        launched = launching => launched.map_err(|error| {
            tracing::warn!(bot = %spec.bot, %error, "launch failed");
            (EndReason::LaunchTimeout, format!("launch failed: {error}"))
        }),
    }
}

/// The line to the bot, which orders go over, whatever else is waited for.
struct Line<'a> {
    setup: &'a WorkerSetup,
    bot: BotId,
    handle: Box<dyn Bot>,
    holding: &'a mut Holding,
    seat: &'a mut Seat,
    asked: Order,
    /// Why it had to be gone at once.
    evicted: Option<Eviction>,
    pulse: Pulse,
    /// It said nothing for so long that it was ended.
    hangs: bool,
}

impl Line<'_> {
    /// Waits for `what`, and passes on what is said to the bot meanwhile. None once the session is somebody else's.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = std::pin::pin!(what);
        while self.asked < Order::Lost {
            tokio::select! {
                biased;
                done = &mut what => return Some(done),
                why = self.seat.evicted(), if self.evicted.is_none() => self.evict(why).await,
                word = self.holding.hear() => self.pass_on(word).await,
            }
        }
        None
    }

    /// The bot's next report; `None` when there will be no more.
    async fn next_report(&mut self) -> Option<Report> {
        loop {
            tokio::select! {
                biased;
                why = self.seat.evicted(), if self.evicted.is_none() => self.evict(why).await,
                word = self.holding.hear(), if self.asked < Order::Lost => self.pass_on(word).await,
                report = self.handle.next_report() => {
                    report.iter().for_each(|report| self.pulse.heard(report));
                    return report;
                }
                // One that was asked to leave is ended with its grace.
                () = self.pulse.stopped(), if self.asked == Order::Stay && !self.hangs => {
                    tracing::warn!(bot = %self.bot, silence = ?SILENCE, "the bot hangs; ending it");
                    self.hangs = true;
                    self.handle.kill().await;
                }
            }
        }
    }

    async fn pass_on(&mut self, word: Word) {
        let order = match word {
            Word::Held(until) if self.setup.shared => return self.handle.command(Command::Hold { until }),
            Word::Held(_) => return,
            Word::Order(order) => order,
        };
        if order <= self.asked {
            return;
        }
        self.asked = order;
        match order {
            Order::Stay => {}
            Order::Leave => self.ask(EndReason::LeaveRequested).await,
            Order::GoingDown => self.ask(EndReason::WorkerShutdown).await,
            Order::Lost => {
                tracing::info!(bot = %self.bot, "the session is held by somebody else; ending the bot");
                self.handle.kill().await;
            }
        }
    }

    /// Its memory grows while it would be asked to leave.
    async fn evict(&mut self, why: Eviction) {
        tracing::warn!(bot = %self.bot, why = why.message, "ending the bot");
        self.evicted = Some(why);
        self.handle.kill().await;
    }

    /// Why the bot is gone that did not say it itself.
    fn end(&self, exit: &str) -> (EndReason, String) {
        if let Some(why) = &self.evicted {
            return (why.reason, why.message.clone());
        }
        match self.handle.out_of_memory() {
            Some(OutOfMemory::Bot) => {
                let limit = self.setup.config.bot_memory_limit / 1_000_000;
                (EndReason::OverBudget, format!("The bot took all of the {limit} MB of worker.bot_memory_limit"))
            }
            Some(OutOfMemory::Around) => {
                let message =
                    "The machine, or what the worker may have of it, ran out of memory, and the kernel ended this bot";
                (EndReason::HostOutOfMemory, message.to_owned())
            }
            None if self.hangs => {
                let message =
                    format!("the bot process hung: it said nothing for {} s, and was ended", SILENCE.as_secs());
                (EndReason::BotCrashed, message)
            }
            None if self.asked == Order::GoingDown => {
                (EndReason::WorkerShutdown, EndReason::WorkerShutdown.message().to_owned())
            }
            None => (EndReason::BotCrashed, format!("the bot process ended: {exit}")),
        }
    }

    /// Starts the polite way out; its reports keep coming, and the grace period ends in a kill.
    async fn ask(&mut self, reason: EndReason) {
        tracing::info!(bot = %self.bot, %reason, "asking the bot to leave");
        self.handle.begin_stop(Command::Leave { reason }, self.setup.config.stop_grace).await;
    }
}

struct Attendant<'a> {
    backend: &'a Backend,
    bot: BotId,
    fencing: u64,
    lines: u64,
    /// Somebody wants to know at once who comes and goes.
    told_of_people: bool,
    /// It is in its call, or was.
    admitted: bool,
}

impl Attendant<'_> {
    /// Writes down what the bot says until there is nothing left of it. What a bot says whose session is somebody else's is
    /// written nowhere.
    async fn follow(&mut self, line: &mut Line<'_>) -> String {
        while let Some(report) = line.next_report().await {
            if matches!(report, Report::Admitted { .. }) {
                self.admitted = true;
                line.seat.admitted();
            }
            if line.asked == Order::GoingDown && self.is_handed_back(&report) {
                continue;
            }
            // A store that does not answer keeps no order from the bot.
            if let Some(Err(())) = line.meanwhile(self.take(report)).await {
                line.handle.kill().await;
            }
        }
        line.handle.wait().await
    }

    /// A session whose bot was not let in yet goes to another worker, once this bot is gone: what it says of leaving would
    /// send the next one on its way before.
    fn is_handed_back(&self, report: &Report) -> bool {
        let leaves = matches!(
            report,
            Report::Leaving { reason: EndReason::WorkerShutdown, .. }
                | Report::Ended { reason: EndReason::WorkerShutdown, .. }
        );
        leaves && !self.admitted
    }

    /// Writes down what the bot says. `Err` means that the session is no longer ours.
    async fn take(&mut self, report: Report) -> Result<(), ()> {
        if let Some(line) = self.log_line(&report) {
            self.log(line).await?;
            if !(self.told_of_people && matches!(report, Report::Participant { .. })) {
                return Ok(());
            }
        }
        if matches!(report, Report::Health { .. } | Report::Ready) {
            tracing::debug!(bot = %self.bot, ?report, "report");
            return Ok(());
        }
        tracing::info!(bot = %self.bot, ?report, "report");
        commit(self.backend, self.bot, Input::Report { fencing: self.fencing, report }).await
    }

    /// Writes a line down. One that the store does not take in a while is lost: the bot's next report waits behind it.
    async fn log(&self, line: LogEntry) -> Result<(), ()> {
        let mut tries = 0;
        loop {
            match self.backend.store.append_log(self.bot, self.fencing, std::slice::from_ref(&line)).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Fenced) => return Err(()),
                Err(error @ StoreError::Unavailable { .. }) if tries < LOG_RETRIES => {
                    tracing::warn!(bot = %self.bot, %error, "the store does not answer; trying again");
                    tries += 1;
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(bot = %self.bot, %error, "a log line was lost");
                    return Ok(());
                }
            }
        }
    }

    /// A line of the supervisor's own.
    async fn note(&mut self, at: Timestamp, text: &str) {
        if let Some(line) = self.log_line(&Report::Note { at, level: "warn".to_owned(), text: text.to_owned() }) {
            let _ = self.log(line).await;
        }
    }

    fn log_line(&mut self, report: &Report) -> Option<LogEntry> {
        self.lines += 1;
        let key = format!("{}:{}", self.fencing, self.lines);
        Some(match report {
            Report::Participant { at, joined, id, name } => LogEntry {
                kind: "participant".into(),
                key,
                at: *at,
                data: json!({"id": id, "name": name, "joined": joined, "at": at}),
            },
            Report::Chat { at, id, from, name, text } => LogEntry {
                kind: "chat".into(),
                key: id.clone(),
                at: *at,
                data: json!({"id": id, "from": from, "name": name, "text": text, "at": at}),
            },
            Report::Note { at, level, text } => {
                tracing::info!(bot = %self.bot, level, text, "note");
                LogEntry { kind: "note".into(), key, at: *at, data: json!({"level": level, "text": text, "at": at}) }
            }
            _ => return None,
        })
    }
}

/// The bot is gone; whether that is news is the machine's to say.
async fn gone(backend: &Backend, bot: BotId, fencing: u64, reason: EndReason, message: String) {
    let _ = commit(backend, bot, Input::BotGone { fencing, reason, message }).await;
}

/// Writes until the store answers. `Err` when the session is somebody else's or gone.
async fn commit(backend: &Backend, bot: BotId, input: Input) -> Result<(), ()> {
    loop {
        match backend.apply(bot, input.clone()).await {
            // Queued again: the next attempt is another bot's, and this one must be gone before it.
            Ok(session) if session.state == State::Queued => return Err(()),
            Ok(_) => return Ok(()),
            Err(ApplyError::Store(StoreError::Corrupt { detail })) => {
                tracing::error!(%bot, detail, "the session cannot be read");
                return Err(());
            }
            // It would be as large at each try. Nothing is left to write down what the bot does.
            Err(ApplyError::Store(StoreError::TooLarge { detail })) => {
                tracing::error!(%bot, detail, "the session is larger than the store takes; ending the bot");
                return Err(());
            }
            Err(ApplyError::Rejected(muster_session::Rejected::NotNow { .. })) => return Ok(()),
            Err(ApplyError::Rejected(error @ muster_session::Rejected::StaleToken { .. })) => {
                tracing::info!(%bot, %error, "refused");
                return Err(());
            }
            Err(ApplyError::Missing) => return Err(()),
            Err(ApplyError::Store(error)) => {
                tracing::warn!(%bot, %error, "the store does not answer; trying again");
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}
