//! How many deliveries one receiver may have under way, so that a slow one holds up only its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

/// Counts what is under way for each host and port.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    most: usize,
    under_way: Arc<Mutex<HashMap<String, usize>>>,
}

/// One delivery under way; counts until dropped.
#[derive(Debug)]
pub(super) struct HostPermit {
    host: String,
    under_way: Arc<Mutex<HashMap<String, usize>>>,
}

impl Hosts {
    pub(super) fn new(most: usize) -> Self {
        Self { most, under_way: Arc::default() }
    }

    /// The right to call a URL's host, or none while it has all it may have.
    pub(super) fn enter(&self, url: &Url) -> Option<HostPermit> {
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(host.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(HostPermit { host, under_way: Arc::clone(&self.under_way) })
    }
}

impl Drop for HostPermit {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_its_share_and_leaves_no_trace() {
        let hosts = Hosts::new(2);
        let (a, b) = (Url::parse("https://a.example/1").unwrap(), Url::parse("https://b.example/").unwrap());
        let held = (hosts.enter(&a).unwrap(), hosts.enter(&Url::parse("https://a.example:443/2").unwrap()).unwrap());
        assert!(hosts.enter(&a).is_none());
        drop(hosts.enter(&b).unwrap());
        drop(held);
        assert!(hosts.enter(&a).is_some());
        assert!(hosts.under_way.lock().unwrap().is_empty());
    }
}
