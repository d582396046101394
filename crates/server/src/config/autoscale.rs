//! `[autoscale]`: how many workers there are to be, and who makes it so.

mod aws;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "aws")]
use muster_aws::AwsSettings;
use muster_fleet::scaling::{Policy, Preset, Rule, Thresholds};

use super::reader::Reader;

/// `[autoscale]`
#[derive(Clone, Debug)]
pub struct AutoscaleConfig {
    /// Who makes it so.
    pub actuator: ActuatorConfig,
    /// How many there are to be.
    pub policy: Policy,
    /// How often that is decided.
    pub every: Duration,
    /// Where KEDA is answered.
    pub keda_listen: Option<SocketAddr>,
    /// Where figures of the fleet are published for alarms.
    #[cfg(feature = "aws")]
    pub cloudwatch: Option<CloudwatchConfig>,
}

/// Who starts and ends workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActuatorConfig {
    /// Nobody here: somebody else may read what is wanted.
    None,
    /// Nobody, and it is said what would be done.
    DryRun,
    /// The process that leads, as processes on its machine.
    Process(ProcessConfig),
    /// A service of Amazon ECS.
    #[cfg(feature = "aws")]
    Ecs(EcsConfig),
    /// A group of Amazon EC2 Auto Scaling.
    #[cfg(feature = "aws")]
    Asg(AsgConfig),
}

impl ActuatorConfig {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DryRun => "dry-run",
            Self::Process(_) => "process",
            #[cfg(feature = "aws")]
            Self::Ecs(_) => "ecs",
            #[cfg(feature = "aws")]
            Self::Asg(_) => "asg",
        }
    }
}

/// `[autoscale.process]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Their configuration file; that of this process if absent.
    pub config: Option<PathBuf>,
    /// Further arguments of `muster serve worker`.
    pub args: Vec<String>,
    /// They are told to drain when this process ends.
    pub drain_at_end: bool,
}

/// `[autoscale.ecs]`
#[cfg(feature = "aws")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsConfig {
    /// Where.
    pub aws: AwsSettings,
    /// The cluster.
    pub cluster: String,
    /// The service of workers.
    pub service: String,
}

/// `[autoscale.asg]`
#[cfg(feature = "aws")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsgConfig {
    /// Where.
    pub aws: AwsSettings,
    /// The group of workers.
    pub group: String,
}

/// Where figures go.
#[cfg(feature = "aws")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudwatchConfig {
    /// Where.
    pub aws: AwsSettings,
    /// What they are under.
    pub namespace: String,
}

impl AutoscaleConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let kind = r.choice(
            "autoscale.actuator",
            &["none", "dry-run", "process", "ecs", "asg"],
            "Who starts and ends workers: `none` (KEDA or somebody else may ask what is wanted), `dry-run` (it is logged what would be done), `process` (the `control` process that leads, on its machine), `ecs` (a service of Amazon ECS), `asg` (an Auto Scaling group of Amazon EC2).",
        );
        let policy = policy(r);
        let every = r.duration(
            "autoscale.every",
            "10s",
            "500ms",
            "5m",
            "How often it is decided how many workers there are to be.",
        );
        let process = process(r);
        only_for(
            r,
            kind,
            "process",
            &["autoscale.process.config", "autoscale.process.args", "autoscale.process.drain_at_end"],
        );
        let keda_listen = keda_listen(r);
        let amazon = aws::read(r, kind);
        let actuator = match kind {
            "dry-run" => ActuatorConfig::DryRun,
            "process" => ActuatorConfig::Process(process),
            "ecs" | "asg" => amazon.actuator(kind),
            _ => ActuatorConfig::None,
        };
        Self {
            actuator,
            policy,
            every,
            keda_listen,
            #[cfg(feature = "aws")]
            cloudwatch: amazon.cloudwatch(),
        }
    }

    pub(super) fn cross_check(&self, r: &mut Reader<'_>, shared: bool) {
        let Policy { thresholds: limits, min_workers, max_workers, .. } = &self.policy;
        let pairs = [
            ("queue", limits.queue_in, limits.queue_out),
            ("cpu", limits.cpu_in.into(), limits.cpu_out.into()),
            ("memory", limits.memory_in.into(), limits.memory_out.into()),
            ("active", limits.active_in.into(), limits.active_out.into()),
        ];
        for (name, below, above) in pairs {
            if below >= above {
                r.problem(format!(
                    "autoscale.{name}_in: must be below autoscale.{name}_out, or workers come and go for ever ({below} is not below {above})"
                ));
            }
        }
        if min_workers > max_workers {
            r.problem(format!(
                "autoscale.min_workers: must not be above autoscale.max_workers ({min_workers} is above {max_workers})"
            ));
        }
        if matches!(self.actuator, ActuatorConfig::Process(_)) && !shared {
            r.problem(
                "autoscale.actuator: \"process\" starts further processes, which need a store and a queue that can be shared: set store.kind and queue.kind",
            );
        }
    }
}

/// The guide's table, row by row, and what goes beyond it.
fn policy(r: &mut Reader<'_>) -> Policy {
    let kind = r.choice(
        "autoscale.policy",
        &["thresholds", "need", "predictive"],
        "`thresholds`: one of the thresholds below is enough for more workers, and fewer takes all of them. `need`: as many as bots that run, wait or are due need, so that `active_out` percent of the slots and all but the idle ones are enough; those that were needed in the last ten to twenty cooldowns stay. `predictive`: the same, with what was found to be best where it is not given: `active_out` 85, and half a worker's slots idle. For fleets that know their schedule; docs/capacity.md compares them.",
    );
    let queue_out = r.integer(
        "autoscale.queue_out",
        10,
        0,
        100_000,
        "Queue depth, scale out: more workers when more bots than this wait.",
    );
    let queue_in =
        r.integer("autoscale.queue_in", 2, 0, 100_000, "Queue depth, scale in: fewer only when fewer than this wait.");
    let mut percent = |key, default, doc| u8::try_from(r.integer(key, default, 0, 100, doc)).unwrap_or(100);
    let cpu_out = percent(
        "autoscale.cpu_out",
        70,
        "CPU utilization, scale out: more workers above this share of their cores, in percent.",
    );
    let cpu_in = percent(
        "autoscale.cpu_in",
        30,
        "CPU utilization, scale in: fewer only below this. Never by this alone: a bot in a silent call needs no cores, and has its memory and its slot.",
    );
    let memory_out = percent(
        "autoscale.memory_out",
        75,
        "Memory utilization, scale out: more workers above this share of their memory, in percent.",
    );
    let memory_in = percent("autoscale.memory_in", 40, "Memory utilization, scale in: fewer only below this.");
    let active_out = percent(
        "autoscale.active_out",
        80,
        "Active bots per host, scale out: more workers above this share of their slots, in percent: 8 of 10.",
    );
    let active_in =
        percent("autoscale.active_in", 30, "Active bots per host, scale in: fewer only below this: 3 of 10.");
    let thresholds = Thresholds {
        queue_out: queue_out.into(),
        queue_in: queue_in.into(),
        cpu_out,
        cpu_in,
        memory_out,
        memory_in,
        active_out,
        active_in,
    };
    let own = Policy {
        rule: if kind == "need" { Rule::Need } else { Rule::Thresholds },
        thresholds,
        cooldown: r.duration("autoscale.cooldown", "3m", "0s", "24h", "Cooldown, scale in: fewer workers only so long after the last change, up or down."),
        min_workers: r.integer("autoscale.min_workers", 1, 0, 10_000, "Never fewer workers than this."),
        max_workers: r.integer("autoscale.max_workers", 10, 1, 10_000, "Never more workers than this."),
        idle_slots: r.integer("autoscale.idle_slots", 0, 0, 100_000, "Slots that are to be free beyond what is needed, so that most bots need not wait for a worker to start."),
        prescale: r.bool_opt("autoscale.prescale", "Workers are there when scheduled bots set out, and are asked for earlier by as long as they take to start. Default: true.").unwrap_or(true),
        slots: r.integer("autoscale.slots_per_worker", 8, 1, 1_000, "Bots that one worker takes, before any worker has said so."),
    };
    if kind == "predictive" { predictive(r, own) } else { own }
}

/// The preset, as far as nothing else is given.
fn predictive(r: &Reader<'_>, own: Policy) -> Policy {
    let preset = Preset::Predictive.policy(own);
    let given = |key| r.is_given(key);
    let active_out =
        if given("autoscale.active_out") { own.thresholds.active_out } else { preset.thresholds.active_out };
    Policy {
        rule: preset.rule,
        thresholds: Thresholds { active_out, ..own.thresholds },
        idle_slots: if given("autoscale.idle_slots") { own.idle_slots } else { preset.idle_slots },
        ..own
    }
}

fn process(r: &mut Reader<'_>) -> ProcessConfig {
    ProcessConfig {
        config: r.path_opt("autoscale.process.config", "For `process`: the configuration file of the workers. Default: that of this process. Each has a directory of its own below `data_dir`."),
        args: r.list("autoscale.process.args", "For `process`: further arguments of `muster serve worker`."),
        drain_at_end: r.bool_opt("autoscale.process.drain_at_end", "For `process`: when this process ends, its workers are told to take no more bots and to end after their calls. Default: false, they go on without it.").unwrap_or(false),
    }
}

fn keda_listen(r: &mut Reader<'_>) -> Option<SocketAddr> {
    let text = r.text_opt("autoscale.keda_listen", "Address and port where `control` answers KEDA's external scaler over gRPC, such as 0.0.0.0:9090. Whoever reaches it sees figures of the fleet and changes nothing. Default: it does not.")?;
    let address = text.parse().ok();
    if address.is_none() {
        r.problem(format!("autoscale.keda_listen: expected an address and port such as 0.0.0.0:9090, got \"{text}\""));
    }
    address
}

/// Another actuator may have none of these.
fn only_for(r: &mut Reader<'_>, kind: &str, own: &str, keys: &[&str]) {
    if kind == own {
        return;
    }
    for key in keys.iter().filter(|key| r.is_given(key)).collect::<Vec<_>>() {
        r.problem(format!("{key}: is for autoscale.actuator = \"{own}\", which is \"{kind}\""));
    }
}

#[cfg(test)]
mod tests;
