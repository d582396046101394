//! Does the steps of a pack, one after the other, in a task of its own: sound must not wait for a slow page.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::report;
use crate::browser::BrowserError;
use crate::pack::{Action, Step};
use crate::page::Page;

/// How long the page looks for an element before it is asked again: a question is lost when the page navigates.
const LOOK_MS: u64 = 2_000;
/// Before a question is asked again that the page could not answer, because it navigates just now.
const RETRY: Duration = Duration::from_millis(100);

/// What became of the steps.
#[derive(Debug)]
pub(super) enum Progress {
    Began {
        name: String,
    },
    /// It could not be done; no further step is tried.
    Failed {
        message: String,
    },
    Done,
}

/// Steps under way. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct Walk {
    progress: UnboundedReceiver<Progress>,
    _task: AbortOnDropHandle<()>,
}

impl Walk {
    pub(super) fn start(page: Page, steps: &[Step], bot_name: &str) -> Self {
        let (said, progress) = unbounded_channel();
        let walk = all(page, steps.to_vec(), bot_name.to_owned(), said);
        Self { progress, _task: AbortOnDropHandle::new(tokio::spawn(walk)) }
    }

    /// Cancel safe. `None` once everything was said.
    pub(super) async fn next(&mut self) -> Option<Progress> {
        self.progress.recv().await
    }
}

async fn all(page: Page, steps: Vec<Step>, bot_name: String, said: UnboundedSender<Progress>) {
    for step in &steps {
        // Nobody listens any more only when this task is about to be stopped.
        let _ = said.send(Progress::Began { name: step.name.clone() });
        let deadline = Instant::now() + Duration::from_millis(step.timeout_ms);
        match (Doing { page: &page, step, bot_name: &bot_name, deadline }).run().await {
            Ok(()) => {}
            Err(Failure::PageGone) => return,
            Err(Failure::Late(why)) if step.optional => {
                tracing::debug!(step = step.name, why, "an optional step was not needed");
            }
            Err(Failure::Late(why)) => {
                let message = format!("step `{}`: {why} after {} ms", step.name, step.timeout_ms);
                let _ = said.send(Progress::Failed { message });
                return;
            }
        }
    }
    let _ = said.send(Progress::Done);
}

enum Failure {
    /// Told by the page's own event.
    PageGone,
    /// The time is up; what it still wanted.
    Late(String),
}

/// What the page answered.
enum Found {
    /// The step is done or not needed.
    Enough,
    At {
        x: f64,
        y: f64,
    },
    /// The page clicked it itself, because something lies over it.
    Clicked,
    Value(String),
}

struct Doing<'a> {
    page: &'a Page,
    step: &'a Step,
    bot_name: &'a str,
    deadline: Instant,
}

impl Doing<'_> {
    async fn run(&self) -> Result<(), Failure> {
        loop {
            let Some(action) = self.step.action() else { return Ok(()) };
            let done = match action {
                Action::Wait(selector) => matches!(self.find("wait", Some(selector)).await?, Found::Enough),
                Action::Click(selector) => self.click(selector).await?,
                Action::Fill(selector, text) => self.fill(selector, &text.replace("{bot_name}", self.bot_name)).await?,
                Action::Press(key) => {
                    self.command(self.page.press_key(key).await)?;
                    false
                }
            };
            if done || self.step.until.is_none() || self.has_come_true().await? {
                return Ok(());
            }
        }
    }

    /// True if the step was done before anything had to be clicked. A click that something else got, because the page
    /// moved under it, is made again.
    async fn click(&self, selector: &str) -> Result<bool, Failure> {
        loop {
            match self.find("click", Some(selector)).await? {
                Found::Enough => return Ok(true),
                Found::At { x, y } => self.command(self.page.click_at(x, y).await)?,
                Found::Clicked | Found::Value(_) => return Ok(false),
            }
            // A page that cannot say it is on its way to another document.
            if !matches!(self.page.evaluate(report::LANDED).await, Ok(Value::Bool(false))) {
                return Ok(false);
            }
            tracing::debug!(step = self.step.name, "a click did not reach its element");
            if self.left_ms() == 0 {
                return Err(Failure::Late(format!("`{selector}` moves away from every click")));
            }
        }
    }

    /// Fills the field in, and again while the page does not keep the text.
    async fn fill(&self, selector: &str, text: &str) -> Result<bool, Failure> {
        loop {
            if matches!(self.find("fill", Some(selector)).await?, Found::Enough) {
                return Ok(true);
            }
            self.command(self.page.insert_text(text).await)?;
            match self.find("read", Some(selector)).await? {
                Found::Enough => return Ok(true),
                // A field may be shorter than the text.
                Found::Value(value) if value == text || (!value.is_empty() && text.starts_with(&value)) => {
                    return Ok(false);
                }
                _ if self.left_ms() == 0 => {
                    return Err(Failure::Late(format!("`{selector}` does not keep the text")));
                }
                _ => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Whether `until` came true; if not within a while, the step is repeated.
    async fn has_come_true(&self) -> Result<bool, Failure> {
        match self.look("until", None).await? {
            Ok(_) => Ok(true),
            Err(why) if self.left_ms() == 0 => Err(Failure::Late(why)),
            Err(_) => Ok(false),
        }
    }

    async fn find(&self, act: &str, selector: Option<&str>) -> Result<Found, Failure> {
        loop {
            match self.look(act, selector).await? {
                Ok(found) => return Ok(found),
                Err(why) if self.left_ms() == 0 => return Err(Failure::Late(why)),
                Err(_) => {}
            }
        }
    }

    /// One look of at most two seconds; the inner error says what is missing.
    async fn look(&self, act: &str, selector: Option<&str>) -> Result<Result<Found, String>, Failure> {
        let wait_ms = self.left_ms().min(LOOK_MS);
        let answer = match self.page.evaluate(&report::locate(self.step, act, selector, wait_ms)).await {
            Ok(answer) => answer,
            Err(error @ (BrowserError::Gone | BrowserError::Closed | BrowserError::Crashed)) => {
                tracing::debug!(%error, "a step lost its page");
                return Err(Failure::PageGone);
            }
            Err(error) => {
                tokio::time::sleep(RETRY).await;
                return Ok(Err(format!("the page did not answer ({error})")));
            }
        };
        let number = |key: &str| answer[key].as_f64().unwrap_or_default();
        Ok(match answer["is"].as_str() {
            Some("skip" | "done") => Ok(Found::Enough),
            Some("at") => Ok(Found::At { x: number("x"), y: number("y") }),
            Some("clicked") => Ok(Found::Clicked),
            Some("value") => Ok(Found::Value(text(&answer["value"]))),
            _ => Err(text(&answer["why"])),
        })
    }

    /// A command that the browser itself refuses will not work the next time either.
    fn command(&self, result: Result<(), BrowserError>) -> Result<(), Failure> {
        match result {
            Ok(()) => Ok(()),
            Err(BrowserError::Gone | BrowserError::Closed | BrowserError::Crashed) => Err(Failure::PageGone),
            Err(error) => Err(Failure::Late(format!("the browser did not do it ({error})"))),
        }
    }

    fn left_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
