//! The socket, for every role: the API, or at least the probes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::supervise::{OnFailure, Shutdown, Supervisor};

/// So long what is under way may take once everything else ends: less than the ten seconds that whoever kills the process
/// leaves it. A player that is paused would take for ever.
const LAST: Duration = Duration::from_secs(8);
/// Pause after a connection that could not be accepted: descriptors may have run out.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub(super) fn start(supervisor: &mut Supervisor, listener: TcpListener, router: axum::Router, shutdown: &Shutdown) {
    let listener = Arc::new(listener);
    let shutdown = shutdown.clone();
    // The API answers until the last call has ended: status and webhooks are wanted most while draining.
    supervisor.run("http", OnFailure::ShutDown, move || {
        let (listener, router, shutdown) = (Arc::clone(&listener), router.clone(), shutdown.clone());
        async move {
            serve(&listener, &router, &shutdown).await;
            Ok(())
        }
    });
}

/// Answers until everything ends; then what is under way has a moment, and what still goes on is dropped.
async fn serve(listener: &TcpListener, router: &axum::Router, shutdown: &Shutdown) {
    let builder = Builder::new(TokioExecutor::new());
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = shutdown.ended() => break,
            stream = accept(listener) => stream,
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, builder.clone(), router.clone(), shutdown.clone()));
    }
    let done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST, done).await.is_err() {
        tracing::info!(connections = connections.len(), "connections that did not end are closed");
    }
}

/// The next connection. Cancel safe.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers are sent at once.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Answers the requests of one connection; the last of them is the one that is under way when everything ends. What became a
/// WebSocket goes on by itself.
async fn connection(stream: TcpStream, builder: Builder<TokioExecutor>, router: axum::Router, shutdown: Shutdown) {
    let service = TowerToHyperService::new(router);
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let served = tokio::select! {
        biased;
        served = serving.as_mut() => served,
        () = shutdown.ended() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream::{self, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    /// Answers `/` at once, and `/media` with a body whose end never comes.
    async fn server() -> (std::net::SocketAddr, Shutdown, JoinHandle<()>) {
        let media = || async {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"sound"))]);
            Body::from_stream(first.chain(stream::pending()))
        };
        let router = Router::new().route("/", get(|| async { "here" })).route("/media", get(media));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::default());
        let told = shutdown.clone();
        (address, shutdown, tokio::spawn(async move { serve(&listener, &router, &told).await }))
    }

    async fn read_until(client: &mut TcpStream, end: &str) {
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains(end) {
            assert_ne!(client.read_buf(&mut got).await.unwrap(), 0, "{got:?}");
        }
    }

    async fn ask(client: &mut TcpStream, path: &str) {
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_player_that_is_paused_and_half_a_request_do_not_keep_the_process() {
        let (address, shutdown, serving) = server().await;
        let mut player = TcpStream::connect(address).await.unwrap();
        ask(&mut player, "/media").await;
        read_until(&mut player, "sound").await;
        let mut half = TcpStream::connect(address).await.unwrap();
        ask(&mut half, "/").await;
        read_until(&mut half, "here").await;
        half.write_all(b"GET / HT").await.unwrap();
        // No real time passes from here on.
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        shutdown.end();
        tokio::time::timeout(LAST * 2, serving).await.expect("it ends by itself").unwrap();
        assert!(began.elapsed() >= LAST, "what is under way has a moment");
        assert_eq!(player.read(&mut [0; 64]).await.unwrap_or(0), 0);
    }
}
