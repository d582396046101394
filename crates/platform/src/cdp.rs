//! A small client of the Chrome DevTools Protocol over Chromium's debugging pipe: JSON documents with a NUL after each,
//! no open port. Commands and events are read as plain JSON, so a newer Chromium with unknown events is no problem.

mod frames;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use crate::browser::BrowserError;
use frames::Frames;

/// A command that has no answer by then is given up. Chromium answers in milliseconds; a page may be busy for long.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The protocol's code for a command to a page that was closed.
const NO_SUCH_SESSION: i64 = -32_001;

/// Takes the events of one session. Called from the reading task, in order, so it must not block.
pub(crate) trait Listener: Send + Sync {
    /// Something happened in `session`.
    fn event(&self, session: &str, method: &str, params: Value);
    /// The connection is gone; nothing more will come.
    fn gone(&self);
}

/// The connection to one browser. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    /// To the writing task. One task writes, so that a cancelled caller cannot leave half a document in the pipe.
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    last_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gone: bool,
    pending: HashMap<u64, Answer>,
    listeners: HashMap<String, Arc<dyn Listener>>,
}

type Answer = oneshot::Sender<Result<Value, Failure>>;

/// Why a command has no result.
#[derive(Debug)]
enum Failure {
    Refused { code: i64, message: String },
    Gone,
}

/// One document from the browser: an answer if it has an id, else an event.
#[derive(Deserialize)]
struct Incoming {
    id: Option<u64>,
    #[serde(rename = "sessionId")]
    session: Option<String>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<ProtocolError>,
}

#[derive(Deserialize)]
struct ProtocolError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

impl Connection {
    /// Talks over the two ends. Reading and writing stop by themselves when the browser ends or the last clone is gone.
    pub(crate) fn new(to_browser: pipe::Sender, from_browser: pipe::Receiver) -> Self {
        let (outgoing, commands) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { outgoing, last_id: AtomicU64::new(0), state: Mutex::default() });
        tokio::spawn(write(to_browser, commands));
        tokio::spawn(read(from_browser, Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Sends a command and waits for its result, for at most `within`. Cancel safe: the command takes effect all the
    /// same, its result is dropped.
    pub(crate) async fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
        within: Duration,
    ) -> Result<Value, BrowserError> {
        let (id, receiver) = self.submit(session, method, params)?;
        let _forget = Forget { shared: &self.shared, id };
        match tokio::time::timeout(within, receiver).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(Failure::Refused { code: NO_SUCH_SESSION, .. }))) => Err(BrowserError::Closed),
            Ok(Ok(Err(Failure::Refused { code, message }))) => {
                Err(BrowserError::Refused { what: method.to_owned(), code, message })
            }
            Ok(Ok(Err(Failure::Gone)) | Err(_)) => Err(BrowserError::Gone),
            Err(_) => Err(BrowserError::Timeout { what: method.to_owned(), after: within }),
        }
    }

    /// Sends a command whose result does not matter. Commands take effect in the order in which they were sent.
    pub(crate) fn tell(&self, session: Option<&str>, method: &str, params: Value) {
        let id = self.next_id();
        // Gone means that there is nobody to tell.
        let _ = self.shared.outgoing.send(document(id, session, method, params));
    }

    /// Gives the events of `session` to `listener` from now on.
    pub(crate) fn listen(&self, session: &str, listener: Arc<dyn Listener>) {
        let gone = {
            let mut state = self.shared.lock();
            if !state.gone {
                state.listeners.insert(session.to_owned(), Arc::clone(&listener));
            }
            state.gone
        };
        if gone {
            listener.gone();
        }
    }

    /// Events of `session` are dropped from now on.
    pub(crate) fn unlisten(&self, session: &str) {
        let listener = self.shared.lock().listeners.remove(session);
        drop(listener);
    }

    fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn submit(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<(u64, oneshot::Receiver<Result<Value, Failure>>), BrowserError> {
        let id = self.next_id();
        let (answer, receiver) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if state.gone {
                return Err(BrowserError::Gone);
            }
            state.pending.insert(id, answer);
        }
        if self.shared.outgoing.send(document(id, session, method, params)).is_err() {
            self.shared.lock().pending.remove(&id);
            return Err(BrowserError::Gone);
        }
        Ok((id, receiver))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Connection").field("gone", &state.gone).field("pending", &state.pending.len()).finish()
    }
}

/// Takes the entry of a command back when nobody waits for its answer any more.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().pending.remove(&self.id);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one call, so it is whole even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, document: &[u8]) {
        let incoming: Incoming = match serde_json::from_slice(document) {
            Ok(incoming) => incoming,
            Err(error) => {
                tracing::warn!(%error, bytes = document.len(), "the browser sent something that cannot be read");
                return;
            }
        };
        if let Some(id) = incoming.id {
            let Some(answer) = self.lock().pending.remove(&id) else { return };
            let _ = answer.send(match incoming.error {
                None => Ok(incoming.result),
                Some(ProtocolError { code, message }) => Err(Failure::Refused { code, message }),
            });
        } else if let Some(method) = incoming.method {
            // What is said of a session outside of it, like its end, names it in the parameters.
            let session = incoming.session.or_else(|| Some(incoming.params.get("sessionId")?.as_str()?.to_owned()));
            let Some(session) = session else { return };
            let listener = self.lock().listeners.get(&session).cloned();
            if let Some(listener) = listener {
                listener.event(&session, &method, incoming.params);
            }
        }
    }

    fn end(&self) {
        let (pending, listeners) = {
            let mut state = self.lock();
            state.gone = true;
            (std::mem::take(&mut state.pending), std::mem::take(&mut state.listeners))
        };
        for answer in pending.into_values() {
            let _ = answer.send(Err(Failure::Gone));
        }
        for listener in listeners.into_values() {
            listener.gone();
        }
    }
}

fn document(id: u64, session: Option<&str>, method: &str, params: Value) -> Vec<u8> {
    let mut message = json!({ "id": id, "method": method, "params": params });
    if let Some(session) = session {
        message["sessionId"] = json!(session);
    }
    let mut bytes = message.to_string().into_bytes();
    bytes.push(0);
    bytes
}

async fn write(mut pipe: pipe::Sender, mut commands: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(command) = commands.recv().await {
        if pipe.write_all(&command).await.is_err() {
            return;
        }
    }
}

async fn read(mut pipe: pipe::Receiver, shared: Weak<Shared>) {
    let mut frames = Frames::default();
    while let Ok(1..) = pipe.read_buf(frames.buffer()).await {
        let Some(shared) = shared.upgrade() else { return };
        while let Some(document) = next(&mut frames) {
            shared.take(&document);
        }
    }
    if let Some(shared) = shared.upgrade() {
        shared.end();
    }
}

fn next(frames: &mut Frames) -> Option<Bytes> {
    frames.next().unwrap_or_else(|_| {
        tracing::warn!("the browser sent a document without end; what came of it is dropped");
        *frames = Frames::default();
        None
    })
}

#[cfg(test)]
mod tests;
