//! The processes: two with the API, three workers with simulated bots, two candidates for control, one for the rest, and a
//! Redis of their own. All of them can be killed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_redis::testing;
use rustix::process::Signal;
use tempfile::TempDir;

use super::random::Random;
use crate::harness::{PATIENCE, Server};

pub(super) const LEASE: Duration = Duration::from_secs(9);
pub(super) const LEAD: Duration = Duration::from_secs(4);

/// Bots of a worker that is worth killing.
const BUSY: usize = 3;

/// A process and what it logs.
pub(super) struct Process {
    pub(super) server: Server,
    log: PathBuf,
}

pub(super) struct Fleet {
    pub(super) apis: Vec<Process>,
    pub(super) workers: Vec<Process>,
    controls: Vec<Process>,
    hooks: Vec<Process>,
    started: u32,
    slots: u32,
    // Dropped last: the processes use them.
    redis: testing::Server,
    dir: TempDir,
}

/// What happens to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incident {
    WorkerKilled,
    WorkerFrozen,
    ControlKilled,
    HooksKilled,
    RedisRestarted,
}

impl Process {
    fn start(role: &str, name: &str, dir: &Path, config: &str) -> Self {
        let log = dir.join(format!("{name}.log"));
        Self { server: Server::start_role_logging(role, &dir.join(name), config, &log), log }
    }

    /// Lines of the log with all of these in them.
    fn lines(&self, parts: &[&str]) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }

    fn logged(&self, parts: &[&str]) -> bool {
        !self.lines(parts).is_empty()
    }

    /// By which the store knows a worker.
    fn worker_id(&self) -> String {
        let line = self.lines(&["this worker takes bots"]).pop().expect("a worker says who it is");
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        said["worker"].as_str().unwrap().to_owned()
    }

    fn leads(&self) -> bool {
        self.lines(&["the lead of the control role changed"]).pop().is_some_and(|last| last.contains("\"leads\":true"))
    }
}

impl Fleet {
    /// None if there is no Redis to have.
    pub(super) async fn start(slots: u32) -> Option<Self> {
        let redis = testing::Server::start()?;
        let dir = tempfile::tempdir().unwrap();
        let none = Vec::new;
        let mut fleet =
            Self { apis: none(), workers: none(), controls: none(), hooks: none(), started: 0, slots, redis, dir };
        for _ in 0..2 {
            let (api, control) = (fleet.new_process("api"), fleet.new_process("control"));
            fleet.apis.push(api);
            fleet.controls.push(control);
        }
        fleet.hooks = vec![fleet.new_process("hooks")];
        for _ in 0..3 {
            let worker = fleet.new_process("worker");
            fleet.workers.push(worker);
        }
        until("one control leads", || fleet.controls.iter().any(Process::leads)).await;
        Some(fleet)
    }

    /// Of its workers.
    pub(super) async fn assert_called_simulated(&self) {
        let answer = self.apis[0].server.get("/api/v1/workers").await;
        let workers = answer["workers"].as_array().unwrap();
        assert!(workers.len() == 3 && workers.iter().all(|worker| worker["simulated"] == true), "{answer}");
    }

    fn new_process(&mut self, role: &str) -> Process {
        self.started += 1;
        let settings = self.redis.settings();
        let backend = |table| format!("[{table}]\nkind = \"redis\"\nurl = \"{}\"\n", settings.url);
        let config = format!(
            "lease = \"{}s\"\nsimulated = true\nmax_concurrent_bots = {}\n[control]\nlead = \"{}s\"\n{}{}[storage]\nurl = \"file://{}\"\n",
            LEASE.as_secs(),
            self.slots,
            LEAD.as_secs(),
            backend("queue"),
            backend("store"),
            self.dir.path().join("media").display()
        );
        Process::start(role, &format!("{role}-{}", self.started), self.dir.path(), &config)
    }

    /// Lets it happen, and sees what has to come of it; answers that in words. None if there was nothing to suffer it.
    pub(super) async fn suffer(&mut self, incident: Incident, random: &mut Random) -> Option<String> {
        Some(match incident {
            Incident::WorkerKilled => return self.kill_worker(random).await,
            Incident::WorkerFrozen => return self.freeze_worker(random).await,
            Incident::ControlKilled => self.kill_control().await,
            Incident::HooksKilled => {
                self.hooks[0].server.kill_9();
                self.hooks = vec![self.new_process("hooks")];
                "hooks killed and started again".to_owned()
            }
            Incident::RedisRestarted => {
                self.redis.restart();
                "redis killed and started again".to_owned()
            }
        })
    }

    /// One with several bots; none at the end of a burst, when there is none any more.
    fn busy_worker(&self, random: &mut Random) -> Option<usize> {
        let first = random.below(self.workers.len());
        let all = (0..self.workers.len()).map(|step| (first + step) % self.workers.len());
        all.into_iter().find(|at| self.workers[*at].server.bot_processes().len() > BUSY)
    }

    /// Its bots find their input closed and leave; nobody has to end them.
    async fn kill_worker(&mut self, random: &mut Random) -> Option<String> {
        let at = self.busy_worker(random)?;
        let bots = self.workers[at].server.bot_processes();
        self.workers[at].server.kill_9();
        self.workers[at] = self.new_process("worker");
        until("the bots of a killed worker to end", || bots.iter().all(|pid| !is_bot(*pid))).await;
        Some(format!("worker killed with {} bots, which left by themselves; another started", bots.len()))
    }

    /// Its bots leave by themselves, others take over, and what it still has to say is refused.
    async fn freeze_worker(&mut self, random: &mut Random) -> Option<String> {
        let at = self.busy_worker(random)?;
        let worker = &self.workers[at];
        let id = worker.worker_id();
        let bots = worker.server.bot_processes();
        worker.server.signal(Signal::STOP);
        let frozen = Instant::now();
        until("the bots of a frozen worker to leave", || worker.server.bot_processes().is_empty()).await;
        let gone = frozen.elapsed();
        until("the leases of a frozen worker to run out", || {
            self.controls.iter().any(|control| control.logged(&["lease ran out", &id]))
        })
        .await;
        worker.server.signal(Signal::CONT);
        until("the words of a thawed worker to be refused", || {
            worker.logged(&["fencing token", "refused"]) || worker.logged(&["the session is held by somebody else"])
        })
        .await;
        let gone = gone.as_secs_f64();
        let bots = bots.len();
        Some(format!("worker frozen with {bots} bots, which were gone after {gone:.1} s; continued, and refused"))
    }

    async fn kill_control(&mut self) -> String {
        let at = self.controls.iter().position(Process::leads).expect("somebody leads");
        let mut dead = self.controls.remove(at);
        dead.server.kill_9();
        let killed = Instant::now();
        until("another control to lead", || self.controls[0].leads()).await;
        let took = killed.elapsed();
        assert!(took <= 2 * LEAD, "the next control leads after {took:?}");
        let standby = self.new_process("control");
        self.controls.push(standby);
        format!("control killed; another leads after {:.1} s", took.as_secs_f64())
    }
}

fn is_bot(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("run-bot"))
}

/// Looks again and again until it holds.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        ticks.tick().await;
    }
}
