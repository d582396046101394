//! A small HTTP server that notes what it is asked and answers as it is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

type Answer = Arc<dyn Fn(&Asked) -> (StatusCode, String) + Send + Sync>;

#[derive(Clone)]
struct Told {
    asked: Arc<watch::Sender<Vec<Asked>>>,
    answer: Arc<Mutex<Answer>>,
}

pub(super) struct Fake {
    pub(super) url: Url,
    told: Told,
    _serving: AbortOnDropHandle<()>,
}

impl Fake {
    pub(super) async fn start(answer: impl Fn(&Asked) -> (StatusCode, String) + Send + Sync + 'static) -> Self {
        let told = Told { asked: Arc::default(), answer: Arc::new(Mutex::new(Arc::new(answer))) };
        let app = Router::new().fallback(take).with_state(told.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let serving = AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }));
        Self { url, told, _serving: serving }
    }

    /// Answers this from now on.
    pub(super) fn answers(&self, answer: impl Fn(&Asked) -> (StatusCode, String) + Send + Sync + 'static) {
        *self.told.answer.lock().unwrap() = Arc::new(answer);
    }

    /// Waits until so many requests came, and answers them all.
    pub(super) async fn asked(&self, count: usize) -> Vec<Asked> {
        let mut asked = self.told.asked.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= count);
        tokio::time::timeout(std::time::Duration::from_secs(30), enough).await.unwrap().unwrap().clone()
    }
}

async fn take(
    State(told): State<Told>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let body = String::from_utf8_lossy(&body).into_owned();
    let asked = Asked { method, path: uri.path().to_owned(), headers, body };
    let answer = Arc::clone(&told.answer.lock().unwrap());
    let answer = answer(&asked);
    told.asked.send_modify(|all| all.push(asked));
    answer
}
