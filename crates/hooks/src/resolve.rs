//! From names to addresses that the guard lets through.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use url::{Host, Url};

use crate::guard::{Policy, Refused};

/// Names that are looked up at a time. Each takes a thread of a pool that other work needs too, for as long as the system's resolver
/// tries.
static LOOKUPS: Lookups = Lookups::new(128);
/// Longest wait for one's turn to look up a name. A call gives up connecting soon after: it is to hear why before that.
const TURN: Duration = Duration::from_secs(2);

/// Looks names up.
#[async_trait]
pub trait Resolver: Send + Sync + std::fmt::Debug {
    /// Every address of `host`, in order of preference.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// So many names are being looked up already that this one was not.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many names are being looked up")]
pub struct NoTurn;

/// The operating system's resolver. A lookup that nobody waits for any more goes on to its end, so only so many go on at a time,
/// and one for each name: when they are all slow, those who wait get [`NoTurn`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let look = |name: &str| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        LOOKUPS.find(host, TURN, look).await
    }
}

type Found = Result<Vec<IpAddr>, Arc<io::Error>>;

/// What is being looked up. Whoever asks for a name that is joins in: one that does not answer takes one turn, however many ask.
struct Lookups {
    turns: Semaphore,
    under_way: Mutex<BTreeMap<String, watch::Receiver<Option<Found>>>>,
}

/// One of them, until it is dropped.
struct UnderWay {
    lookups: &'static Lookups,
    name: String,
    _turn: SemaphorePermit<'static>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.lookups.under_way().remove(&self.name);
    }
}

impl Lookups {
    const fn new(turns: usize) -> Self {
        Self { turns: Semaphore::const_new(turns), under_way: Mutex::new(BTreeMap::new()) }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<String, watch::Receiver<Option<Found>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` on a thread that may block, when there is a turn, unless the name is being looked up. The turn ends with the
    /// lookup and not with this future.
    async fn find(
        &'static self,
        name: &str,
        wait: Duration,
        look: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let known = self.under_way().get(name).cloned();
        let mut answer = match known {
            Some(answer) => answer,
            None => {
                let no_turn = |_| io::Error::new(io::ErrorKind::TimedOut, NoTurn);
                let turn = tokio::time::timeout(wait, self.turns.acquire()).await.map_err(no_turn)?;
                self.begin(name, turn.map_err(io::Error::other)?, look)
            }
        };
        let found = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?.clone();
        found.expect("it was waited for").map_err(|error| io::Error::new(error.kind(), error))
    }

    /// Begins a lookup, unless somebody else has while the turn was waited for.
    fn begin(
        &'static self,
        name: &str,
        turn: SemaphorePermit<'static>,
        look: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> watch::Receiver<Option<Found>> {
        let mut under_way = self.under_way();
        if let Some(answer) = under_way.get(name) {
            return answer.clone();
        }
        let (told, answer) = watch::channel(None);
        under_way.insert(name.to_owned(), answer.clone());
        drop(under_way);
        let lookup = UnderWay { lookups: self, name: name.to_owned(), _turn: turn };
        tokio::task::spawn_blocking(move || {
            let found = look(&lookup.name).map_err(Arc::new);
            // Whoever asks from here on is to have a fresh answer, and whoever hears of this one a free turn.
            drop(lookup);
            let _ = told.send(Some(found));
        });
        answer
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
        source: io::Error,
    },
    /// It was not looked up: too many others were.
    #[error(transparent)]
    NoTurn(#[from] NoTurn),
    /// The name has no address.
    #[error("the name {host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
}

/// The addresses of `host` that `policy` lets through, at least one.
pub(crate) async fn checked(resolver: &dyn Resolver, policy: &Policy, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let all = resolver.resolve(host).await.map_err(|source| match source.get_ref() {
        Some(inner) if inner.is::<NoTurn>() => NoTurn.into(),
        _ => ResolveError::Lookup { host: host.to_owned(), source },
    })?;
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

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_lookup_keeps_its_turn_until_it_ends() {
        static ONE: Lookups = Lookups::new(1);
        let (began, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let slow = ONE.find("slow.example", PATIENCE, move |_| {
            began.send(()).unwrap();
            ended.recv().map_err(io::Error::other)?;
            Ok(vec![ADDRESS])
        });
        tokio::select! {
            _ = slow => panic!("nobody has ended it"),
            begun = begun => begun.unwrap(),
        }
        // Nobody waits for it any more.
        let other = ONE.find("other.example", Duration::from_millis(1), |_| Ok(vec![])).await.unwrap_err();
        assert!(other.get_ref().is_some_and(|inner| inner.is::<NoTurn>()), "{other:?}");
        end.send(()).unwrap();
        assert_eq!(ONE.find("other.example", PATIENCE, |_| Ok(vec![ADDRESS])).await.unwrap(), [ADDRESS]);
    }

    #[tokio::test]
    async fn a_name_takes_one_turn_however_many_ask_for_it() {
        static TWO: Lookups = Lookups::new(2);
        let (began, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let first = tokio::spawn(TWO.find("sick.example", PATIENCE, move |_| {
            began.send(()).unwrap();
            ended.recv().map_err(io::Error::other)?;
            Err(io::Error::other("no such name"))
        }));
        begun.await.unwrap();
        let joined: Vec<_> = (0..3)
            .map(|_| tokio::spawn(TWO.find("sick.example", PATIENCE, |_| panic!("it is being looked up"))))
            .collect();
        // There is a turn for others all the while.
        assert_eq!(TWO.find("well.example", PATIENCE, |_| Ok(vec![ADDRESS])).await.unwrap(), [ADDRESS]);
        tokio::task::yield_now().await;
        end.send(()).unwrap();
        for asked in std::iter::once(first).chain(joined) {
            let error = asked.await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), "no such name");
        }
        // The next one looks for itself.
        assert_eq!(TWO.find("sick.example", PATIENCE, |_| Ok(vec![ADDRESS])).await.unwrap(), [ADDRESS]);
    }

    #[tokio::test]
    async fn a_lookup_that_panics_is_an_error_and_gives_its_turn_back() {
        static ONE: Lookups = Lookups::new(1);
        assert!(ONE.find("a.example", PATIENCE, |_| panic!("planted")).await.is_err());
        assert_eq!(ONE.find("a.example", PATIENCE, |_| Ok(vec![ADDRESS])).await.unwrap(), [ADDRESS]);
    }

    #[tokio::test]
    async fn addresses_are_their_own_names() {
        assert_eq!(SystemResolver.resolve("127.0.0.2").await.unwrap(), [IpAddr::from([127, 0, 0, 2])]);
    }
}
