//! What an operator sets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Local addresses that media is offered on. Default: 127.0.0.1.
    pub media_addrs: Vec<IpAddr>,
    /// Offers media on the host's own addresses too, so that the browsers of people in the same network can join.
    pub lan: bool,
    /// UDP port of all media addresses; 0 takes any free one.
    pub media_port: u16,
    /// Where the WAV files are that scenarios may name.
    pub scenario_dir: Option<PathBuf>,
    /// Rooms at the same time.
    pub max_rooms: usize,
    /// Participants of one room, virtual ones included.
    pub max_participants: usize,
    /// How long a room stays without guests.
    pub room_idle: Duration,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            media_addrs: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            lan: false,
            media_port: 0,
            scenario_dir: None,
            max_rooms: 500,
            max_participants: 64,
            room_idle: Duration::from_secs(3_600),
        }
    }
}

impl SandboxConfig {
    /// Every address to bind.
    pub(crate) fn all_media_addrs(&self) -> Result<Vec<IpAddr>, SandboxError> {
        let mut addrs = self.media_addrs.clone();
        if self.lan {
            let usable = |ip: &IpAddr| match ip {
                IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
                IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
            };
            let own = if_addrs::get_if_addrs().map_err(SandboxError::Interfaces)?;
            addrs.extend(own.iter().map(if_addrs::Interface::ip).filter(usable));
        }
        addrs.sort();
        addrs.dedup();
        Ok(addrs)
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Another program has the port, or the address is not of this host.
    #[error("cannot bind {addr} for media")]
    Bind {
        /// What was tried.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system does not tell its addresses.
    #[error("cannot list this host's addresses")]
    Interfaces(#[source] std::io::Error),
    /// There is no address to offer media on.
    #[error("no media address: set one, or turn on `lan` on a host with a network")]
    NoAddress,
}
