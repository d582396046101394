use std::fmt;
use std::sync::Arc;

use url::Url;

/// Scheme, name and port: what has a share of the slots, and a circuit for each tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Host(Arc<str>);

impl Host {
    pub(super) fn of(url: &Url) -> Self {
        let port = url.port_or_known_default().unwrap_or_default();
        Self(format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default()).into())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_scheme_name_and_port() {
        let host = |url: &str| Host::of(&url.parse().unwrap());
        assert_eq!(host("https://a.example/1?x"), host("https://A.example:443/2"));
        for other in ["http://a.example/", "https://a.example:444/", "https://b.example/"] {
            assert_ne!(host("https://a.example/"), host(other));
        }
    }
}
