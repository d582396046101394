//! From an open page to the end: events in, actions out.

use std::time::Duration;

use muster_platform::meeting::{PageEvent, Participant};
use muster_session::Timestamp;
use muster_session::protocol::{BotSpec, HealthFigures, Report};
use serde_json::json;
use tokio::io::AsyncRead;

use super::farewell::Farewell;
use super::{Exit, Pulse, page_gone, ticks};
use crate::call::{Call, Due, End};
use crate::clock::Clock;
use crate::media::{Media, Outlets};
use crate::outside::Outside;
use crate::page::Page;
use crate::report::{Level, Reporter};
use crate::room::Person;
use crate::watchdog::Hearing;

/// Attaching again is a few lines in the page; one that does not answer is not waited for while audio may come.
const REATTACH: Duration = Duration::from_secs(3);
/// Audio goes this far behind by a stall before frames are given out without what may still come from the page.
const STALL_US: u64 = 5_000_000;
/// For the last audio on its way out of the page, which comes in pieces of 100 ms.
const LINGER: Duration = Duration::from_millis(150);
/// Longest text of one chat message that is passed on.
const MAX_CHAT_BYTES: usize = 8_000;
/// For the browser, which kills itself if it does not end by then.
const CLOSE: Duration = Duration::from_secs(8);

/// One page and everything that is known about it.
#[derive(Debug)]
pub(super) struct Stay<'a, P> {
    spec: &'a BotSpec,
    page: P,
    call: Call,
    /// Until admission ...
    outlets: Option<Outlets>,
    /// ... and from then on.
    media: Option<Media>,
    /// What the page last told of its audio, and when.
    received: Option<(u64, Timestamp)>,
    pulse: Pulse,
    reporter: Reporter,
    clock: Clock,
}

impl<'a, P: Page> Stay<'a, P> {
    pub(super) fn new(
        spec: &'a BotSpec,
        page: P,
        call: Call,
        outlets: Outlets,
        reporter: Reporter,
        clock: Clock,
    ) -> Self {
        let (outlets, media, received) = (Some(outlets), None, None);
        Self { spec, page, call, outlets, media, received, pulse: Pulse::default(), reporter, clock }
    }

    /// Acts until there is a reason to go.
    pub(super) async fn until_the_end<R, S>(&mut self, outside: &mut Outside<R, S>) -> Exit
    where
        R: AsyncRead + Unpin,
        S: Future<Output = ()>,
    {
        let mut ticks = ticks();
        loop {
            let due = self.media.as_ref().map(Media::due_us);
            let wait = due.map(|due| Duration::from_micros(due.saturating_sub(self.clock.now_us())));
            // In this order: orders and deadlines are heard even when the page floods us, and audio that is there is
            // taken before frames are given out without it.
            tokio::select! {
                biased;
                asked = outside.asked() => return Exit::ordered(asked),
                _ = ticks.tick() => if let Some(end) = self.tick().await {
                    return Exit::own(end);
                },
                event = self.page.next() => match event {
                    Some(event) => if let Some(end) = self.take(event) {
                        return Exit::page(end);
                    },
                    None => return Exit::page(page_gone()),
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => self.advance(),
            }
        }
    }

    /// Takes what happened in the page; answers the end if that was it.
    fn take(&mut self, event: PageEvent) -> Option<End> {
        let now = self.clock.now();
        match event {
            PageEvent::Step { name } => self.call.step(&name),
            PageEvent::Lobby => {
                let report = self.call.lobby(now);
                self.say(report);
            }
            PageEvent::Admitted => self.admitted(now),
            PageEvent::Over { reason, message } => {
                return Some(if message.is_empty() { End::plain(reason) } else { End::new(reason, message) });
            }
            PageEvent::Roster(others) => self.roster(others, now),
            PageEvent::Chat { id, from, name, text } => self.chat(id, from, name, text, now),
            PageEvent::TrackStarted { track, participant } => {
                self.call.room.track_started(track, participant);
                self.learn();
            }
            PageEvent::TrackEnded { track } => {
                self.call.room.track_ended(track);
                if let Some(media) = &mut self.media {
                    media.track_ended(track);
                }
            }
            PageEvent::Audio { track, at_us, pcm } => {
                // Before admission nobody has agreed to be heard.
                if let Some(media) = &mut self.media {
                    media.audio(track, at_us, &pcm, self.clock.now_us());
                }
            }
            PageEvent::Received { bytes } => self.received = Some((bytes, now)),
            PageEvent::Note { text } => self.reporter.note(Level::Info, text),
        }
        None
    }

    fn admitted(&mut self, now: Timestamp) {
        let admitted = self.call.admitted(now);
        let news = admitted.is_some();
        self.say(admitted);
        if !news {
            return;
        }
        if let Some(outlets) = self.outlets.take() {
            let mut media = Media::begin(self.spec, outlets, self.reporter.clone(), self.clock.now_us());
            for person in self.call.room.people() {
                media.event("participant", participant(&person, true, now));
            }
            media.learn(&self.call.room);
            self.media = Some(media);
            self.reporter.say(Report::Recording { at: self.clock.now() });
        }
    }

    fn roster(&mut self, others: Vec<Participant>, now: Timestamp) {
        let others = others.into_iter().map(|Participant { id, name }| Person { id, name }).collect();
        for report in self.call.roster(others, now) {
            if let (Some(media), Report::Participant { joined, id, name, .. }) = (&mut self.media, &report) {
                let person = Person { id: id.clone(), name: name.clone() };
                media.event("participant", participant(&person, *joined, now));
            }
            self.reporter.say(report);
        }
        self.learn();
    }

    fn chat(&mut self, id: String, from: String, name: String, mut text: String, now: Timestamp) {
        text.truncate(text.floor_char_boundary(MAX_CHAT_BYTES));
        if let Some(media) = &mut self.media {
            media.event("chat", json!({"id": id, "from": from, "name": name, "text": text, "at": now}));
        }
        self.reporter.say(Report::Chat { at: now, id, from, name, text });
    }

    fn learn(&mut self) {
        if let Some(media) = &mut self.media {
            media.learn(&self.call.room);
        }
    }

    fn say(&self, report: Option<Report>) {
        if let Some(report) = report {
            self.reporter.say(report);
        }
    }

    fn advance(&mut self) {
        if let Some(media) = &mut self.media
            && media.advance(self.clock.now_us())
        {
            self.call.heard(self.clock.now());
        }
    }

    /// Looks at every deadline and rule, repairs what is to be repaired, and says how things are.
    async fn tick(&mut self) -> Option<End> {
        let (now, now_us) = (self.clock.now(), self.clock.now_us());
        if self.media.as_ref().is_some_and(|media| now_us.saturating_sub(media.due_us()) > STALL_US) {
            self.advance();
        }
        if self.pulse.is_due(now) {
            let tracks = self.call.room.tracks();
            let figures = self.media.as_mut().map_or_else(HealthFigures::default, |media| media.figures(tracks));
            self.reporter.say(Report::Health { at: now, figures });
        }
        let Due { reports, repair, end } = self.call.tick(self.hearing(), now);
        reports.into_iter().for_each(|report| self.reporter.say(report));
        if repair {
            self.repair().await;
        }
        end
    }

    async fn repair(&mut self) {
        match tokio::time::timeout(REATTACH, self.page.reattach()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.reporter.note(Level::Warn, format!("attaching again failed: {error}")),
            Err(_) => self.reporter.note(Level::Warn, "the page does not answer; attaching again is not sure"),
        }
    }

    fn hearing(&self) -> Hearing {
        let hearing = self.media.as_ref().map_or_else(Hearing::default, Media::hearing);
        let (received_bytes, received_at) = self.received.unzip();
        Hearing { received_bytes, received_at, ..hearing }
    }

    /// Leaves the call, stores everything and says the last word. Everything in it is bounded.
    pub(super) async fn end(mut self, exit: Exit) {
        self.linger().await;
        let mut farewell = Farewell::new(exit, self.reporter.clone(), self.clock);
        if let Some(media) = &mut self.media {
            media.cut(self.clock.now_us());
            let recorded_ms = media.figures(self.call.room.tracks()).recorded_ms;
            farewell.qualify(recorded_ms, media.hearing());
        }
        farewell.leaving();
        let Exit { asked, patience, by_page } = farewell.exit.clone();
        let Self { mut page, media, reporter, .. } = self;
        let closing = async {
            if !by_page && !page.leave(asked.grace).await {
                tracing::info!("the page did not show that the call was left");
            }
            if tokio::time::timeout(CLOSE, page.close()).await.is_err() {
                tracing::warn!("the browser did not close in time");
            }
        };
        let storing = async {
            match media {
                Some(media) => media.finish(patience).await.recorded_ms,
                None => 0,
            }
        };
        let ((), recorded_ms) = tokio::join!(closing, storing);
        farewell.ended(recorded_ms);
        drop(reporter);
    }

    /// Takes the audio that was heard already and is still on its way.
    async fn linger(&mut self) {
        let Some(media) = &mut self.media else { return };
        let until = tokio::time::Instant::now() + LINGER;
        while let Ok(Some(event)) = tokio::time::timeout_at(until, self.page.next()).await {
            if let PageEvent::Audio { track, at_us, pcm } = event {
                media.audio(track, at_us, &pcm, self.clock.now_us());
            }
        }
    }
}

fn participant(person: &Person, joined: bool, at: Timestamp) -> serde_json::Value {
    json!({"id": person.id, "name": person.name, "joined": joined, "at": at})
}
