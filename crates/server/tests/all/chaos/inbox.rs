//! Where webhooks arrive, for a thousand bots.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::first_deliveries;

pub(super) struct Inbox {
    pub(super) url: String,
    shelf: Arc<Shelf>,
    pub(super) done: watch::Receiver<usize>,
    _server: AbortOnDropHandle<()>,
}

struct Shelf {
    bots: Mutex<HashMap<String, Vec<Value>>>,
    done: watch::Sender<usize>,
    /// Every webhook, for whoever acts on them.
    news: mpsc::UnboundedSender<Value>,
}

impl Inbox {
    pub(super) async fn open() -> (Self, mpsc::UnboundedReceiver<Value>) {
        let (sender, done) = watch::channel(0);
        let (news, heard) = mpsc::unbounded_channel();
        let shelf = Arc::new(Shelf { bots: Mutex::default(), done: sender, news });
        let app = Router::new().route("/hook", post(take)).with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (Self { url, shelf, done, _server: AbortOnDropHandle::new(server) }, heard)
    }

    /// The webhooks of a bot in order, without repetitions.
    pub(super) fn of(&self, bot: &str) -> Vec<Value> {
        let mut all = first_deliveries(self.shelf.bots.lock().unwrap().get(bot).cloned().unwrap_or_default());
        all.sort_by_key(|body| body["sequence"].as_u64());
        all
    }

    pub(super) fn is_done(&self, bot: &str) -> bool {
        self.shelf.bots.lock().unwrap().get(bot).is_some_and(|all| all.iter().any(is_last))
    }
}

fn is_last(body: &Value) -> bool {
    body["bot_event"] == "bot.done"
}

async fn take(State(shelf): State<Arc<Shelf>>, axum::Json(body): axum::Json<Value>) {
    let _ = shelf.news.send(body.clone());
    let mut bots = shelf.bots.lock().unwrap();
    let all = bots.entry(body["bot_id"].as_str().unwrap().to_owned()).or_default();
    let finished = is_last(&body) && !all.iter().any(is_last);
    all.push(body);
    drop(bots);
    if finished {
        shelf.done.send_modify(|done| *done += 1);
    }
}
