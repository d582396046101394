//! What processes cost.

use std::time::Duration;

use procfs::process::{MemoryMaps, Process};

use crate::group::{Group, ProcessTable};

/// What a set of processes uses, as far as it may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Proportional set size: shared pages are divided among those who share them. Where it may not be read, the
    /// resident set size stands in for it.
    pub pss_bytes: u64,
    /// Resident set size; counts shared pages once for each process.
    pub rss_bytes: u64,
    /// CPU time since they started, with that of children they have waited for.
    pub cpu_time: Duration,
    /// Living processes.
    pub processes: u32,
}

/// Measures one bot, again and again. Holds nothing of it: it may be over.
#[derive(Clone, Debug)]
pub struct Meter {
    pub(crate) group: Group,
}

impl Meter {
    /// What the bot's processes use that are in a table read just now. Blocks.
    pub fn read(&mut self, table: &ProcessTable) -> Usage {
        usage(self.group.look_at(table).into_iter().map(|process| process.pid))
    }
}

/// Adds up the living ones of these processes. Reads `/proc`: some tens of microseconds each, more for large ones.
pub fn usage(pids: impl IntoIterator<Item = i32>) -> Usage {
    let mut total = Usage::default();
    for one in pids.into_iter().filter_map(of_process) {
        total.pss_bytes += one.pss_bytes;
        total.rss_bytes += one.rss_bytes;
        total.cpu_time += one.cpu_time;
        total.processes += one.processes;
    }
    total
}

fn of_process(pid: i32) -> Option<Usage> {
    let process = Process::new(pid).ok()?;
    let stat = process.stat().ok()?;
    if matches!(stat.state, 'Z' | 'X' | 'x') {
        return None;
    }
    let rss_bytes = stat.rss * procfs::page_size();
    let pss_bytes = process.smaps_rollup().ok().and_then(|rollup| pss(&rollup.memory_map_rollup)).unwrap_or(rss_bytes);
    let ticks = stat.utime + stat.stime + u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
    let cpu_time = Duration::from_millis(ticks * 1_000 / procfs::ticks_per_second().max(1));
    Some(Usage { pss_bytes, rss_bytes, cpu_time, processes: 1 })
}

fn pss(maps: &MemoryMaps) -> Option<u64> {
    maps.iter().next()?.extension.map.get("Pss").copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_this_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = usage([own, i32::MAX]);
        assert_eq!(usage.processes, 1);
        assert!(usage.pss_bytes > 100_000 && usage.pss_bytes <= usage.rss_bytes * 2, "{usage:?}");
    }
}
