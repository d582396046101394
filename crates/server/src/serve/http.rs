//! The socket, for every role: the API, or at least the probes.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::supervise::{OnFailure, Shutdown, Supervisor};

pub(super) fn start(supervisor: &mut Supervisor, listener: TcpListener, router: axum::Router, shutdown: &Shutdown) {
    let listener = Arc::new(listener);
    let shutdown = shutdown.clone();
    // The API answers until the last call has ended: status and webhooks are wanted most while draining.
    supervisor.run("http", OnFailure::ShutDown, move || {
        let (listener, router, shutdown) = (Arc::clone(&listener), router.clone(), shutdown.clone());
        async move {
            let listener = SharedListener(listener);
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { shutdown.ended().await })
                .await
                .context("serving HTTP")
        }
    });
}

/// Lets the HTTP task be started again on the same socket.
#[derive(Debug)]
struct SharedListener(Arc<TcpListener>);

impl axum::serve::Listener for SharedListener {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Small answers are sent at once.
                    let _ = stream.set_nodelay(true);
                    return (stream, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
