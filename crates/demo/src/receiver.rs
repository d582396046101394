//! The customer's webhook receiver.

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Webhooks that may wait to be looked at.
const WAITING: usize = 256;

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    webhooks: mpsc::Receiver<Value>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (sender, webhooks) = mpsc::channel(WAITING);
        let app = Router::new().route("/hook", post(take)).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listening for webhooks")?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the webhook receiver failed: {error}");
            }
        });
        Ok(Self { url, webhooks, server })
    }

    /// The next webhook. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        self.webhooks.recv().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(sender): State<mpsc::Sender<Value>>, axum::Json(body): axum::Json<Value>) {
    // Full only if nobody looks any more; then nobody misses it.
    let _ = sender.try_send(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn webhooks_arrive_in_order() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut receiver = Receiver::start().await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for sequence in 1..=3 {
            let body = serde_json::json!({"sequence": sequence});
            http.post(&receiver.url).json(&body).send().await.unwrap().error_for_status().unwrap();
        }
        for sequence in 1..=3 {
            assert_eq!(receiver.next().await.unwrap()["sequence"], sequence);
        }
    }
}
