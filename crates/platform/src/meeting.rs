//! The engine: takes a page into a meeting, tells what it shows, and takes it out again. It knows no product; what a
//! product's page needs is in its [`Pack`].
//!
//! Before the page's own scripts run, two of ours are installed: the capture hook and a watcher. The watcher reports
//! which of the pack's evidence rules hold whenever that changes; what they amount to is decided in `meeting/decide.rs`.
//! The steps run in a task of their own. Clicks and text are real input events, except that an element that is covered
//! by another is told directly. Nothing here pretends to be a person.

mod decide;
mod error;
mod event;
mod report;
mod steps;
mod tracks;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_session::EndReason;
use url::Url;

use crate::browser::{Browser, BrowserError};
use crate::capture::{self, CaptureEvent};
use crate::pack::{Pack, PackError, Problem, Shown};
use crate::page::{BrowserEvent, Page};
use decide::{Judge, Verdict};
pub use error::OpenError;
pub use event::{PageEvent, Participant};
use report::Report;
use steps::{Progress, Walk};
use tracks::Tracks;

/// A page of a large product on a busy machine takes several seconds; the worst measured on one of ours was 17 s.
const LOAD_WITHIN: Duration = Duration::from_secs(30);

/// Where to go, and as whom.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What is known of the product.
    pub pack: Arc<Pack>,
    /// The address to open.
    pub url: Url,
    /// The name to join under.
    pub bot_name: String,
}

/// A meeting page with a bot in it.
#[derive(Debug)]
pub struct MeetingPage {
    page: Page,
    visit: Visit,
    judge: Judge,
    tracks: Tracks,
    /// The steps under way, in or out.
    walk: Option<Walk>,
    leaving: bool,
    /// What is still to be said.
    said: VecDeque<PageEvent>,
    roster: Option<Vec<Participant>>,
    messages: HashSet<String>,
    /// Audio bytes that this document received, and those before it.
    received: u64,
    received_before: u64,
    gone: bool,
}

impl MeetingPage {
    /// Opens a page of its own in the browser, with the capture hook and the watcher in it, loads the meeting and begins
    /// with the pack's steps; [`MeetingPage::next`] tells how they go.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; its reason is the one to end the session with. If this is cancelled, the page is closed.
    pub async fn open(browser: &Browser, visit: Visit) -> Result<Self, OpenError> {
        let pack = &visit.pack;
        if pack.steps().is_empty() {
            return Err(OpenError::NoSteps { id: pack.id().to_owned(), label: pack.label().to_owned() });
        }
        let page = browser.open_page().await?;
        let refused = refused(&page, pack).await?;
        if !refused.is_empty() {
            return Err(OpenError::Pack { id: pack.id().to_owned(), problems: PackError::Invalid(refused) });
        }
        page.add_binding(capture::BINDING).await?;
        page.add_binding(report::BINDING).await?;
        page.add_script(&capture::script(&capture::Options::default())).await?;
        page.add_script(&report::watcher(pack)).await?;
        page.navigate(&visit.url, LOAD_WITHIN).await.map_err(OpenError::Unreachable)?;
        let walk = Walk::start(page.clone(), pack.steps(), &visit.bot_name);
        Ok(Self {
            page,
            judge: Judge::new(pack.evidence()),
            tracks: Tracks::new(pack.tracks()),
            visit,
            walk: Some(walk),
            leaving: false,
            said: VecDeque::new(),
            roster: None,
            messages: HashSet::new(),
            received: 0,
            received_before: 0,
            gone: false,
        })
    }

    /// The next thing that happened. `None` once the page is gone and everything was said. Cancel safe.
    pub async fn next(&mut self) -> Option<PageEvent> {
        loop {
            if let Some(event) = self.said.pop_front() {
                return Some(event);
            }
            if self.gone {
                return None;
            }
            self.turn().await;
        }
    }

    /// Attaches to all sound again.
    ///
    /// # Errors
    ///
    /// If the page does not answer.
    pub async fn reattach(&self) -> Result<(), BrowserError> {
        self.page.evaluate_everywhere(capture::reattach_expression()).await
    }

    /// Takes the pack's steps out of the call and waits, at most `within`, until the page shows that we are out. True if
    /// it did. What else happens meanwhile is told by [`MeetingPage::next`] as ever.
    pub async fn leave(&mut self, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        self.leaving = true;
        self.judge.leaving();
        self.walk = Some(Walk::start(self.page.clone(), self.visit.pack.leave(), &self.visit.bot_name));
        while !self.judge.is_out() && !self.gone && self.can_show_that_we_are_out() {
            if tokio::time::timeout_at(deadline, self.turn()).await.is_err() {
                break;
            }
        }
        self.walk = None;
        self.judge.is_out()
    }

    /// Closes the page and waits until that is done.
    pub async fn close(self) {
        drop(self.walk);
        self.page.close().await;
    }

    /// Without steps or evidence for it there is nothing to wait for.
    fn can_show_that_we_are_out(&self) -> bool {
        let mut rules = self.visit.pack.evidence().iter();
        let is_evident = !self.visit.pack.leave().is_empty() && rules.any(|rule| rule.state == Shown::Left);
        !self.judge.is_over() && (self.walk.is_some() || is_evident)
    }

    /// Waits for one thing and takes it in. Cancel safe: each branch waits for a channel or the clock.
    async fn turn(&mut self) {
        let again = self.judge.next_at(Instant::now());
        tokio::select! {
            event = self.page.next_event() => self.take_event(event),
            progress = next_step(self.walk.as_mut()) => self.take_progress(progress),
            () = sleep_until(again) => {}
        }
        while let Some(verdict) = self.judge.verdict(Instant::now()) {
            self.said.push_back(match verdict {
                Verdict::Lobby => PageEvent::Lobby,
                Verdict::Admitted => PageEvent::Admitted,
                Verdict::Over { reason, message } => PageEvent::Over { reason, message },
                Verdict::Note(text) => PageEvent::Note { text },
            });
        }
    }

    fn take_event(&mut self, event: Option<BrowserEvent>) {
        match event {
            Some(BrowserEvent::Binding { name, payload }) if name == capture::BINDING => self.take_sound(&payload),
            Some(BrowserEvent::Binding { name, payload }) if name == report::BINDING => {
                match serde_json::from_str(&payload) {
                    Ok(report) => self.take_report(report),
                    Err(error) => tracing::debug!(%error, "a report of the page that is none"),
                }
            }
            Some(BrowserEvent::Binding { .. }) => {}
            Some(BrowserEvent::Navigated) => self.leave_document(),
            Some(BrowserEvent::Crashed) => self.lose("The meeting page crashed"),
            Some(BrowserEvent::Closed) | None => self.lose("The meeting page was closed or its browser ended"),
        }
    }

    /// The old document says nothing any more: its tracks are gone, and what it showed is no evidence now.
    fn leave_document(&mut self) {
        self.said.extend(self.tracks.all_ended());
        self.judge.observe(Instant::now(), &[]);
        self.received_before += std::mem::take(&mut self.received);
    }

    fn lose(&mut self, message: &str) {
        self.gone = true;
        self.walk = None;
        if !self.leaving && !self.judge.is_over() {
            let message = message.to_owned();
            self.said.push_back(PageEvent::Over { reason: EndReason::BotCrashed, message });
        }
        self.judge.close();
    }

    fn take_progress(&mut self, progress: Option<Progress>) {
        match progress {
            Some(Progress::Began { name }) if !self.leaving => self.said.push_back(PageEvent::Step { name }),
            Some(Progress::Began { .. }) => {}
            Some(Progress::Failed { message }) => {
                self.walk = None;
                if self.leaving {
                    self.said.push_back(PageEvent::Note { text: message });
                } else {
                    self.judge.step_failed(message);
                }
            }
            Some(Progress::Done) | None => self.walk = None,
        }
    }

    fn take_report(&mut self, report: Report) {
        self.judge.observe(Instant::now(), &report.holds);
        if let Some(trouble) = report.trouble {
            self.said.push_back(PageEvent::Note { text: format!("the page cannot be watched: {trouble}") });
        }
        if let Some(entries) = &report.roster {
            self.take_roster(entries);
        }
        let people = report.roster.iter().flatten().filter(|entry| !entry.own).map(|entry| entry.id.as_str());
        self.said.extend(self.tracks.learn(people, &report.owners));
        for message in report.chat {
            if self.messages.insert(message.id.clone()) {
                let report::Message { id, from, name, text } = message;
                self.said.push_back(PageEvent::Chat { id, from, name, text });
            }
        }
    }

    fn take_roster(&mut self, entries: &[report::Entry]) {
        let mut ids = HashSet::new();
        let mut others = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.own) {
            if ids.insert(&entry.id) {
                let name = if entry.name.is_empty() { &entry.id } else { &entry.name };
                others.push(Participant { id: entry.id.clone(), name: name.clone() });
            }
        }
        if self.roster.as_ref() != Some(&others) {
            self.roster = Some(others.clone());
            self.said.push_back(PageEvent::Roster(others));
        }
    }

    fn take_sound(&mut self, payload: &str) {
        match capture::decode(payload) {
            Ok(CaptureEvent::TrackStarted { track, stream_ids, track_id, .. }) => {
                let event = self.tracks.started(track, stream_ids, track_id);
                self.said.push_back(event);
            }
            Ok(CaptureEvent::TrackEnded { track }) => self.said.extend(self.tracks.ended(track)),
            Ok(CaptureEvent::Audio { track, at_us, pcm }) => {
                self.said.push_back(PageEvent::Audio { track, at_us, pcm });
            }
            Ok(CaptureEvent::Stats { received_bytes }) => {
                self.received = received_bytes;
                self.said.push_back(PageEvent::Received { bytes: self.received_before + received_bytes });
            }
            Ok(CaptureEvent::Trouble { text }) => self.said.push_back(PageEvent::Note { text }),
            Err(error) => tracing::debug!(%error, "a report of the capture hook that is none"),
        }
    }
}

/// What this browser refuses of a pack: selectors, expressions and scripts, each with its key. `page` has to be an empty
/// one, for the content security policy of a real page may forbid to try.
///
/// # Errors
///
/// If the page does not answer.
pub async fn refused(page: &Page, pack: &Pack) -> Result<Vec<Problem>, BrowserError> {
    Ok(report::refused(&page.evaluate(&report::check(pack)).await?))
}

async fn next_step(walk: Option<&mut Walk>) -> Option<Progress> {
    match walk {
        Some(walk) => walk.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
