//! Live words on their way from a bot elsewhere to their receiver: in order, at once or not at all, and in nobody's way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_hooks::client::GuardedClient;
use muster_session::BotId;
use muster_transcript::live;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

/// Phrases of one bot that may wait; more are dropped, as those of a bot of ours are.
const WAITING: usize = 256;
/// Bots whose words are passed on at a time.
const BOTS: usize = 4_096;
/// A bot that says nothing for so long is begun anew.
const IDLE: Duration = Duration::from_secs(60);

/// Passes words on. Clones share what waits; what does when the last of them is dropped is dropped.
#[derive(Clone, Debug)]
pub(super) struct Words {
    client: GuardedClient,
    bots: Arc<Mutex<Bots>>,
}

#[derive(Debug, Default)]
struct Bots {
    waiting: HashMap<BotId, mpsc::Sender<Phrase>>,
    posting: JoinSet<BotId>,
}

#[derive(Debug)]
struct Phrase {
    url: Url,
    body: Value,
}

impl Words {
    pub(super) fn new(client: GuardedClient) -> Self {
        Self { client, bots: Arc::default() }
    }

    /// Posts a phrase after the bot's earlier ones. Waits for nothing; what is too much is dropped.
    pub(super) fn pass_on(&self, bot: BotId, url: Url, body: Value) {
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = bots.posting.try_join_next() {
            if let Ok(bot) = ended
                && bots.waiting.get(&bot).is_some_and(mpsc::Sender::is_closed)
            {
                bots.waiting.remove(&bot);
            }
        }
        let mut phrase = Phrase { url, body };
        if let Some(waiting) = bots.waiting.get(&bot) {
            match waiting.try_send(phrase) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(_)) => return dropped(bot),
                Err(mpsc::error::TrySendError::Closed(back)) => phrase = back,
            }
        } else if bots.waiting.len() >= BOTS {
            return dropped(bot);
        }
        let (sender, waiting) = mpsc::channel(WAITING);
        // A fresh channel has room.
        let _ = sender.try_send(phrase);
        bots.waiting.insert(bot, sender);
        bots.posting.spawn(post(self.client.clone(), bot, waiting));
    }
}

fn dropped(bot: BotId) {
    tracing::warn!(%bot, "the receiver of live words cannot follow; a phrase was dropped");
}

async fn post(client: GuardedClient, bot: BotId, mut waiting: mpsc::Receiver<Phrase>) -> BotId {
    while let Ok(Some(phrase)) = tokio::time::timeout(IDLE, waiting.recv()).await {
        live::post(&client, &phrase.url, &phrase.body).await;
    }
    bot
}
