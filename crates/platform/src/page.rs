//! One page of the browser, in a context of its own.

mod keys;
mod route;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use url::Url;

use crate::browser::BrowserError;
use crate::cdp::{ANSWER_WITHIN, Connection};
use route::Route;

/// Something happened in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrowserEvent {
    /// A script in the page called a binding.
    Binding {
        /// Which, as given to [`Page::add_binding`].
        name: String,
        /// The string it was called with. Any script of the page may have done so: treat it as untrusted.
        payload: String,
    },
    /// Another document has taken the place of the main one. What the old one had is gone: it can no longer say so.
    Navigated,
    /// The page's process has crashed. The last event.
    Crashed,
    /// The page was closed or the browser is gone. The last event.
    Closed,
}

/// A handle to one page. Clones are handles to the same page; with the last one the page is closed.
///
/// Commands may be given and events be fetched at the same time, each on a clone of its own. All of them are cancel
/// safe, in that a command that is not waited for may still take effect. Every command ends within 30 s if it does not
/// take a limit of its own. Dialogs of the page (`alert` and so on) are answered with yes.
#[derive(Clone, Debug)]
pub struct Page {
    inner: Arc<Inner>,
}

struct Inner {
    session: String,
    route: Arc<Route>,
    events: Mutex<mpsc::UnboundedReceiver<BrowserEvent>>,
    /// The last event was fetched.
    over: AtomicBool,
    context: Context,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.route.leave();
    }
}

/// A browser context; goes away with everything in it when dropped.
struct Context {
    connection: Connection,
    id: String,
}

impl Drop for Context {
    fn drop(&mut self) {
        self.connection.tell(None, "Target.disposeBrowserContext", json!({ "browserContextId": self.id }));
    }
}

/// What a frame is told before it may load anything.
fn frame_setup() -> [(&'static str, Value); 7] {
    [
        ("Inspector.enable", json!({})),
        ("Page.enable", json!({})),
        ("Page.setLifecycleEventsEnabled", json!({ "enabled": true })),
        ("Runtime.enable", json!({})),
        // Pages of several bots in one browser must all believe that they are in front.
        ("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })),
        // Painting is what a rich page costs most; this took one from 60 to 21 % of a core, and a real user can have it.
        (
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] }),
        ),
        // Frames of other sites live in other processes; they are held until they have our scripts.
        (
            "Target.setAutoAttach",
            json!({
                "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true,
                "filter": [{ "type": "iframe" }, { "exclude": true }],
            }),
        ),
    ]
}

impl Page {
    /// Opens an empty page in the context, which it owns from now on.
    pub(crate) async fn open(connection: Connection, context: String) -> Result<Self, BrowserError> {
        let context = Context { connection, id: context };
        let connection = &context.connection;
        let call = |method, params| connection.call(None, method, params, ANSWER_WITHIN);
        // Everything else is refused without asking, so no prompt can block the page. Media must be allowed for WebRTC
        // to use all network interfaces; behind it are no real devices.
        call(
            "Browser.grantPermissions",
            json!({ "browserContextId": context.id, "permissions": ["audioCapture", "videoCapture"] }),
        )
        .await?;
        let target =
            call("Target.createTarget", json!({ "url": "about:blank", "browserContextId": context.id })).await?;
        let attached =
            call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true })).await?;
        let session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        let (sender, events) = mpsc::unbounded_channel();
        let route = Route::new(connection.clone(), session.clone(), sender);
        connection.listen(&session, Arc::clone(&route) as Arc<_>);
        let (events, over) = (Mutex::new(events), AtomicBool::new(false));
        let page = Self { inner: Arc::new(Inner { session, route, events, over, context }) };
        for (method, params) in frame_setup() {
            page.call(method, params).await?;
        }
        Ok(page)
    }

    /// Runs `source` in every frame of every document from the next navigation on, before the page's own scripts.
    ///
    /// # Errors
    /// If the page is gone.
    pub async fn add_script(&self, source: &str) -> Result<(), BrowserError> {
        self.inner.route.add_script(source);
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await?;
        Ok(())
    }

    /// Gives every frame a global function `name`; a call of it with a string becomes a [`BrowserEvent::Binding`].
    ///
    /// # Errors
    /// If the page is gone.
    pub async fn add_binding(&self, name: &str) -> Result<(), BrowserError> {
        self.inner.route.add_binding(name);
        self.call("Runtime.addBinding", json!({ "name": name })).await?;
        Ok(())
    }

    /// Loads an address and waits until the document is parsed (`DOMContentLoaded`). A page of an HTTP error is a
    /// document like any other.
    ///
    /// # Errors
    /// [`BrowserError::Navigation`] with Chromium's name of the error if the page cannot be loaded,
    /// [`BrowserError::Timeout`] if it is not there `within` that time; it may still arrive later.
    pub async fn navigate(&self, url: &Url, within: Duration) -> Result<(), BrowserError> {
        let deadline = Instant::now() + within;
        let mut progress = self.inner.route.progress();
        let before = progress.borrow_and_update().documents;
        let answer = self.call_within("Page.navigate", json!({ "url": url.as_str() }), within).await?;
        if let Some(error) = answer["errorText"].as_str().filter(|error| !error.is_empty()) {
            let host = url.host_str().unwrap_or("the page").to_owned();
            return Err(BrowserError::Navigation { host, error: error.to_owned() });
        }
        if answer.get("loaderId").is_none() {
            // The same document at another place of it.
            return Ok(());
        }
        let loaded = progress.wait_for(|p| p.lost.is_some() || (p.documents > before && p.ready));
        match tokio::time::timeout_at(deadline, loaded).await {
            Ok(Ok(progress)) => progress.lost.map_or(Ok(()), |lost| Err(lost.into())),
            Ok(Err(_)) => Err(BrowserError::Gone),
            Err(_) => Err(BrowserError::Timeout { what: "Page.navigate".into(), after: within }),
        }
    }

    /// The value of a JavaScript expression in the main frame, as JSON; `undefined` is null. Promises are awaited.
    /// A content security policy of the page does not matter.
    ///
    /// # Errors
    /// [`BrowserError::Script`] if it throws, [`BrowserError::Refused`] if the page navigated meanwhile.
    pub async fn evaluate(&self, expression: &str) -> Result<Value, BrowserError> {
        self.evaluate_in(&self.inner.session, expression).await
    }

    /// As [`Page::evaluate`], but also in every frame that lives in a process of its own (a frame of another site);
    /// values are dropped. Frames that vanish meanwhile do not matter.
    ///
    /// # Errors
    /// Those of [`Page::evaluate`] for the main frame.
    pub async fn evaluate_everywhere(&self, expression: &str) -> Result<(), BrowserError> {
        for frame in self.inner.route.frames() {
            if let Err(error) = self.evaluate_in(&frame, expression).await {
                if matches!(error, BrowserError::Gone | BrowserError::Crashed) {
                    return Err(error);
                }
                tracing::debug!(%error, "a frame did not evaluate");
            }
        }
        self.evaluate(expression).await.map(drop)
    }

    async fn evaluate_in(&self, session: &str, expression: &str) -> Result<Value, BrowserError> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call_session(session, "Runtime.evaluate", params, ANSWER_WITHIN).await?;
        if let Some(details) = answer.get("exceptionDetails") {
            let exception = &details["exception"];
            let message = exception["description"].as_str().or_else(|| exception["value"].as_str());
            let message = message.or_else(|| details["text"].as_str()).unwrap_or("unknown exception").to_owned();
            return Err(BrowserError::Script { message });
        }
        Ok(answer["result"]["value"].take())
    }

    /// A click with the left button at a place in CSS pixels from the top left corner of the window: real mouse
    /// events.
    ///
    /// # Errors
    /// If the page is gone or does not answer.
    pub async fn click_at(&self, x: f64, y: f64) -> Result<(), BrowserError> {
        for (kind, button, buttons, clicks) in
            [("mouseMoved", "none", 0, 0), ("mousePressed", "left", 1, 1), ("mouseReleased", "left", 0, 1)]
        {
            let params =
                json!({ "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": clicks });
            self.call("Input.dispatchMouseEvent", params).await?;
        }
        Ok(())
    }

    /// Inserts text where the cursor is, as an input method would.
    ///
    /// # Errors
    /// If the page is gone or does not answer.
    pub async fn insert_text(&self, text: &str) -> Result<(), BrowserError> {
        self.call("Input.insertText", json!({ "text": text })).await.map(drop)
    }

    /// Presses and releases a key: a name like `Enter`, `Tab`, `Escape`, `ArrowDown`, or one ASCII letter or digit.
    ///
    /// # Errors
    /// [`BrowserError::UnknownKey`], or if the page is gone or does not answer.
    pub async fn press_key(&self, key: &str) -> Result<(), BrowserError> {
        let mut params = keys::parameters(key).ok_or_else(|| BrowserError::UnknownKey { key: key.to_owned() })?;
        let types = params["text"] != "";
        params["type"] = json!(if types { "keyDown" } else { "rawKeyDown" });
        self.call("Input.dispatchKeyEvent", params.clone()).await?;
        params["type"] = json!("keyUp");
        params["text"] = json!("");
        self.call("Input.dispatchKeyEvent", params).await.map(drop)
    }

    /// The next thing that happened, or `None` after the last event. Cancel safe. Each event goes to one of the
    /// handles.
    pub async fn next_event(&mut self) -> Option<BrowserEvent> {
        let mut events = self.inner.events.lock().await;
        if self.inner.over.load(Ordering::Acquire) {
            return None;
        }
        let event = events.recv().await?;
        self.inner.route.fetched(&event);
        if matches!(event, BrowserEvent::Crashed | BrowserEvent::Closed) {
            self.inner.over.store(true, Ordering::Release);
        }
        Some(event)
    }

    /// Closes the page with its context, for all handles, and waits until that is done.
    pub async fn close(self) {
        let context = &self.inner.context;
        let params = json!({ "browserContextId": context.id });
        let closing = context.connection.call(None, "Target.disposeBrowserContext", params, ANSWER_WITHIN).await;
        if let Err(error) = closing {
            tracing::debug!(%error, "a page did not close");
        }
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, BrowserError> {
        self.call_within(method, params, ANSWER_WITHIN).await
    }

    async fn call_within(&self, method: &str, params: Value, within: Duration) -> Result<Value, BrowserError> {
        self.call_session(&self.inner.session, method, params, within).await
    }

    /// A dead page never answers, so its loss ends the waiting.
    async fn call_session(
        &self,
        session: &str,
        method: &str,
        params: Value,
        within: Duration,
    ) -> Result<Value, BrowserError> {
        let mut progress = self.inner.route.progress();
        let lost = progress.wait_for(|progress| progress.lost.is_some());
        tokio::select! {
            biased;
            lost = lost => Err(lost.ok().and_then(|progress| progress.lost).map_or(BrowserError::Gone, Into::into)),
            answer = self.inner.context.connection.call(Some(session), method, params, within) => answer,
        }
    }
}
