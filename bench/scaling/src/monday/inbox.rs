//! Where webhooks arrive, and what they say of the bots together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What was heard of one bot.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// It was in its call.
    pub inside: bool,
    /// Why it left.
    pub reason: Option<String>,
    /// Times that it was said to have left.
    pub ends: usize,
    pub done: bool,
}

#[derive(Clone)]
struct Shelf {
    bots: Arc<Mutex<HashMap<String, Heard>>>,
    done: watch::Sender<usize>,
}

pub struct Inbox {
    pub url: String,
    shelf: Shelf,
    pub done: watch::Receiver<usize>,
    _server: AbortOnDropHandle<()>,
}

impl Inbox {
    pub async fn open() -> Result<Self> {
        let (sender, done) = watch::channel(0);
        let shelf = Shelf { bots: Arc::default(), done: sender };
        let app = Router::new().route("/hook", post(take)).with_state(shelf.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the receiver of webhooks")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { url, shelf, done, _server: AbortOnDropHandle::new(server) })
    }

    pub fn of(&self, bot: &str) -> Heard {
        self.shelf.bots.lock().unwrap_or_else(PoisonError::into_inner).get(bot).cloned().unwrap_or_default()
    }
}

async fn take(State(shelf): State<Shelf>, axum::Json(body): axum::Json<Value>) {
    let Some(bot) = body["bot_id"].as_str() else { return };
    let mut bots = shelf.bots.lock().unwrap_or_else(PoisonError::into_inner);
    let heard = bots.entry(bot.to_owned()).or_default();
    match (body["event"].as_str(), body["bot_event"].as_str()) {
        (_, Some("bot.inmeeting")) => heard.inside = true,
        (Some("bot.stopped"), _) => {
            heard.ends += usize::from(heard.reason.is_none());
            heard.reason = body["reason"].as_str().map(str::to_owned);
        }
        (_, Some("bot.done")) if !heard.done => {
            heard.done = true;
            drop(bots);
            shelf.done.send_modify(|done| *done += 1);
        }
        _ => {}
    }
}
