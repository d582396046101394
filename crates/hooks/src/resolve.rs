//! From names to addresses that the guard lets through.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::guard::{Policy, Refused};

/// Names that are looked up at a time. Each takes a thread of a pool that other work needs too, for as long as the system's resolver
/// tries.
static LOOKUPS: Semaphore = Semaphore::const_new(128);
/// Longest wait for one's turn to look up a name.
const TURN: Duration = Duration::from_secs(5);

/// Looks names up.
#[async_trait]
pub trait Resolver: Send + Sync + std::fmt::Debug {
    /// Every address of `host`, in order of preference.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver. A lookup that nobody waits for any more goes on to its end, so only so many go on at a time:
/// when they are all slow, those who wait get [`TimedOut`](io::ErrorKind::TimedOut).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name = host.to_owned();
        in_turn(&LOOKUPS, TURN, move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
            .await
    }
}

/// Runs `look` on a thread that may block, when there is a turn. The turn ends with the lookup and not with this future.
async fn in_turn<T: Send + 'static>(
    turns: &'static Semaphore,
    wait: Duration,
    look: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let too_many = |_| io::Error::new(io::ErrorKind::TimedOut, "too many names are being looked up");
    let turn = tokio::time::timeout(wait, turns.acquire()).await.map_err(too_many)?.map_err(io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        look()
    });
    AbortOnDropHandle::new(looking).await.map_err(io::Error::other)?
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// All its addresses are refused, or the URL is.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The lookup failed.
    #[error("the name {host} cannot be resolved")]
    Lookup {
        /// The name.
        host: String,
        /// The resolver's error.
        #[source]
        source: io::Error,
    },
    /// The name has no address.
    #[error("the name {host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
}

/// The addresses of `host` that `policy` lets through, at least one.
pub(crate) async fn checked(resolver: &dyn Resolver, policy: &Policy, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let all = resolver.resolve(host).await.map_err(|source| ResolveError::Lookup { host: host.to_owned(), source })?;
    let mut refused = None;
    let mut open = Vec::with_capacity(all.len());
    for ip in all {
        match policy.check_ip(ip) {
            Ok(()) => open.push(ip),
            Err(why) => refused = Some(why),
        }
    }
    match (open.is_empty(), refused) {
        (false, _) => Ok(open),
        (true, Some(why)) => Err(why.into()),
        (true, None) => Err(ResolveError::NoAddress { host: host.to_owned() }),
    }
}

/// The addresses with port that a connection for `url` may be made to, at least one.
pub(crate) async fn checked_url(
    resolver: &dyn Resolver,
    policy: &Policy,
    url: &Url,
) -> Result<Vec<SocketAddr>, ResolveError> {
    policy.check_url(url)?;
    let port = url.port_or_known_default().ok_or_else(|| Refused::Scheme { scheme: url.scheme().to_owned() })?;
    let ips = match url.host().ok_or(Refused::NoHost)? {
        Host::Ipv4(ip) => vec![ip.into()],
        Host::Ipv6(ip) => vec![ip.into()],
        Host::Domain(name) => checked(resolver, policy, name).await?,
    };
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// The guard inside reqwest's way to an address: it connects to nothing that did not come out of here.
#[derive(Debug)]
pub(crate) struct GuardedDns {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) policy: Arc<Policy>,
}

impl reqwest::dns::Resolve for GuardedDns {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), Arc::clone(&self.policy));
        Box::pin(async move {
            let ips = checked(resolver.as_ref(), &policy, name.as_str()).await?;
            let addresses: reqwest::dns::Addrs = Box::new(ips.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_lookup_keeps_its_turn_until_it_ends() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (began, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let slow = in_turn(&ONE, PATIENCE, move || {
            began.send(()).unwrap();
            ended.recv().map_err(io::Error::other)
        });
        tokio::select! {
            _ = slow => panic!("nobody has ended it"),
            begun = begun => begun.unwrap(),
        }
        // Nobody waits for it any more.
        let other = in_turn(&ONE, Duration::from_millis(1), || Ok(())).await;
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::TimedOut);
        end.send(()).unwrap();
        assert_eq!(in_turn(&ONE, PATIENCE, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn addresses_are_their_own_names() {
        assert_eq!(SystemResolver.resolve("127.0.0.2").await.unwrap(), [IpAddr::from([127, 0, 0, 2])]);
    }
}
