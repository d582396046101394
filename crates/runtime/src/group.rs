//! Everything that belongs to a bot, found in the process table and ended.
//!
//! A process belongs to a bot when it is in the bot's process group, when it descends from one that does (seen while its
//! parent lived), or when it carries the bot's mark in its environment. Only a process that left the group, lost its
//! parent and wiped its environment, all between two looks, would stay unseen.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use procfs::process::{Process, Stat, all_processes};
use rustix::process::{Pid, PidfdFlags, Signal};

/// In the environment of every process of a bot.
pub(crate) const MARK: &str = "MUSTER_BOT_ID";
/// Between two looks while waiting for processes to end.
const LOOK: Duration = Duration::from_millis(20);

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proc {
    pub(crate) pid: i32,
    /// Clock ticks since boot.
    pub(crate) start: u64,
}

impl Proc {
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let stat = Process::new(pid).and_then(|p| p.stat()).ok()?;
        alive(&stat).then_some(Self { pid, start: stat.starttime })
    }

    /// A child that was not waited for: it is in the table, dead or alive.
    pub(crate) fn of_child(pid: i32) -> Self {
        let start = Process::new(pid).and_then(|p| p.stat()).map_or(0, |stat| stat.starttime);
        Self { pid, start }
    }

    /// Signals exactly this process: never another that has got its number meanwhile.
    fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) if Self::read(self.pid) == Some(self) => {
                if let Err(error) = rustix::process::pidfd_send_signal(&fd, signal) {
                    tracing::debug!(pid = self.pid, %error, "could not signal");
                }
            }
            // Kernels without pidfd.
            Err(rustix::io::Errno::NOSYS) if Self::read(self.pid) == Some(self) => {
                let _ = rustix::process::kill_process(pid, signal);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Zombies are dead; whoever should collect them is not our business.
fn alive(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x')
}

/// The processes of one bot.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The process whose number is the group's; unknown if a supervisor died before it wrote it down.
    leader: Option<Proc>,
    mark: String,
    /// Seen outside the process group, below the leader.
    strayed: HashSet<Proc>,
}

impl Group {
    pub(crate) fn new(leader: Option<Proc>, mark: String) -> Self {
        Self { leader, mark, strayed: HashSet::new() }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.leader.map(|leader| leader.pid)
    }

    /// Nothing of the bot is older.
    fn since(&self) -> u64 {
        self.leader.map_or(0, |leader| leader.start)
    }

    /// Whether a process is in the process group.
    fn has(&self, stat: &Stat) -> bool {
        self.leader.is_some_and(|leader| stat.pgrp == leader.pid && stat.starttime >= leader.start)
    }

    /// Remembers who left the process group, as long as family ties can be seen.
    pub(crate) fn look(&mut self) {
        self.look_at(&ProcessTable::read());
    }

    /// The same in a table that was read before. Answers everybody who is seen.
    pub(crate) fn look_at(&mut self, table: &ProcessTable) -> HashSet<Proc> {
        let related = self.related(table);
        let outside = |p: &&Proc| table.all.get(&p.pid).is_some_and(|stat| !self.has(stat));
        self.strayed = related.iter().filter(outside).copied().collect();
        related
    }

    /// Every living process of the bot.
    pub(crate) fn members(&self) -> HashSet<Proc> {
        let table = ProcessTable::read();
        let mut found = self.related(&table);
        let mut marked: Vec<Proc> = table
            .all
            .values()
            .map(identity)
            .filter(|p| p.start >= self.since() && !found.contains(p) && self.carries_mark(*p))
            .collect();
        found.extend(marked.iter().copied());
        table.descend(&mut marked, &mut found);
        found
    }

    /// By process group and family.
    fn related(&self, table: &ProcessTable) -> HashSet<Proc> {
        // Once group and leader are gone, their number can be given to strangers.
        let number_reused =
            self.leader.is_some_and(|l| table.all.get(&l.pid).is_some_and(|stat| stat.starttime != l.start));
        let mut next: Vec<Proc> = table
            .all
            .values()
            .filter(|stat| {
                let process = identity(stat);
                (self.has(stat) && !number_reused) || self.strayed.contains(&process) || self.leader == Some(process)
            })
            .map(identity)
            .collect();
        let mut found: HashSet<Proc> = next.iter().copied().collect();
        table.descend(&mut next, &mut found);
        found
    }

    fn carries_mark(&self, process: Proc) -> bool {
        let environment = Process::new(process.pid).and_then(|p| p.environ());
        environment.is_ok_and(|e| e.get(std::ffi::OsStr::new(MARK)).is_some_and(|v| v == self.mark.as_str()))
    }

    /// Signals the whole process group. Only while the leader has not been waited for: after that its number is free.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.leader.and_then(|leader| Pid::from_raw(leader.pid))
            && let Err(error) = rustix::process::kill_process_group(pid, signal)
        {
            tracing::debug!(group = pid.as_raw_nonzero(), %error, "could not signal a process group");
        }
    }

    /// Kills whatever is there; answers who was.
    pub(crate) fn kill_members(&self) -> HashSet<Proc> {
        let members = self.members();
        for process in &members {
            process.signal(Signal::KILL);
        }
        members
    }

    /// Waits for the members to end by themselves for `patience`, then kills until none is left or `deadline` is over.
    /// Answers who had to be killed, and whether all are gone. Blocks.
    pub(crate) fn clear(&self, patience: Duration, deadline: Duration) -> Cleared {
        let began = std::time::Instant::now();
        while began.elapsed() < patience {
            if self.members().is_empty() {
                return Cleared { killed: Vec::new(), empty: true };
            }
            std::thread::sleep(LOOK);
        }
        let mut killed = HashSet::new();
        loop {
            let found = self.kill_members();
            let empty = found.is_empty();
            killed.extend(found.iter().map(|p| p.pid));
            if empty || began.elapsed() > patience + deadline {
                let mut killed: Vec<i32> = killed.into_iter().collect();
                killed.sort_unstable();
                return Cleared { killed, empty };
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What became of a group.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) killed: Vec<i32>,
    pub(crate) empty: bool,
}

fn identity(stat: &Stat) -> Proc {
    Proc { pid: stat.pid, start: stat.starttime }
}

/// Every living process but this one, at one moment.
#[derive(Debug)]
pub struct ProcessTable {
    all: HashMap<i32, Stat>,
    /// By the number of their parent.
    children: HashMap<i32, Vec<Proc>>,
}

impl ProcessTable {
    /// Reads `/proc`; blocks. Empty if that may not be read.
    #[must_use]
    pub fn read() -> Self {
        let own = std::process::id();
        let all: HashMap<i32, Stat> = all_processes()
            .into_iter()
            .flatten()
            .filter_map(|process| process.and_then(|p| p.stat()).ok())
            .filter(|stat| alive(stat) && u32::try_from(stat.pid) != Ok(own))
            .map(|stat| (stat.pid, stat))
            .collect();
        let mut children: HashMap<i32, Vec<Proc>> = HashMap::new();
        for stat in all.values() {
            children.entry(stat.ppid).or_default().push(identity(stat));
        }
        Self { all, children }
    }

    /// Adds everything below `next` to `found`.
    fn descend(&self, next: &mut Vec<Proc>, found: &mut HashSet<Proc>) {
        while let Some(parent) = next.pop() {
            for child in self.children.get(&parent.pid).into_iter().flatten() {
                if found.insert(*child) {
                    next.push(*child);
                }
            }
        }
    }
}
