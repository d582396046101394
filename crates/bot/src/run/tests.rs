mod health;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use muster_audio::{RATE, tone};
use muster_platform::meeting::{PageEvent, Participant};
use muster_session::Timestamp;
use muster_session::protocol::{Command, Report};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::*;
use crate::page::Page;
use crate::{report, spec_for_tests};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the driver did to the page.
type Deeds = Arc<Mutex<Vec<String>>>;

/// A page that does what a test says.
#[derive(Debug)]
struct Script {
    events: Mutex<Option<mpsc::UnboundedReceiver<PageEvent>>>,
    opens: Option<Result<(), End>>,
    deeds: Deeds,
    stuck: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Scripted {
    events: mpsc::UnboundedReceiver<PageEvent>,
    deeds: Deeds,
    /// It does not find the way out.
    stuck: Arc<AtomicBool>,
}

impl Opener for Script {
    type Page = Scripted;

    async fn open(&self, _: &BotSpec, reporter: &Reporter, clock: Clock) -> Result<Scripted, End> {
        reporter.say(Report::Joining { at: clock.now(), simulated: false });
        match &self.opens {
            None => std::future::pending().await,
            Some(Err(end)) => Err(end.clone()),
            Some(Ok(())) => {
                let events = self.events.lock().unwrap().take().unwrap();
                Ok(Scripted { events, deeds: Arc::clone(&self.deeds), stuck: Arc::clone(&self.stuck) })
            }
        }
    }
}

impl Page for Scripted {
    async fn next(&mut self) -> Option<PageEvent> {
        self.events.recv().await
    }

    async fn reattach(&self) -> Result<(), String> {
        self.deeds.lock().unwrap().push("reattach".into());
        Ok(())
    }

    async fn leave(&mut self, within: Duration) -> bool {
        self.deeds.lock().unwrap().push(format!("leave {}", within.as_secs()));
        if self.stuck.load(Ordering::Relaxed) {
            std::future::pending().await
        }
        true
    }

    async fn close(self) {
        self.deeds.lock().unwrap().push("close".into());
    }
}

/// A bot with a scripted page, and its supervisor.
struct Bench {
    page: Option<mpsc::UnboundedSender<PageEvent>>,
    commands: Option<DuplexStream>,
    reports: Lines<BufReader<DuplexStream>>,
    deeds: Deeds,
    stuck: Arc<AtomicBool>,
    bot: AbortOnDropHandle<()>,
    _dir: TempDir,
}

fn bench(opens: Option<Result<(), End>>, change: impl FnOnce(&mut BotSpec)) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec_for_tests();
    spec.storage = Url::from_directory_path(dir.path()).unwrap();
    change(&mut spec);
    let (page, events) = mpsc::unbounded_channel();
    let deeds = Deeds::default();
    let stuck = Arc::<AtomicBool>::default();
    let script =
        Script { events: Mutex::new(Some(events)), opens, deeds: Arc::clone(&deeds), stuck: Arc::clone(&stuck) };
    let (commands, input) = tokio::io::duplex(1 << 12);
    let (output, reports) = tokio::io::duplex(1 << 20);
    let bot = tokio::spawn(async move {
        let clock = Clock::start();
        let (reporter, writing) = report::start(output, clock);
        let mut outside = Outside::new(input, std::future::pending(), spec.held_until);
        attend(&spec, &script, &mut outside, reporter, clock).await;
        writing.finish(PATIENCE).await;
    });
    let reports = BufReader::new(reports).lines();
    let bot = AbortOnDropHandle::new(bot);
    Bench { page: Some(page), commands: Some(commands), reports, deeds, stuck, bot, _dir: dir }
}

fn in_call() -> Bench {
    let bench = bench(Some(Ok(())), |_| {});
    bench.show(PageEvent::Admitted);
    bench
}

impl Bench {
    fn show(&self, event: PageEvent) {
        self.page.as_ref().unwrap().send(event).unwrap();
    }

    /// The next report but figures.
    async fn report(&mut self) -> Option<Report> {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.reports.next_line()).await.unwrap().unwrap()?;
            match serde_json::from_str(&line).unwrap() {
                Report::Health { .. } => {}
                report => return Some(report),
            }
        }
    }

    /// Reads until a report of this kind.
    async fn until(&mut self, kind: &str) -> Report {
        loop {
            let report = self.report().await.expect("there is more to come");
            if name(&report) == kind {
                return report;
            }
        }
    }

    async fn command(&mut self, reason: EndReason) {
        self.tell(&Command::Leave { reason }).await;
    }

    async fn tell(&mut self, command: &Command) {
        let line = serde_json::to_string(command).unwrap();
        self.commands.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Everything that is still reported, and what was done to the page.
    async fn rest(mut self) -> (Vec<Report>, Vec<String>) {
        let mut rest = Vec::new();
        while let Some(report) = self.report().await {
            rest.push(report);
        }
        tokio::time::timeout(PATIENCE, self.bot).await.unwrap().unwrap();
        let deeds = self.deeds.lock().unwrap().clone();
        (rest, deeds)
    }
}

fn name(report: &Report) -> String {
    serde_json::to_value(report).unwrap()["report"].as_str().unwrap().to_owned()
}

fn names(reports: &[Report]) -> Vec<String> {
    reports.iter().map(name).collect()
}

/// Why, in how many words, and what was recorded, by the last report.
fn ended(reports: &[Report]) -> (EndReason, &str, u64) {
    let Some(Report::Ended { reason, message, recorded_ms, .. }) = reports.last() else { panic!("{reports:?}") };
    let leaving = reports.iter().filter_map(|report| match report {
        Report::Leaving { reason, message, .. } => Some((*reason, message.as_str())),
        _ => None,
    });
    assert_eq!(leaving.collect::<Vec<_>>(), [(*reason, message.as_str())], "the same is said twice");
    (*reason, message, *recorded_ms)
}

/// 100 ms of a tone that was heard just now.
fn tone() -> PageEvent {
    let pcm = tone::sine(440.0, 100, 0.3, RATE);
    PageEvent::Audio { track: 1, at_us: Clock::start().now_us() - 100_000, pcm }
}

#[tokio::test]
async fn a_call_is_reported_in_order_and_ended_by_what_the_page_shows() {
    let mut bench = bench(Some(Ok(())), |_| {});
    bench.show(PageEvent::Step { name: "enter".into() });
    bench.show(PageEvent::Lobby);
    bench.show(PageEvent::Lobby);
    bench.show(tone());
    bench.show(PageEvent::Admitted);
    bench.show(PageEvent::Roster(vec![Participant { id: "1".into(), name: "Ada".into() }]));
    bench.show(PageEvent::TrackStarted { track: 1, participant: Some("1".into()) });
    let text = "ä".repeat(10_000);
    bench.show(PageEvent::Chat { id: "m1".into(), from: "1".into(), name: "Ada".into(), text });
    bench.until("recording").await;
    bench.show(tone());
    bench.show(PageEvent::Roster(vec![]));
    bench.until("chat").await;
    bench.show(tone());
    bench.show(PageEvent::Over { reason: EndReason::HostEnded, message: String::new() });
    let (rest, deeds) = bench.rest().await;
    assert_eq!(names(&rest), ["participant", "leaving", "ended"]);
    let (reason, message, recorded_ms) = ended(&rest);
    assert_eq!((reason, message), (EndReason::HostEnded, EndReason::HostEnded.message()));
    assert!(recorded_ms >= 100, "{recorded_ms}");
    assert_eq!(deeds, ["close"], "there is no call to leave");
}

#[tokio::test]
async fn every_state_is_reported_once() {
    let bench = bench(Some(Ok(())), |_| {});
    for event in [PageEvent::Lobby, PageEvent::Lobby, PageEvent::Admitted, PageEvent::Admitted] {
        bench.show(event);
    }
    bench.show(PageEvent::Over { reason: EndReason::Kicked, message: "removed".into() });
    let (reports, _) = bench.rest().await;
    let expected = ["ready", "joining", "waiting_room", "admitted", "recording", "note", "leaving", "ended"];
    assert_eq!(names(&reports), expected);
    let (reason, message, _) = ended(&reports);
    assert_eq!(reason, EndReason::Kicked);
    assert!(message.starts_with("removed; nobody sent audio"), "silence is never called success: {message}");
}

#[tokio::test]
async fn an_order_to_leave_is_obeyed_politely() {
    let mut bench = in_call();
    bench.until("recording").await;
    bench.command(EndReason::WorkerShutdown).await;
    let (rest, deeds) = bench.rest().await;
    assert_eq!(ended(&rest).0, EndReason::WorkerShutdown);
    assert_eq!(deeds, ["leave 5", "close"]);
}

#[tokio::test]
async fn a_bot_without_a_supervisor_leaves_in_a_hurry() {
    let mut bench = in_call();
    bench.until("recording").await;
    bench.commands = None;
    let (rest, deeds) = bench.rest().await;
    assert_eq!(ended(&rest).0, EndReason::WorkerLost);
    assert_eq!(deeds, ["leave 2", "close"]);
}

/// Invariant: a bot whose supervisor stands still is out of the call before its session can be somebody else's.
#[tokio::test]
async fn a_bot_that_is_held_by_nobody_any_more_leaves_by_itself() {
    let mut bench = held_for(3_600_000);
    bench.until("recording").await;
    // A sixth of it is for the way out.
    bench.tell(&Command::Hold { until: in_ms(6_000) }).await;
    let (rest, deeds) = bench.rest().await;
    assert_eq!(ended(&rest).0, EndReason::WorkerLost);
    assert_eq!(deeds, ["leave 0", "close"]);
}

#[tokio::test]
async fn a_bot_that_finds_no_way_out_is_ended_with_its_hold_and_says_nothing_more() {
    let mut bench = held_for(3_600_000);
    bench.stuck.store(true, Ordering::Relaxed);
    bench.until("recording").await;
    bench.command(EndReason::LeaveRequested).await;
    bench.until("leaving").await;
    bench.tell(&Command::Hold { until: in_ms(100) }).await;
    let (rest, deeds) = bench.rest().await;
    assert_eq!((names(&rest), deeds), (vec![], vec!["leave 5".to_owned()]), "the supervisor calls it crashed");
}

#[tokio::test]
async fn a_bot_that_starts_too_late_does_not_begin() {
    let bench = held_for(-1);
    let (rest, deeds) = bench.rest().await;
    assert_eq!((names(&rest), deeds), (["ready", "leaving", "ended"].map(str::to_owned).to_vec(), vec![]));
    assert_eq!(ended(&rest).0, EndReason::WorkerLost);
}

fn held_for(ms: i64) -> Bench {
    let bench = bench(Some(Ok(())), |spec| spec.held_until = Some(in_ms(ms)));
    bench.show(PageEvent::Admitted);
    bench
}

fn in_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(Clock::start().now().as_millis() + ms)
}

#[tokio::test]
async fn an_order_comes_through_while_the_page_does_not_open() {
    let mut bench = bench(None, |_| {});
    bench.until("joining").await;
    bench.command(EndReason::LeaveRequested).await;
    let (rest, deeds) = bench.rest().await;
    assert_eq!(names(&rest), ["leaving", "ended"]);
    assert_eq!(ended(&rest), (EndReason::LeaveRequested, EndReason::LeaveRequested.message(), 0));
    assert!(deeds.is_empty());
}

#[tokio::test]
async fn a_page_that_does_not_open_in_time_is_given_up() {
    let (reports, _) = bench(None, |spec| spec.join_timeout_ms = 1).rest().await;
    assert_eq!(ended(&reports).0, EndReason::ConnectionLost);
}

#[tokio::test]
async fn what_goes_wrong_at_the_start_is_said_with_its_reason() {
    let broken = Some(Err(End::new(EndReason::LaunchTimeout, "the browser could not be started: no such file")));
    let (reports, _) = bench(broken, |_| {}).rest().await;
    assert_eq!(ended(&reports), (EndReason::LaunchTimeout, "the browser could not be started: no such file", 0));
    let nowhere = |spec: &mut BotSpec| spec.storage = "ftp://nowhere/".parse().unwrap();
    let (reports, _) = bench(Some(Ok(())), nowhere).rest().await;
    assert_eq!(names(&reports), ["ready", "leaving", "ended"], "nobody is bothered");
    assert_eq!(ended(&reports).0, EndReason::Internal);
}

#[tokio::test]
async fn a_page_that_is_gone_is_a_crash_of_ours() {
    let mut bench = in_call();
    bench.until("recording").await;
    bench.page = None;
    let (rest, _) = bench.rest().await;
    assert_eq!(ended(&rest).0, EndReason::BotCrashed);
}

#[tokio::test]
async fn deafness_is_repaired_and_then_ends_the_call() {
    let bench = bench(Some(Ok(())), |spec| spec.capture_timeout_ms = 1);
    bench.show(PageEvent::Admitted);
    bench.show(PageEvent::Roster(vec![Participant { id: "1".into(), name: "Ada".into() }]));
    bench.show(PageEvent::TrackStarted { track: 1, participant: Some("1".into()) });
    let (reports, deeds) = bench.rest().await;
    let (reason, message, recorded_ms) = ended(&reports);
    assert_eq!(reason, EndReason::CaptureFailed, "{message}");
    assert!(recorded_ms > 0);
    assert_eq!(deeds, ["reattach", "leave 5", "close"]);
}

#[tokio::test]
async fn a_flood_from_the_page_does_not_keep_orders_out() {
    let mut bench = in_call();
    bench.until("recording").await;
    let page = bench.page.take().unwrap();
    let flood = tokio::spawn(async move {
        while page.send(PageEvent::Received { bytes: 1 }).is_ok() {
            tokio::task::yield_now().await;
        }
    });
    bench.command(EndReason::LeaveRequested).await;
    let (rest, _) = bench.rest().await;
    assert_eq!(ended(&rest).0, EndReason::LeaveRequested);
    flood.await.unwrap();
}
