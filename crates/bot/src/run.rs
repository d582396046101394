//! One attempt, driven: waits for what happens and acts on what `call` decides.

mod farewell;
mod stay;

#[cfg(test)]
mod tests;

use std::time::Duration;

use muster_session::protocol::{BotSpec, HealthFigures, Report};
use muster_session::{EndReason, Timestamp};
use tokio::io::AsyncRead;
use tokio::time::{Interval, MissedTickBehavior};

use crate::call::{Call, End};
use crate::clock::Clock;
use crate::media::Outlets;
use crate::outside::{Asked, Outside, by_itself};
use crate::page::Opener;
use crate::report::Reporter;
use crate::watchdog::Hearing;
use farewell::Farewell;
use stay::Stay;

/// How often deadlines and rules are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Between two reports of figures, from the start to the way out: a worker ends a bot that has none for a minute.
const HEALTH: Duration = Duration::from_secs(5);
/// For the end of the recording, when the bot leaves by its own decision and nobody's patience is known.
const OWN_PATIENCE: Duration = Duration::from_secs(30);

/// Why to go, and how long that may take.
#[derive(Clone, Debug)]
struct Exit {
    asked: Asked,
    /// For storing and sending what is left.
    patience: Duration,
    /// The page showed the end itself: there is no call to leave.
    by_page: bool,
}

impl Exit {
    fn own(end: End) -> Self {
        Self { asked: by_itself(end), patience: OWN_PATIENCE, by_page: false }
    }

    /// By what the page shows.
    fn page(end: End) -> Self {
        Self { by_page: true, ..Self::own(end) }
    }

    /// By an order from outside: whoever gave it waits, and kills at last.
    fn ordered(asked: Asked) -> Self {
        let patience = asked.grace * 2;
        Self { asked, patience, by_page: false }
    }
}

/// Attends one meeting from `Ready` to `Ended`. Returns when nothing of it is left; never fails, but says how it ended.
pub(crate) async fn attend<O, R, S>(
    spec: &BotSpec,
    opener: &O,
    outside: &mut Outside<R, S>,
    reporter: Reporter,
    clock: Clock,
) where
    O: Opener,
    R: AsyncRead + Unpin,
    S: Future<Output = ()>,
{
    reporter.say(Report::Ready);
    if let Some(asked) = outside.still_held().await {
        return Farewell::new(Exit::ordered(asked), reporter, clock).without_call();
    }
    let mut call = Call::new(spec, clock.now());
    let outlets = match Outlets::prepare(spec) {
        Ok(outlets) => outlets,
        Err(end) => return Farewell::new(Exit::own(end), reporter, clock).without_call(),
    };
    let page = match opening(opener.open(spec, &reporter, clock), &mut call, outside, &reporter, clock).await {
        Ok(page) => page,
        Err(exit) => return Farewell::new(exit, reporter, clock).without_call(),
    };
    let mut stay = Stay::new(spec, page, call, outlets, reporter, clock);
    let exit = stay.until_the_end(outside).await;
    tokio::select! {
        () = stay.end(exit) => {}
        // What is left undone is dropped: the browser is killed, and nothing more is stored.
        () = outside.overstayed() => tracing::warn!("still not out when the session could be somebody else's; ending at once"),
    }
}

/// Waits for the page while deadlines and orders hold. Whatever ends the wait drops what was under way.
async fn opening<P, R, S>(
    open: impl Future<Output = Result<P, End>>,
    call: &mut Call,
    outside: &mut Outside<R, S>,
    reporter: &Reporter,
    clock: Clock,
) -> Result<P, Exit>
where
    R: AsyncRead + Unpin,
    S: Future<Output = ()>,
{
    let mut open = std::pin::pin!(open);
    let (mut ticks, mut pulse) = (ticks(), Pulse::default());
    loop {
        tokio::select! {
            // Who may not be in the call any more does not even begin.
            biased;
            asked = outside.asked() => return Err(Exit::ordered(asked)),
            _ = ticks.tick() => {
                let now = clock.now();
                if pulse.is_due(now) {
                    reporter.say(Report::Health { at: now, figures: HealthFigures::default() });
                }
                if let Some(end) = call.tick(Hearing::default(), now).end {
                    return Err(Exit::own(end));
                }
            }
            opened = &mut open => return opened.map_err(Exit::page),
        }
    }
}

/// When figures are to be reported.
#[derive(Debug, Default)]
struct Pulse {
    last: Option<Timestamp>,
}

impl Pulse {
    /// Asked regularly: true at first, and then once in [`HEALTH`].
    fn is_due(&mut self, now: Timestamp) -> bool {
        let due = self.last.is_none_or(|last| now.since(last) >= HEALTH);
        if due {
            self.last = Some(now);
        }
        due
    }
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// The page is gone without a word.
fn page_gone() -> End {
    End::new(EndReason::BotCrashed, "the page of the meeting is gone")
}
