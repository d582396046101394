//! The meeting's page, and how the driver sees it.

use std::sync::Arc;
use std::time::Duration;

use muster_platform::browser::Browser;
use muster_platform::meeting::{MeetingPage, PageEvent, Visit};
use muster_platform::pack::Pack;
use muster_session::EndReason;
use muster_session::protocol::{BotSpec, Report};

use crate::call::End;
use crate::clock::Clock;
use crate::report::Reporter;

/// Opens the page of a meeting.
pub(crate) trait Opener {
    type Page: Page;

    /// Starts what is needed and opens the meeting; says `Joining` in between. Dropping the future undoes it.
    async fn open(&self, spec: &BotSpec, reporter: &Reporter, clock: Clock) -> Result<Self::Page, End>;
}

/// A page in a meeting, or on the way into one.
pub(crate) trait Page {
    /// The next thing that happened. Cancel safe. `None` once the page is gone.
    async fn next(&mut self) -> Option<PageEvent>;
    /// Attaches to all audio again.
    async fn reattach(&self) -> Result<(), String>;
    /// Takes the way out of the call; true if the page shows that it is out.
    async fn leave(&mut self, within: Duration) -> bool;
    /// Ends the page and what was started for it.
    async fn close(self);
}

/// A page in a browser that is started for it.
#[derive(Debug)]
pub(crate) struct InBrowser;

#[derive(Debug)]
pub(crate) struct BrowserPage {
    browser: Browser,
    page: MeetingPage,
}

impl Opener for InBrowser {
    type Page = BrowserPage;

    async fn open(&self, spec: &BotSpec, reporter: &Reporter, clock: Clock) -> Result<BrowserPage, End> {
        let pack = Pack::parse(&spec.pack)
            .map_err(|error| End::new(EndReason::Internal, format!("the platform pack cannot be used: {error}")))?;
        let browser = Browser::launch(&spec.browser).await.map_err(|error| {
            End::new(EndReason::LaunchTimeout, format!("the browser could not be started: {error}"))
        })?;
        tracing::info!(pid = browser.pid(), "the browser runs");
        reporter.say(Report::Joining { at: clock.now(), simulated: false });
        let visit = Visit { pack: Arc::new(pack), url: spec.meeting.join_url.clone(), bot_name: spec.bot_name.clone() };
        match MeetingPage::open(&browser, visit).await {
            Ok(page) => Ok(BrowserPage { browser, page }),
            Err(error) => {
                let end = End::new(error.reason(), error.to_string());
                browser.close().await;
                Err(end)
            }
        }
    }
}

impl Page for BrowserPage {
    async fn next(&mut self) -> Option<PageEvent> {
        self.page.next().await
    }

    async fn reattach(&self) -> Result<(), String> {
        self.page.reattach().await.map_err(|error| error.to_string())
    }

    async fn leave(&mut self, within: Duration) -> bool {
        self.page.leave(within).await
    }

    async fn close(self) {
        self.page.close().await;
        self.browser.close().await;
    }
}
