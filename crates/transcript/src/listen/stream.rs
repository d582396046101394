//! Live recognition over WebSockets, one for each voice.
//!
//! [`gate`] decides what is worth sending, [`backlog`] what is to be sent again, both without sockets; [`attempts`]
//! carries it over as many connections as it takes. What is the vendor's alone is behind [`Protocol`].

mod attempts;
mod backlog;
mod connection;
mod gate;
mod voice;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use backlog::Final;
use voice::Voice;

use super::{Budget, Heard, Listener, Listening, Pace};
use crate::duration_ms;
use crate::speech::Error;

/// A vendor's way of streaming.
pub(crate) trait Protocol: Send + Sync + std::fmt::Debug {
    /// The vendor, for people.
    fn name(&self) -> &'static str;

    /// The request that opens a stream of 16 kHz mono, signed 16-bit little endian.
    fn request(&self, language: Option<&str>) -> Result<Request, Error>;

    /// A message that keeps a connection open over which no audio goes, if there is one.
    fn keep_alive(&self) -> Option<&'static str>;

    /// Asks for the last words before a pause.
    fn flush(&self) -> &'static str;

    /// Asks for the last words and the end.
    fn close(&self) -> &'static str;

    /// Samples of a message.
    fn message(&self) -> usize;

    /// How fast kept audio may be sent, in percent of the speed of speech.
    fn percent(&self) -> u32;

    /// True if an answer comes to everything that is sent, silence too.
    fn answers_silence(&self) -> bool;

    /// True if a close code and what was said with it mean that another try cannot help.
    fn refuses(&self, code: u16, reason: &str) -> bool;

    /// Reads what comes over a new connection.
    fn reader(&self) -> Box<dyn Reader>;
}

/// True if a refusal is about how much is asked at a time, which passes.
pub(crate) fn passes(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["concurrent", "too many", "rate limit"].iter().any(|words| reason.contains(words))
}

/// Reads the messages of one connection, in order.
pub(crate) trait Reader: Send {
    /// What a message says.
    fn read(&mut self, text: &str) -> Vec<Event>;

    /// What was final but held back, now that nothing more comes.
    fn rest(&mut self) -> Option<Final>;
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The recogniser answers; no word is final by it.
    Alive,
    /// Final words, or that there are none up to a time.
    Final(Final),
    /// The recogniser reports an error; its close code, if it gives one.
    Failed(Option<u16>, String),
    /// All words were given.
    Done,
}

/// What the voices of a call share.
#[derive(Debug)]
pub(crate) struct Shared {
    protocol: Arc<dyn Protocol>,
    language: Option<String>,
    pace: Pace,
    budget: Budget,
    /// The recogniser does not want us: nothing is sent any more.
    refused: AtomicBool,
    /// Words came in this call: the key and the settings are good.
    worked: AtomicBool,
    /// Trouble was told and is not over.
    told: AtomicBool,
}

/// Opens a connection for each voice once it speaks.
pub(crate) fn listen(protocol: Arc<dyn Protocol>, language: Option<String>, pace: Pace) -> Listening {
    let (heard, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        protocol,
        language,
        pace,
        budget: pace.budget(),
        refused: AtomicBool::new(false),
        worked: AtomicBool::new(false),
        told: AtomicBool::new(false),
    });
    let streams = Streams { shared, heard: Some(heard), voices: HashMap::new() };
    (Box::new(streams), receiver)
}

#[derive(Debug)]
struct Streams {
    shared: Arc<Shared>,
    /// Until nothing more comes.
    heard: Option<mpsc::UnboundedSender<Heard>>,
    /// Also those that are gone, until their words were heard.
    voices: HashMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    voice: Arc<Voice>,
    task: AbortOnDropHandle<()>,
}

impl Listener for Streams {
    fn frame(&mut self, voice: &str, at_ms: u64, pcm16k: &[i16], speech: bool) {
        let Some(heard) = &self.heard else { return };
        let lost_ms = if speech { duration_ms(pcm16k) } else { 0 };
        if self.shared.refused.load(Ordering::Relaxed) {
            if lost_ms > 0 {
                let _ = heard.send(Heard::Unrecognised { ms: lost_ms });
            }
            return;
        }
        let running = match self.voices.get_mut(voice) {
            Some(running) if running.voice.resume() && !running.task.is_finished() => running,
            before => {
                // What came since a task ended that should not have.
                let lost_ms = before.map_or(0, |running| running.voice.clear(&self.shared.budget));
                if lost_ms > 0 {
                    let _ = heard.send(Heard::Unrecognised { ms: lost_ms });
                }
                let running = Running::start(voice, &self.shared, heard);
                self.voices.entry(voice.to_owned()).insert_entry(running).into_mut()
            }
        };
        let dropped_ms = running.voice.push(at_ms, pcm16k, speech, &self.shared.budget);
        if dropped_ms > 0 {
            let _ = heard.send(Heard::Dropped { ms: dropped_ms });
        }
    }

    fn gone(&mut self, voice: &str) {
        self.voices.retain(|_, running| !running.task.is_finished() || running.voice.waiting_ms() > 0);
        if let Some(running) = self.voices.get(voice) {
            running.voice.end();
        }
    }

    fn finish(&mut self) {
        self.heard = None;
        for running in self.voices.values() {
            running.voice.end();
        }
    }

    fn waiting_ms(&self) -> u64 {
        self.voices.values().map(|running| running.voice.waiting_ms()).sum()
    }
}

impl Running {
    fn start(id: &str, shared: &Arc<Shared>, heard: &mpsc::UnboundedSender<Heard>) -> Self {
        let voice = Arc::new(Voice::new(id));
        let task = tokio::spawn(attempts::run(Arc::clone(shared), Arc::clone(&voice), heard.clone()));
        Self { voice, task: AbortOnDropHandle::new(task) }
    }
}

impl Shared {
    /// What to tell about trouble, unless it was told.
    fn trouble(&self, problem: &str) -> Option<Heard> {
        let told = self.told.swap(true, Ordering::Relaxed);
        (!told).then(|| Heard::Trouble(format!("{}: {problem}; trying again", self.protocol.name())))
    }

    /// What to tell about a refusal, if it is the first.
    fn refusal(&self, problem: &str) -> Option<Heard> {
        let refused = self.refused.swap(true, Ordering::Relaxed);
        (!refused).then(|| Heard::Trouble(format!("{}: {problem}; no more is tried", self.protocol.name())))
    }

    fn works(&self) {
        self.worked.store(true, Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
