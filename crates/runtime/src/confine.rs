//! A control group (version 2) for each bot, whose limit the kernel keeps: a bot that takes more memory than it may is killed
//! by itself, with all of its processes, and nothing else of the machine is.

use std::io;
use std::path::{Path, PathBuf};

use crate::handle::OutOfMemory;

/// Begins the name of each bot's control group.
const PREFIX: &str = "bot-";
/// Where the supervisor itself moves to: a group with limits for those below it can have no process of its own.
const SUPERVISOR: &str = "supervisor";

/// Where bots get control groups, and what each may have.
#[derive(Clone, Debug)]
pub struct Confinement {
    parent: PathBuf,
    memory_max: u64,
}

impl Confinement {
    /// Makes the own control group one that bots can have theirs below: this process moves into one beside them, with those that
    /// started it in a container. To be called once, when nothing of earlier bots is left.
    ///
    /// # Errors
    ///
    /// Why there can be none, for people; then nothing was changed.
    pub fn prepare(memory_max: u64) -> Result<Self, String> {
        Self::prepare_at(Path::new("/proc"), Path::new("/sys/fs/cgroup"), std::process::id(), memory_max)
    }

    fn prepare_at(proc: &Path, root: &Path, pid: u32, memory_max: u64) -> Result<Self, String> {
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !has_word(&controllers, "memory") {
            return Err("control groups of version 2 with the memory controller are not mounted".to_owned());
        }
        let membership = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
        let path = membership.lines().find_map(|line| line.strip_prefix("0::"));
        let path = path.ok_or("this process is in no control group of version 2")?;
        let parent = root.join(path.trim_start_matches('/'));
        let members = std::fs::read_to_string(parent.join("cgroup.procs")).unwrap_or_default();
        let members: Vec<u32> = members.split_whitespace().filter_map(|member| member.parse().ok()).collect();
        // In a container those that started this process are there for it alone; in a terminal they are the user's.
        let line: Vec<u32> = match members.contains(&1) {
            true => std::iter::successors(Some(pid), |pid| parent_of(proc, *pid)).collect(),
            false => vec![pid],
        };
        if members.iter().any(|member| !line.contains(member)) {
            return Err(format!("other processes are in {}", parent.display()));
        }
        divide(&parent, &members).map_err(|error| format!("{} cannot be divided: {error}", parent.display()))?;
        for leftover in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
            if leftover.file_name().to_string_lossy().starts_with(PREFIX) {
                let _ = std::fs::remove_dir(leftover.path());
            }
        }
        Ok(Self { parent, memory_max })
    }
}

/// Who started a process, unless that is the first one.
fn parent_of(proc: &Path, pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    parent.filter(|parent| *parent > 0)
}

/// Moves these processes down, and lets the groups below have limits of memory.
fn divide(parent: &Path, members: &[u32]) -> io::Result<()> {
    let own = parent.join(SUPERVISOR);
    match std::fs::create_dir(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // One at a time, as the kernel takes them.
    let move_to = |group: &Path| {
        members.iter().try_for_each(|member| std::fs::write(group.join("cgroup.procs"), member.to_string()))
    };
    let divided = move_to(&own).and_then(|()| std::fs::write(parent.join("cgroup.subtree_control"), "+memory"));
    if divided.is_err() {
        let _ = move_to(parent);
        let _ = std::fs::remove_dir(&own);
    }
    divided
}

fn has_word(text: &str, wanted: &str) -> bool {
    text.split_whitespace().any(|word| word == wanted)
}

/// One bot's control group.
#[derive(Debug)]
pub(crate) struct Cell {
    dir: PathBuf,
}

impl Cell {
    /// Makes it and puts a process into it, whose children will be in it too.
    pub(crate) fn confine(confinement: &Confinement, mark: &str, pid: i32) -> io::Result<Self> {
        let cell = Self { dir: confinement.parent.join([PREFIX, mark].concat()) };
        std::fs::create_dir(&cell.dir)?;
        let write = |file: &str, text: &str| std::fs::write(cell.dir.join(file), text);
        let confined = write("memory.max", &confinement.memory_max.to_string())
            .and_then(|()| write("memory.oom.group", "1"))
            .and_then(|()| write("cgroup.procs", &pid.to_string()));
        // Not on every machine is there swap to be kept from.
        let _ = write("memory.swap.max", "0");
        if let Err(error) = confined {
            cell.remove();
            return Err(error);
        }
        Ok(cell)
    }

    /// If the kernel killed something in it for want of memory, what had none left. Kills are counted here whoever ran out,
    /// and having run out only where that was.
    pub(crate) fn out_of_memory(&self) -> Option<OutOfMemory> {
        let events = std::fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        let happened = |name: &str| {
            let count = events.lines().filter_map(|line| line.split_once(' ')).find(|(event, _)| *event == name);
            count.is_some_and(|(_, count)| count.trim().parse().is_ok_and(|count: u64| count > 0))
        };
        happened("oom_kill").then(|| if happened("oom") { OutOfMemory::Bot } else { OutOfMemory::Around })
    }

    /// Once nothing is in it.
    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir(&self.dir) {
            tracing::debug!(dir = %self.dir.display(), %error, "a bot's control group could not be removed");
        }
    }
}

/// Above its supervisor's: when a machine runs out of memory all the same, the kernel takes a bot.
const SCORE_ABOVE: i32 = 300;
const SCORE_MAX: i32 = 1_000;

/// Makes the kernel take this process, and those it starts, before its supervisor.
pub(crate) fn offer(pid: i32) {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    let score = (own.unwrap_or(0) + SCORE_ABOVE).min(SCORE_MAX);
    if let Err(error) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()) {
        tracing::debug!(pid, %error, "oom_score_adj could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel shows of a control group, as files.
    fn fixture(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn prepare(dir: &tempfile::TempDir) -> Result<Confinement, String> {
        Confinement::prepare_at(&dir.path().join("proc"), &dir.path().join("cgroup"), 7, 1_000)
    }

    const OWN: [(&str, &str); 3] = [
        ("proc/self/cgroup", "0::/unit\n"),
        ("cgroup/cgroup.controllers", "cpu memory pids\n"),
        ("cgroup/unit/cgroup.procs", "7\n"),
    ];

    #[test]
    fn each_bot_is_confined_and_nothing_of_it_stays() {
        let dir = fixture(&OWN);
        let unit = dir.path().join("cgroup/unit");
        std::fs::create_dir(unit.join("bot-of-an-earlier-run")).unwrap();
        let read = |path: &str| std::fs::read_to_string(unit.join(path)).unwrap();
        let confinement = prepare(&dir).unwrap();
        assert_eq!(
            (read("supervisor/cgroup.procs").as_str(), read("cgroup.subtree_control").as_str()),
            ("7", "+memory")
        );
        assert!(!unit.join("bot-of-an-earlier-run").exists());
        let cell = Cell::confine(&confinement, "b.1", 42).unwrap();
        let said = ["memory.max", "memory.oom.group", "memory.swap.max", "cgroup.procs"]
            .map(|file| read(&format!("bot-b.1/{file}")));
        assert_eq!(said, ["1000", "1", "0", "42"]);
        let events = |text: &str| {
            std::fs::write(unit.join("bot-b.1/memory.events"), text).unwrap();
            cell.out_of_memory()
        };
        assert_eq!(events(""), None);
        assert_eq!(events("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n"), None);
        assert_eq!(events("max 9\noom 1\noom_kill 2\noom_group_kill 1\n"), Some(OutOfMemory::Bot));
        assert_eq!(events("max 0\noom 0\noom_kill 2\noom_group_kill 1\n"), Some(OutOfMemory::Around));
        // The kernel takes the files of a group with it.
        for file in std::fs::read_dir(&cell.dir).unwrap().flatten() {
            std::fs::remove_file(file.path()).unwrap();
        }
        cell.remove();
        assert!(!cell.dir.exists());
    }

    #[test]
    fn those_that_started_this_process_move_with_it() {
        let status = ("proc/7/status", "Name:\tmuster\nPPid:\t1\n");
        let init = ("proc/1/status", "Name:\ttini\nPPid:\t0\n");
        let members = ("cgroup/unit/cgroup.procs", "1\n7\n");
        let dir = fixture(&[OWN[0], OWN[1], members, status, init]);
        prepare(&dir).unwrap();
        // What was written last, in a file that keeps only that.
        assert_eq!(std::fs::read_to_string(dir.path().join("cgroup/unit/supervisor/cgroup.procs")).unwrap(), "7");
        let dir = fixture(&[OWN[0], OWN[1], ("cgroup/unit/cgroup.procs", "1\n7\n9\n"), status, init]);
        assert!(prepare(&dir).unwrap_err().contains("other processes"));
        // A shell is no container.
        let (of_shell, shell) = (("proc/7/status", "PPid:\t5\n"), ("proc/5/status", "PPid:\t1\n"));
        let dir = fixture(&[OWN[0], OWN[1], ("cgroup/unit/cgroup.procs", "5\n7\n"), of_shell, shell, init]);
        assert!(prepare(&dir).unwrap_err().contains("other processes"));
    }

    #[test]
    fn where_it_is_not_permitted_nothing_is_changed() {
        let cases: [(&[(&str, &str)], &str); 3] = [
            (&[("proc/self/cgroup", "4:memory:/\n0::/\n")], "not mounted"),
            (&[OWN[0], ("cgroup/cgroup.controllers", "cpu\n"), OWN[2]], "not mounted"),
            (&[OWN[0], OWN[1], ("cgroup/unit/cgroup.procs", "7\n8\n")], "other processes"),
        ];
        for (files, why) in cases {
            let dir = fixture(files);
            let error = prepare(&dir).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(!dir.path().join("cgroup/unit/supervisor").exists());
        }
        let dir = fixture(&OWN);
        // A file that cannot be written.
        std::fs::create_dir(dir.path().join("cgroup/unit/cgroup.subtree_control")).unwrap();
        assert!(prepare(&dir).unwrap_err().contains("cannot be divided"));
        assert_eq!(std::fs::read_to_string(dir.path().join("cgroup/unit/cgroup.procs")).unwrap(), "7");
    }
}
