//! The queue of many machines, in Redis 7.
//!
//! A message is a hash, and its id is in exactly one of three places: the stream `:ready` if it can be received, the sorted
//! set `:delayed` until its time, or the sorted set `:leases` until the end of its lease. Everything that moves it is one
//! script, so there is no state in between, whoever dies. The server's clock decides leases and delays; clocks of clients
//! do not matter. A lease is over exactly when its time has come, whether anybody moved the message since or not.
//!
//! A message leaves the stream when it is leased. The group `workers` of the stream is there for scalers: its lag is the
//! number of messages that nobody has taken.
//!
//! All keys of a topic begin with `{prefix:topic}`, so each topic is in one slot of a cluster. The scripts make the names of
//! keys from that tag.

mod claim;
mod scripts;
#[cfg(test)]
mod tests;
mod wake;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use muster_redis::{FromRedisValue, Inspection, Link, OpenError, Script, ScriptInvocation, Settings, cmd};
use muster_session::Timestamp;
use muster_session::job::Topic;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::contract::LONGEST_WAIT;
use crate::{Delivery, Depth, Enqueue, Limits, Queue, QueueError, Receipt};

/// Of the layout of keys.
const SCHEMA: u32 = 1;
/// Where the settings come from.
const SECTION: muster_redis::Section = "queue";

const LIMITS: Limits = Limits {
    max_delay: Duration::from_secs(366 * 86_400),
    max_lease: Duration::from_secs(7 * 86_400),
    max_payload_bytes: 1 << 20,
    max_receive: 512,
    deduplicates: true,
    exact_depth: true,
};
/// A waiting receiver looks this often even if it hears nothing.
const RECHECK: Duration = Duration::from_secs(5);

/// A [`Queue`] under a prefix of a Redis server. Clones share it.
#[derive(Clone, Debug)]
pub struct RedisQueue {
    shared: Arc<Shared>,
}

/// Tells the time instead of the server.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

struct Shared {
    link: Arc<Link>,
    prefix: String,
    clock: Option<Clock>,
    recheck: Duration,
    topics: [Bell; Topic::ALL.len()],
    runtime: Handle,
    /// Short ones: claims that somebody waits for, and what puts them back.
    tasks: Mutex<JoinSet<()>>,
    tend: OnceLock<AbortOnDropHandle<()>>,
}

/// Says that something may have become receivable, or will sooner than was known.
#[derive(Default)]
struct Bell {
    changed: Arc<Notify>,
    /// From the first wait on.
    listener: OnceLock<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("link", &self.link).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisQueue {
    /// Opens the queue under the prefix; also answers what may lose data in the way the server is set up, in words for a
    /// log. Any number of processes can have it.
    ///
    /// The server has to be there now. Later it may go and come back: meanwhile calls fail at once with
    /// [`QueueError::Unavailable`].
    pub async fn open(settings: &Settings) -> Result<(Self, Vec<String>), OpenError> {
        Self::open_with(settings, None, RECHECK).await
    }

    /// Looks at the server and at what is under the prefix, and writes nothing.
    pub async fn inspect(settings: &Settings) -> Result<Inspection, OpenError> {
        muster_redis::inspect(settings, SECTION, &schema_key(settings), SCHEMA).await
    }

    async fn open_with(
        settings: &Settings,
        clock: Option<Clock>,
        recheck: Duration,
    ) -> Result<(Self, Vec<String>), OpenError> {
        let opened = muster_redis::open(settings, SECTION, &schema_key(settings), SCHEMA).await?;
        let shared = Arc::new(Shared {
            link: opened.link,
            prefix: settings.prefix.clone(),
            clock,
            recheck,
            topics: Default::default(),
            runtime: Handle::current(),
            tasks: Mutex::default(),
            tend: OnceLock::new(),
        });
        let tend = tokio::spawn(wake::tend(Arc::downgrade(&shared)));
        shared.tend.get_or_init(|| AbortOnDropHandle::new(tend));
        Ok((Self { shared }, opened.warnings))
    }
}

fn schema_key(settings: &Settings) -> String {
    format!("{{{}:queue}}:schema", settings.prefix)
}

impl Shared {
    /// The tag of a topic, which all its keys begin with.
    fn tag(&self, topic: Topic) -> String {
        format!("{{{}:{}}}", self.prefix, topic.as_str())
    }

    async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        topic: Topic,
        arguments: impl FnOnce(&mut ScriptInvocation<'_>) + Send,
    ) -> Result<T, QueueError> {
        let mut script = script.key(self.tag(topic));
        // None: the server's own.
        script.arg(self.clock.as_ref().map_or_else(String::new, |clock| clock().as_millis().to_string()));
        arguments(&mut script);
        Ok(self.link.script(&script).await?)
    }

    /// Runs a script for the holder of a receipt.
    async fn settle(&self, script: &Script, receipt: &Receipt, more: &[&[u8]]) -> Result<(), QueueError> {
        let arguments = |script: &mut ScriptInvocation<'_>| {
            script.arg(&receipt.id).arg(&receipt.token);
            for argument in more {
                script.arg(*argument);
            }
        };
        let held: bool = self.script(script, receipt.topic, arguments).await?;
        if held { Ok(()) } else { Err(QueueError::LeaseLost) }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// The bell of a topic, which is listened to from now on.
    fn bell(&self, topic: Topic) -> &Notify {
        let index = Topic::ALL.iter().position(|known| *known == topic).expect("ALL has every topic");
        let bell = &self.topics[index];
        bell.listener.get_or_init(|| {
            let listen = wake::listen(Arc::clone(&self.link), self.tag(topic), Arc::clone(&bell.changed));
            AbortOnDropHandle::new(self.runtime.spawn(listen))
        });
        &bell.changed
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn enqueue(&self, topic: Topic, message: Enqueue) -> Result<(), QueueError> {
        self.enqueue_all(topic, vec![message]).await
    }

    /// In one script: all or none.
    async fn enqueue_all(&self, topic: Topic, messages: Vec<Enqueue>) -> Result<(), QueueError> {
        messages.iter().try_for_each(|message| LIMITS.check_message(message))?;
        let arguments = |script: &mut ScriptInvocation<'_>| {
            for message in &messages {
                script.arg(&message.payload).arg(millis(message.delay));
                script.arg(u8::from(message.dedup_key.is_some())).arg(message.dedup_key.as_deref().unwrap_or_default());
            }
        };
        self.shared.script(&scripts::ENQUEUE, topic, arguments).await
    }

    async fn receive(
        &self,
        topic: Topic,
        max: u32,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        LIMITS.check_lease(lease)?;
        let max = max.min(LIMITS.max_receive);
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            // Listen first, look then: what comes in between is heard.
            let change = (!wait.is_zero()).then(|| self.shared.bell(topic).notified());
            let mut change = std::pin::pin!(change);
            if let Some(change) = change.as_mut().as_pin_mut() {
                change.enable();
            }
            let pause = match claim::claim(&self.shared, topic, max, lease).await? {
                claim::Found::Messages(claim) => return Ok(claim.keep()),
                claim::Found::Nothing { next_in } => next_in.unwrap_or(LONGEST_WAIT).min(self.shared.recheck),
            };
            let now = Instant::now();
            let Some(change) = change.as_pin_mut().filter(|_| now < deadline) else {
                return Ok(Vec::new());
            };
            tokio::select! {
                () = change => {}
                () = tokio::time::sleep_until(deadline.min(now + pause)) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<(), QueueError> {
        LIMITS.check_lease(lease)?;
        self.shared.settle(&scripts::EXTEND, receipt, &[millis(lease).to_string().as_bytes()]).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.shared.settle(&scripts::ACK, receipt, &[]).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        LIMITS.check_delay(delay)?;
        self.shared.settle(&scripts::RELEASE, receipt, &[millis(delay).to_string().as_bytes()]).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        self.shared.settle(&scripts::DEAD_LETTER, receipt, &[reason.as_bytes()]).await
    }

    async fn dead(&self, topic: Topic, limit: u32) -> Result<Vec<(String, Vec<u8>, String)>, QueueError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut range = cmd("XRANGE");
        range.arg(format!("{}:dead", self.shared.tag(topic))).arg("-").arg("+").arg("COUNT").arg(limit);
        let letters: Vec<(String, Vec<Vec<u8>>)> = self.shared.link.run(&range).await?;
        Ok(letters.into_iter().map(|(id, fields)| dead_letter(id, fields)).collect())
    }

    async fn requeue(&self, topic: Topic, id: &str) -> Result<bool, QueueError> {
        // What was never an id of ours is not there.
        let numbers = id.split_once('-').map(|(ms, seq)| (ms.parse::<u64>(), seq.parse::<u64>()));
        if !matches!(numbers, Some((Ok(_), Ok(_)))) {
            return Ok(false);
        }
        let arguments = |script: &mut ScriptInvocation<'_>| {
            script.arg(id);
        };
        self.shared.script(&scripts::REQUEUE, topic, arguments).await
    }

    /// The age of the oldest ready message counts from when it became receivable. Messages whose delay or lease ended since
    /// the stream was last looked at may stand behind younger ones: the age may then be up to a few seconds too small.
    async fn depth(&self, topic: Topic) -> Result<Depth, QueueError> {
        let (ready, leased, delayed, dead, oldest_ms) = self.shared.script(&scripts::DEPTH, topic, |_| {}).await?;
        Ok(Depth { ready, leased, delayed, dead, oldest_ready: Duration::from_millis(oldest_ms) })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

fn dead_letter(id: String, fields: Vec<Vec<u8>>) -> (String, Vec<u8>, String) {
    let mut letter = (id, Vec::new(), String::new());
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match name.as_slice() {
            b"payload" => letter.1 = value,
            b"reason" => letter.2 = String::from_utf8_lossy(&value).into_owned(),
            _ => {}
        }
    }
    letter
}

/// For a script; the limits keep it far from the edge.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl From<muster_redis::Error> for QueueError {
    fn from(error: muster_redis::Error) -> Self {
        Self::Unavailable { detail: error.to_string(), source: Some(Box::new(error)) }
    }
}
