//! The meeting product: a page that polls for commands, and a server that hands them out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, watch};
use url::Url;

const HTML: &str = r#"<!doctype html><meta charset=utf-8><title>Meet</title>
<body data-state="prejoin">
<div id=cover hidden></div>
<section id=prejoin><input id=name> <button id=join disabled>Join</button></section>
<section id=connecting hidden>One moment…</section>
<section id=lobby hidden>Somebody will let you in</section>
<section id=call hidden><ul id=roster></ul><ul id=chat></ul></section>
<section id=removed hidden>You’ve  been removed</section>
<section id=left hidden>Bye</section>
<button id=leave>Leave</button>
<link rel=stylesheet href=/meet.css><script src=/meet.js></script>"#;
const CSS: &str = "#cover { position: fixed; inset: 0; z-index: 9; background: white; }";
const STRICT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'";

/// What the pack of this product says.
pub(super) const PACK: &str = r##"
[[steps]]
name = "name"
fill = "#name"
text = "{bot_name}"
[[steps]]
name = "join"
click = "#join"
until = "body:not([data-state='prejoin'])"
[[evidence]]
state = "lobby"
selector = "#lobby"
priority = 10
debounce_ms = 50
[[evidence]]
state = "admitted"
selector = "#leave"
absent = "#prejoin, #connecting"
debounce_ms = 50
[[evidence]]
state = "removed"
selector = "#removed"
text = "^you've been removed$"
priority = 20
[[evidence]]
state = "left"
selector = "#left"
priority = 20
[roster]
within = "body[data-state='call']"
list = "#roster li"
id = { attribute = "data-id" }
name = { selector = "span" }
self = "[data-own='true']"
[chat]
list = "#chat li"
id = { attribute = "data-id" }
from = { attribute = "data-from" }
name = { attribute = "data-name" }
text = {}
[[leave]]
name = "leave"
click = "#leave"
"##;

struct Shared {
    commands: watch::Sender<Vec<Value>>,
    did: mpsc::UnboundedSender<String>,
}

/// A running product with one meeting.
pub(super) struct Product {
    shared: Arc<Shared>,
    did: Mutex<mpsc::UnboundedReceiver<String>>,
    base: Url,
}

impl Product {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (did, heard) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { commands: watch::Sender::new(Vec::new()), did });
        let router = Router::new()
            .route("/meet", get(|| html(None)))
            .route("/strict", get(|| html(Some(STRICT))))
            .route("/meet.js", get(|| async { ([(CONTENT_TYPE, "text/javascript")], include_str!("meet.js")) }))
            .route("/meet.css", get(|| async { ([(CONTENT_TYPE, "text/css")], CSS) }))
            .route("/command/{n}", get(command))
            .route("/did/{what}", post(take))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, did: Mutex::new(heard), base }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    /// The page does this next.
    pub(super) fn command(&self, command: Value) {
        self.shared.commands.send_modify(|commands| commands.push(command));
    }

    /// The next thing that was done to the page.
    pub(super) async fn did(&self) -> String {
        super::soon(self.did.lock().await.recv()).await.unwrap()
    }
}

async fn html(policy: Option<&'static str>) -> Response {
    let mut response = ([(CONTENT_TYPE, "text/html")], HTML).into_response();
    if let Some(policy) = policy {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
    }
    response
}

/// Answers when there is such a command.
async fn command(State(shared): State<Arc<Shared>>, Path(n): Path<usize>) -> axum::Json<Value> {
    let mut commands = shared.commands.subscribe();
    let commands = commands.wait_for(|commands| commands.len() > n).await.unwrap();
    axum::Json(commands[n].clone())
}

async fn take(State(shared): State<Arc<Shared>>, Path(what): Path<String>) {
    let _ = shared.did.send(what);
}
