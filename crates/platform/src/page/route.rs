//! Takes what the browser says of one page: passes on what the owner wants to know, answers the rest itself.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::BrowserEvent;
use crate::browser::BrowserError;
use crate::cdp::{Connection, Listener};

/// What waits to be fetched by the owner is bounded: 64 MiB, minutes of sound.
const QUEUED_BYTES: usize = 64 << 20;

/// How far the page is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Documents loaded so far into the main frame.
    pub(super) documents: u64,
    /// The document's scripts and markup are there.
    pub(super) ready: bool,
    pub(super) lost: Option<Lost>,
    loader: String,
}

/// Why the page is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Crashed,
    Closed,
    Gone,
}

impl From<Lost> for BrowserError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Crashed => Self::Crashed,
            Lost::Closed => Self::Closed,
            Lost::Gone => Self::Gone,
        }
    }
}

pub(super) struct Route {
    this: Weak<Route>,
    connection: Connection,
    /// The session of the page itself; frames of other sites have their own.
    session: String,
    events: mpsc::UnboundedSender<BrowserEvent>,
    queued_bytes: AtomicUsize,
    setup: Mutex<Setup>,
    progress: watch::Sender<Progress>,
}

/// What every frame gets.
#[derive(Default)]
struct Setup {
    scripts: Vec<String>,
    bindings: Vec<String>,
    /// Sessions of frames that have their own.
    frames: HashSet<String>,
}

impl Route {
    pub(super) fn new(
        connection: Connection,
        session: String,
        events: mpsc::UnboundedSender<BrowserEvent>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            connection,
            session,
            events,
            queued_bytes: AtomicUsize::new(0),
            setup: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
        })
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The owner has fetched an event.
    pub(super) fn fetched(&self, event: &BrowserEvent) {
        if let BrowserEvent::Binding { payload, .. } = event {
            self.queued_bytes.fetch_sub(payload.len(), Ordering::Relaxed);
        }
    }

    /// Remembers a script for frames to come and gives it to the frames that have their own session.
    pub(super) fn add_script(&self, source: &str) {
        let mut setup = self.setup();
        setup.scripts.push(source.to_owned());
        for frame in &setup.frames {
            self.connection.tell(Some(frame), "Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
        }
    }

    /// As [`Route::add_script`], for a binding.
    pub(super) fn add_binding(&self, name: &str) {
        let mut setup = self.setup();
        setup.bindings.push(name.to_owned());
        for frame in &setup.frames {
            self.connection.tell(Some(frame), "Runtime.addBinding", json!({ "name": name }));
        }
    }

    /// Sessions of the frames that have their own now.
    pub(super) fn frames(&self) -> Vec<String> {
        self.setup().frames.iter().cloned().collect()
    }

    /// Stops listening.
    pub(super) fn leave(&self) {
        self.connection.unlisten(&self.session);
        for frame in self.setup().frames.drain() {
            self.connection.unlisten(&frame);
        }
    }

    fn setup(&self) -> MutexGuard<'_, Setup> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attached(&self, frame: &str) {
        let Some(this) = self.this.upgrade() else { return };
        self.connection.listen(frame, this);
        let mut setup = self.setup();
        let tell = |method, params| self.connection.tell(Some(frame), method, params);
        for (method, params) in super::frame_setup() {
            tell(method, params);
        }
        for name in &setup.bindings {
            tell("Runtime.addBinding", json!({ "name": name }));
        }
        for source in &setup.scripts {
            tell("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
        }
        tell("Runtime.runIfWaitingForDebugger", json!({}));
        setup.frames.insert(frame.to_owned());
    }

    fn detached(&self, session: &str) {
        if session == self.session {
            self.lose(Lost::Closed);
        } else {
            self.setup().frames.remove(session);
            self.connection.unlisten(session);
        }
    }

    /// The first loss counts; it is the last event.
    fn lose(&self, lost: Lost) {
        let first = self.progress.send_if_modified(|progress| {
            let first = progress.lost.is_none();
            progress.lost.get_or_insert(lost);
            first
        });
        if first {
            let event = if lost == Lost::Crashed { BrowserEvent::Crashed } else { BrowserEvent::Closed };
            // Nobody listens once the page was dropped.
            let _ = self.events.send(event);
        }
    }

    fn called(&self, params: Value) {
        let Value::Object(mut params) = params else { return };
        let (Some(Value::String(name)), Some(Value::String(payload))) =
            (params.remove("name"), params.remove("payload"))
        else {
            return;
        };
        let queued = self.queued_bytes.fetch_add(payload.len(), Ordering::Relaxed);
        if queued > QUEUED_BYTES {
            self.queued_bytes.fetch_sub(payload.len(), Ordering::Relaxed);
            tracing::warn!(name, queued, "what a page says is not fetched, and dropped");
            return;
        }
        let _ = self.events.send(BrowserEvent::Binding { name, payload });
    }

    fn navigated(&self, frame: &Value) {
        if frame.get("parentId").is_none() {
            let loader = frame["loaderId"].as_str().unwrap_or_default().to_owned();
            self.progress.send_modify(|progress| {
                progress.documents += 1;
                progress.loader = loader;
                progress.ready = false;
            });
            let _ = self.events.send(BrowserEvent::Navigated);
        }
    }

    fn lived(&self, params: &Value) {
        if params["name"] == "DOMContentLoaded" {
            self.progress.send_if_modified(|progress| {
                let now = !progress.ready && params["loaderId"] == progress.loader.as_str();
                progress.ready |= now;
                now
            });
        }
    }
}

impl Listener for Route {
    fn event(&self, session: &str, method: &str, params: Value) {
        let main = session == self.session;
        match method {
            "Runtime.bindingCalled" => self.called(params),
            "Page.javascriptDialogOpening" => {
                // A page waits for the answer and does nothing else. "Yes" is what lets it go on.
                tracing::info!(kind = %params["type"], "a dialog of the page is answered with yes");
                self.connection.tell(Some(session), "Page.handleJavaScriptDialog", json!({ "accept": true }));
            }
            "Target.attachedToTarget" => {
                if let Some(frame) = params["sessionId"].as_str() {
                    self.attached(frame);
                }
            }
            "Target.detachedFromTarget" => self.detached(params["sessionId"].as_str().unwrap_or_default()),
            "Inspector.targetCrashed" if main => self.lose(Lost::Crashed),
            "Inspector.targetCrashed" => tracing::warn!("a frame of the page has crashed"),
            "Page.frameNavigated" if main => self.navigated(&params["frame"]),
            "Page.lifecycleEvent" if main => self.lived(&params),
            _ => {}
        }
    }

    fn gone(&self) {
        self.lose(Lost::Gone);
    }
}
