//! Machines to have.

use std::fmt;

use serde::Serialize;

use crate::admission::Host;

/// Names, sizes and prices: data, which go out of date. Each line says of when its price is.
const KNOWN: &str = include_str!("hosts.csv");

/// Descriptors of a host for workers, as our units and images set them.
const DESCRIPTORS: u64 = 1_000_000;

/// What a machine costs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Price {
    /// On demand.
    pub usd_per_hour: f64,
    /// Where it is so; none if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The month in which it was, as 2025-01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priced: Option<String>,
}

impl Price {
    /// One that somebody said.
    #[must_use]
    pub const fn said(usd_per_hour: f64) -> Self {
        Self { usd_per_hour, region: None, priced: None }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} USD per hour", self.usd_per_hour)?;
        match (&self.region, &self.priced) {
            (Some(region), Some(priced)) => write!(f, " (on demand, {region}, {priced}; --price says another)"),
            _ => Ok(()),
        }
    }
}

/// A kind of machine.
#[derive(Clone, PartialEq, Debug)]
pub struct HostType {
    /// Its name, or its size where it has none.
    pub name: String,
    /// Virtual cores.
    pub vcpu: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// If known.
    pub price: Option<Price>,
}

/// Why a host is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such host type: {name}; expected one of {known}, or a size such as 16cpu,32GiB")]
pub struct UnknownHost {
    name: String,
    known: String,
}

impl HostType {
    /// Every kind that has a name.
    pub fn known() -> impl Iterator<Item = Self> {
        KNOWN.lines().skip(1).filter_map(|line| {
            let mut cells = line.split(',');
            let name = cells.next()?.to_owned();
            let vcpu = cells.next()?.parse().ok()?;
            let gib: u64 = cells.next()?.parse().ok()?;
            let usd_per_hour = cells.next()?.parse().ok()?;
            let (region, priced) = (Some(cells.next()?.to_owned()), Some(cells.next()?.to_owned()));
            Some(Self { name, vcpu, memory_bytes: gib << 30, price: Some(Price { usd_per_hour, region, priced }) })
        })
    }

    /// By name, or by size: `16cpu,32GiB`, which has no price.
    pub fn read(text: &str) -> Result<Self, UnknownHost> {
        Self::known().find(|host| host.name == text).or_else(|| Self::by_size(text)).ok_or_else(|| {
            let known: Vec<String> = Self::known().map(|host| host.name).collect();
            UnknownHost { name: text.to_owned(), known: known.join(", ") }
        })
    }

    fn by_size(text: &str) -> Option<Self> {
        let (cpu, memory) = text.split_once(',')?;
        let vcpu = cpu.trim().strip_suffix("cpu")?.trim().parse().ok().filter(|cpu| (1..=4_096).contains(cpu))?;
        let gib: u64 = memory.trim().strip_suffix("GiB")?.trim().parse().ok()?;
        let memory_bytes = Some(gib).filter(|gib| (1..=65_536).contains(gib))? << 30;
        Some(Self { name: text.to_owned(), vcpu, memory_bytes, price: None })
    }

    /// What it has, set up as a host for workers is.
    #[must_use]
    pub fn host(&self) -> Host {
        Host {
            memory_bytes: self.memory_bytes,
            cpu_millis: u64::from(self.vcpu) * 1_000,
            descriptors: DESCRIPTORS,
            shm_bytes: self.memory_bytes / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_host() {
        assert_eq!(HostType::known().count(), KNOWN.lines().count() - 1);
        for host in HostType::known() {
            let price = host.price.unwrap();
            assert!(price.usd_per_hour > 0.0 && price.region.is_some(), "{}", host.name);
            assert!(price.priced.is_some_and(|month| month.len() == 7), "{}", host.name);
        }
        let mut names: Vec<String> = HostType::known().map(|host| host.name).collect();
        names.dedup();
        assert_eq!(names.len(), HostType::known().count());
        let guide = HostType::read("c5.4xlarge").unwrap();
        assert_eq!((guide.vcpu, guide.memory_bytes), (16, 32 << 30));
    }

    #[test]
    fn sizes_are_hosts_too() {
        let own = HostType::read("12cpu,48GiB").unwrap();
        assert_eq!((own.vcpu, own.memory_bytes, own.price), (12, 48 << 30, None));
        for wrong in ["", "c5.huge", "0cpu,1GiB", "4cpu", "4cpu,99999999GiB", "xcpu,1GiB"] {
            let error = HostType::read(wrong).unwrap_err().to_string();
            assert!(error.contains("c5.4xlarge") && error.contains("16cpu,32GiB"), "{error}");
        }
    }

    #[test]
    fn a_price_says_of_when_it_is() {
        let known = HostType::read("c5.4xlarge").unwrap().price.unwrap().to_string();
        assert!(known.starts_with("0.68 USD per hour (on demand, us-east-1, 20"), "{known}");
        assert_eq!(Price::said(0.5).to_string(), "0.5 USD per hour");
    }
}
