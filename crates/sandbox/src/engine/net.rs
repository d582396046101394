//! The UDP sockets, one per media address, shared by all connections.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::select_all;
use str0m::Candidate;
use str0m::net::Transmit;
use tokio::net::UdpSocket;

use crate::SandboxError;

/// Datagrams that are taken before time is looked at again.
const BATCH: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Net {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    candidates: Vec<Candidate>,
}

impl Net {
    pub(crate) async fn bind(addrs: &[IpAddr], port: u16) -> Result<Self, SandboxError> {
        let mut net = Self::default();
        for ip in addrs {
            let addr = SocketAddr::new(*ip, port);
            let failed = |source| SandboxError::Bind { addr, source };
            let socket = UdpSocket::bind(addr).await.map_err(failed)?;
            let bound = socket.local_addr().map_err(failed)?;
            match Candidate::host(bound, "udp") {
                Ok(candidate) => net.candidates.push(candidate),
                Err(error) => return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, error))),
            }
            net.sockets.push((bound, socket));
        }
        if net.sockets.is_empty() { Err(SandboxError::NoAddress) } else { Ok(net) }
    }

    /// What connections offer to the other side.
    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Waits for datagrams. Cancel safe.
    pub(crate) async fn readable(&self) {
        if self.sockets.is_empty() {
            return std::future::pending().await;
        }
        // An error shows again when reading.
        drop(select_all(self.sockets.iter().map(|(_, socket)| Box::pin(socket.readable()))).await.0);
    }

    /// Hands over what has arrived: (from, to, bytes).
    pub(crate) fn read(&self, buffer: &mut [u8], take: &mut dyn FnMut(SocketAddr, SocketAddr, &[u8])) {
        for (addr, socket) in &self.sockets {
            for _ in 0..BATCH {
                match socket.try_recv_from(buffer) {
                    Ok((length, from)) => take(from, *addr, &buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // The answer of a host to an earlier packet, such as "port unreachable": not about this socket.
                    Err(_) => {}
                }
            }
        }
    }

    /// Sends a packet from the address it names. A full socket loses it, as a network would.
    pub(crate) fn send(&self, packet: &Transmit) {
        let Some((_, socket)) = self.sockets.iter().find(|(addr, _)| *addr == packet.source) else { return };
        if let Err(error) = socket.try_send_to(&packet.contents, packet.destination) {
            tracing::trace!(%error, to = %packet.destination, "a packet was not sent");
        }
    }
}
