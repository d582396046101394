//! From names to addresses that the guard lets through.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use url::{Host, Url};

use crate::guard::{Policy, Refused};

/// Looks names up.
#[async_trait]
pub trait Resolver: Send + Sync + std::fmt::Debug {
    /// Every address of `host`, in order of preference.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
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
        source: std::io::Error,
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
