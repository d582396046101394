//! What a bot costs, seen from outside.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use muster_runtime::measure::{Usage, usage};

/// Every process below `root`, by parent links; zombies are left out.
pub(crate) fn below(root: u32) -> Vec<i32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(below.iter().filter_map(|pid| i32::try_from(*pid).ok()));
        next.extend(below);
    }
    found
}

/// The parent in a line of `/proc/PID/stat`. The name of the program may hold spaces and brackets.
fn parent(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.next()?.parse().ok()
}

/// What was seen of a bot over its call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// The most.
    pub(crate) pss_bytes: u64,
    /// Of one core, on average.
    pub(crate) cpu: f64,
    /// For how long it was looked at.
    pub(crate) over: Duration,
    /// The most.
    pub(crate) processes: u32,
}

/// Watches everything below a server: with one bot, that is the bot.
#[derive(Debug)]
pub(crate) struct Meter {
    server: u32,
    first: Option<(Instant, Usage)>,
    cost: Cost,
}

impl Meter {
    pub(crate) fn new(server: u32) -> Self {
        Self { server, first: None, cost: Cost::default() }
    }

    /// Looks once. Takes a few milliseconds.
    pub(crate) fn look(&mut self) {
        let seen = usage(below(self.server));
        self.take(Instant::now(), seen);
    }

    fn take(&mut self, now: Instant, seen: Usage) {
        self.cost.pss_bytes = self.cost.pss_bytes.max(seen.pss_bytes);
        self.cost.processes = self.cost.processes.max(seen.processes);
        let (begun, first) = *self.first.get_or_insert((now, seen));
        let over = now.duration_since(begun);
        // A process that ended takes its time along: then there is less, and the last figure stands.
        if !over.is_zero() && seen.cpu_time >= first.cpu_time {
            self.cost.over = over;
            self.cost.cpu = (seen.cpu_time - first.cpu_time).as_secs_f64() / over.as_secs_f64();
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_confuse_the_parent_link() {
        assert_eq!(parent("7 (a) b) S 3 7 7"), Some(3));
        assert_eq!(parent("7 (a) Z 3 7 7"), None);
        assert_eq!(parent(""), None);
    }

    #[test]
    fn a_child_is_below_its_parent() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(below(std::process::id()).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn cost_is_the_most_memory_and_the_average_cpu() {
        let mut meter = Meter::new(1);
        let begun = Instant::now();
        let seen = |pss_bytes, cpu_ms| Usage {
            pss_bytes,
            cpu_time: Duration::from_millis(cpu_ms),
            processes: 5,
            ..Usage::default()
        };
        meter.take(begun, seen(10, 1_000));
        meter.take(begun + Duration::from_secs(5), seen(30, 1_500));
        meter.take(begun + Duration::from_secs(10), seen(20, 2_000));
        // One of its processes has ended.
        meter.take(begun + Duration::from_secs(11), seen(1, 10));
        let cost = meter.cost();
        assert_eq!((cost.pss_bytes, cost.processes, cost.over), (30, 5, Duration::from_secs(10)));
        assert!((cost.cpu - 0.1).abs() < 1e-9, "{cost:?}");
    }
}
