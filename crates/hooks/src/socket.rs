//! WebSockets to customers' servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_session::Fault;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use url::Url;

use crate::client::chain;
use crate::guard::{Policy, Refused};
use crate::resolve::{ResolveError, Resolver, SystemResolver, checked_url};
use crate::tls;

/// An open WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Incoming messages larger than this end the connection.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Outgoing bytes that may wait; a receiver that does not read them in time gets an error, not our memory.
const MAX_WRITE_BUFFER_BYTES: usize = 4 << 20;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The guard refused the address.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Not connected in time.
    #[error("no connection within the time limit")]
    Timeout,
    /// The server answered, but not with a WebSocket.
    #[error("the server answered {status} instead of opening a websocket")]
    Declined {
        /// Its HTTP status.
        status: u16,
    },
    /// No connection.
    #[error("{detail}")]
    Unreachable {
        /// What happened.
        detail: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ConnectError {
    /// Who can do something about it: always the one who gave the URL.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Customer
    }
}

/// Opens a WebSocket to a `ws` or `wss` URL that `policy` lets through, handshakes included, within `timeout`.
/// Cancel safe.
pub async fn connect_websocket(url: &Url, policy: &Policy, timeout: Duration) -> Result<Socket, ConnectError> {
    connect_websocket_with(url, policy, timeout, &SystemResolver).await
}

/// As [`connect_websocket`], over another resolver.
pub async fn connect_websocket_with(
    url: &Url,
    policy: &Policy,
    timeout: Duration,
    resolver: &dyn Resolver,
) -> Result<Socket, ConnectError> {
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(Refused::Scheme { scheme: url.scheme().to_owned() }.into());
    }
    tokio::time::timeout(timeout, open(url, policy, resolver)).await.map_err(|_| ConnectError::Timeout)?
}

async fn open(url: &Url, policy: &Policy, resolver: &dyn Resolver) -> Result<Socket, ConnectError> {
    let addresses = checked_url(resolver, policy, url).await.map_err(|error| match error {
        ResolveError::Refused(refused) => ConnectError::Refused(refused),
        error => unreachable(error),
    })?;
    let stream = dial(&addresses).await.map_err(unreachable)?;
    // Small audio frames must not wait for each other.
    stream.set_nodelay(true).map_err(unreachable)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES);
    let connector = match url.scheme() {
        "wss" => Connector::Rustls(Arc::new(tls::client_config())),
        _ => Connector::Plain,
    };
    let handshake =
        tokio_tungstenite::client_async_tls_with_config(url.as_str(), stream, Some(config), Some(connector));
    match handshake.await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(ConnectError::Declined { status: answer.status().as_u16() }),
        Err(error) => Err(unreachable(error)),
    }
}

/// Connects to the first address that answers.
async fn dial(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> ConnectError {
    ConnectError::Unreachable { detail: chain(&error), source: Box::new(error) }
}
