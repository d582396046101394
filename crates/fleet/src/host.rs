//! Machines to have.

use crate::admission::Host;

/// Names, sizes and prices: data, which go out of date.
const KNOWN: &str = include_str!("hosts.csv");

/// What is said of the prices.
pub const PRICES: &str = "list prices on demand, USD, us-east-1, as known in November 2026";

/// Recommended descriptor limit of a host for workers.
const DESCRIPTORS: u64 = 1_000_000;

/// A kind of machine.
#[derive(Clone, PartialEq, Debug)]
pub struct HostType {
    /// Its name, or its size where it has none.
    pub name: String,
    /// Virtual cores.
    pub vcpu: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// USD per hour, if known.
    pub price: Option<f64>,
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
            let price = cells.next()?.parse().ok();
            Some(Self { name, vcpu, memory_bytes: gib << 30, price })
        })
    }

    /// By name, or by size: `16cpu,32GiB`, which has no price.
    pub fn read(text: &str) -> Result<Self, UnknownHost> {
        let by_size = || {
            let (cpu, memory) = text.split_once(',')?;
            let vcpu = cpu.trim().strip_suffix("cpu")?.trim().parse().ok().filter(|cpu| (1..=4_096).contains(cpu))?;
            let gib: u64 =
                memory.trim().strip_suffix("GiB")?.trim().parse().ok().filter(|gib| (1..=65_536).contains(gib))?;
            Some(Self { name: text.to_owned(), vcpu, memory_bytes: gib << 30, price: None })
        };
        Self::known().find(|host| host.name == text).or_else(by_size).ok_or_else(|| {
            let known: Vec<String> = Self::known().map(|host| host.name).collect();
            UnknownHost { name: text.to_owned(), known: known.join(", ") }
        })
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
        assert!(HostType::known().all(|host| host.price.is_some_and(|price| price > 0.0)));
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
}
