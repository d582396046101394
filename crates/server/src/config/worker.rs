//! `[worker]`: bots, and what of the machine they may use.

use std::time::Duration;

use muster_fleet::cost::Cost;

use super::reader::Reader;
use crate::roles::Role;

/// Of an id.
const LONGEST_ID: usize = 128;

/// `[worker]`
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// By which the fleet knows this run of it; random if absent.
    pub id: Option<String>,
    /// Most bots at a time.
    pub max_concurrent_bots: u32,
    /// Share of the memory, in percent, that bots leave free.
    pub memory_headroom: u8,
    /// Bytes that are held for a bot until it was measured.
    pub bot_memory: u64,
    /// Thousandths of a core that are held for a bot until it was measured.
    pub bot_cpu_millis: u32,
    /// A bot with more bytes than this is ended.
    pub bot_memory_limit: u64,
    /// A worker without a bot for so long ends.
    pub exit_when_idle: Option<Duration>,
    /// Whoever manages machines is told that this one has bots.
    pub protect: bool,
    /// The EC2 instance, if it is not to be asked for.
    pub instance_id: Option<String>,
    /// How long a worker holds a session without renewing.
    pub lease: Duration,
    /// How often leases are renewed and stop requests picked up.
    pub heartbeat: Duration,
    /// Longest start of a bot process.
    pub launch_deadline: Duration,
    /// Longest polite leaving before a bot is killed.
    pub stop_grace: Duration,
    /// Longest wait for calls to end once no more bots are taken.
    pub drain_deadline: Duration,
    /// The same once the process was told to stop, if that is less.
    pub stop_deadline: Option<Duration>,
    /// Longest way from launch to lobby or call.
    pub join_timeout: Duration,
    /// Samples must arrive within this time once somebody is there to be heard.
    pub capture_timeout: Duration,
    /// Length of a recording segment.
    pub segment: Duration,
    /// A bot that is lost after it was let in is sent in again, once. Decided when it is created.
    pub rejoin: bool,
    /// Bots without browsers, for load tests.
    pub simulated: bool,
}

impl WorkerConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            id: r.text_opt("worker.id", "By which the fleet knows this worker: letters, digits, - and _, and another one at every start, such as the name of its pod. Default: a random one."),
            max_concurrent_bots: r.integer("worker.max_concurrent_bots", 8, 1, 1_000, "Most bots at a time on this machine, if memory, cores and the rest suffice."),
            memory_headroom: u8::try_from(r.integer("worker.memory_headroom", 15, 0, 90, "Share of the memory of the machine or its control group, in percent, that bots leave free.")).unwrap_or(15),
            bot_memory: r.size("worker.bot_memory", "1.5GB", "16MB", "1TB", "Memory that is held for a bot until it was measured, or enough of its kind were."),
            bot_cpu_millis: r.millis("worker.bot_cpu", 1_000, [10, 64_000], "Cores that are held for a bot until it was measured, or enough of its kind were."),
            bot_memory_limit: r.size("worker.bot_memory_limit", "3GB", "32MB", "1TB", "A bot that uses more memory is ended (over_budget); its recording is kept."),
            exit_when_idle: r.duration_or_never("worker.exit_when_idle", ["1s", "7d"], "For `muster serve worker` as a job of Kubernetes and the like: without a bot for so long, it ends with status 0 if more workers take bots than control wants (autoscale.min_workers stay)."),
            protect: r.choice("worker.protection", &["auto", "off"], "`auto`: while it has bots, ECS, Kubernetes or EC2 Auto Scaling, whichever runs this process, is told to spare it.") == "auto",
            instance_id: r.text_opt("worker.instance_id", "For EC2 Auto Scaling: the instance, where it cannot be asked who it is."),
            lease: r.duration("worker.lease", "30s", "2s", "10m", "How long a worker holds a session without renewing it. Where sessions are shared, its bots leave before that ends."),
            heartbeat: r.duration("worker.heartbeat", "2s", "100ms", "1m", "How often leases are renewed and stop requests are picked up."),
            launch_deadline: r.duration("worker.launch_deadline", "30s", "1s", "5m", "Longest start of a bot process."),
            stop_grace: r.duration("worker.stop_grace", "20s", "1s", "10m", "How long a bot may take to leave before it is killed."),
            drain_deadline: r.duration("worker.drain_deadline", "4h", "0s", "24h", "How long running calls are waited for once the worker takes no more bots: by `muster workers drain`, because its machine is wanted back, or by SIGTERM or Ctrl-C."),
            stop_deadline: r.duration_opt("worker.stop_deadline", ["0s", "24h"], "How long they are waited for after the first SIGTERM or Ctrl-C, where the process is killed some time after that: less than that time by worker.stop_grace and ten seconds. Default: worker.drain_deadline, which is the most."),
            join_timeout: r.duration("worker.join_timeout", "2m", "5s", "4m", "Longest way from launch to lobby or call."),
            capture_timeout: r.duration("worker.capture_timeout", "20s", "1s", "5m", "Audio must arrive within this time once somebody is there to be heard."),
            segment: r.duration("worker.segment", "5s", "1s", "1m", "Length of one recording segment: the most that a killed bot loses."),
            rejoin: r.bool_opt("worker.rejoin", "Send a bot that is lost in its call (its worker died, or it crashed) into it again, once; the recording goes on with a gap. Decided when the bot is created. Default: true.").unwrap_or(true),
            simulated: r.bool_opt("worker.simulated", "For load tests of a fleet: bots without browsers, which attend sandbox meetings only, hear nothing, and are called simulated everywhere. Default: false.").unwrap_or(false),
        }
    }

    pub(super) fn cross_check(&self, r: &mut Reader<'_>, role: Option<Role>) {
        if self.heartbeat * 3 > self.lease {
            r.problem(
                "worker.lease: must be at least three times worker.heartbeat, so that one lost renewal loses no bot",
            );
        }
        if self.bot_memory_limit < self.bot_memory {
            r.problem("worker.bot_memory_limit: must not be less than worker.bot_memory, which every bot may have");
        }
        if self.stop_deadline.is_some_and(|stop| stop > self.drain_deadline) {
            r.problem("worker.stop_deadline: must not be longer than worker.drain_deadline, which ends calls then");
        }
        if let Some(id) = &self.id
            && (id.len() > LONGEST_ID || !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            r.problem(format!("worker.id: has at most {LONGEST_ID} letters, digits, - and _"));
        }
        if self.exit_when_idle.is_some() && role == Some(Role::All) {
            r.problem("worker.exit_when_idle: is for `muster serve worker`; this process has other things to do");
        }
    }

    /// What is held for a bot of whose kind nothing is known, but for `/dev/shm`.
    #[must_use]
    pub const fn declared(&self) -> Cost {
        Cost { memory_bytes: self.bot_memory, cpu_millis: self.bot_cpu_millis as u64, ..Cost::PLANNED }
    }
}
