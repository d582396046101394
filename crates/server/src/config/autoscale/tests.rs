use crate::config::{ActuatorConfig, Config, Sources};
use muster_fleet::scaling::{Policy, Preset, Rule};

use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some(("/etc/muster.toml".into(), text.to_owned())), ..Sources::default() }
}

/// Every threshold of the guide's table has a key of its own, with the guide's value as its default, in the file that is the
/// reference, and says which row it is.
#[test]
fn every_row_of_the_guides_table_is_a_named_default() {
    let reference = include_str!("../../../../../config.default.toml");
    let rows = [
        ("queue_out", "10", "Queue depth, scale out"),
        ("queue_in", "2", "Queue depth, scale in"),
        ("cpu_out", "70", "CPU utilization, scale out"),
        ("cpu_in", "30", "CPU utilization, scale in"),
        ("memory_out", "75", "Memory utilization, scale out"),
        ("memory_in", "40", "Memory utilization, scale in"),
        ("active_out", "80", "Active bots per host, scale out"),
        ("active_in", "30", "Active bots per host, scale in"),
        ("cooldown", "\"3m\"", "Cooldown, scale in"),
    ];
    let table = reference.split("\n[autoscale]\n").nth(1).expect("the file has the table");
    let table: Vec<&str> = table.split("\n[").next().unwrap().lines().collect();
    for (key, value, row) in rows {
        let line = format!("# {key} = {value}");
        let place = table.iter().position(|other| **other == line);
        let place = place.unwrap_or_else(|| panic!("`{line}` is not in [autoscale]"));
        let words: Vec<&str> = table[..place].iter().rev().take_while(|line| line.starts_with("# ")).copied().collect();
        assert!(words.iter().any(|line| line.contains(row)), "{key} does not say that it is `{row}`: {words:?}");
    }
}

#[test]
fn the_defaults_are_the_guides() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.autoscale.policy, Policy::default());
    assert_eq!((&config.autoscale.actuator, config.autoscale.keda_listen), (&ActuatorConfig::None, None));
}

#[test]
fn what_is_given_counts() {
    let text = "[autoscale]\npolicy = \"need\"\nqueue_out = 20\nmin_workers = 0\nmax_workers = 50\nprescale = false\nkeda_listen = \"0.0.0.0:9090\"\nactuator = \"dry-run\"";
    let config = Config::load(&file(text)).unwrap().autoscale;
    let want = Policy { rule: Rule::Need, min_workers: 0, max_workers: 50, prescale: false, ..Policy::default() };
    let thresholds = Thresholds { queue_out: 20, ..Thresholds::default() };
    assert_eq!(config.policy, Policy { thresholds, ..want });
    assert_eq!(config.keda_listen.unwrap().port(), 9090);
    assert_eq!(config.actuator, ActuatorConfig::DryRun);
}

#[test]
fn predictive_is_the_preset_where_nothing_else_is_given() {
    let policy = |text: &str| {
        let text = format!("[autoscale]\npolicy = \"predictive\"\nslots_per_worker = 16\n{text}");
        Config::load(&file(&text)).unwrap().autoscale.policy
    };
    let own = Policy { slots: 16, ..Policy::default() };
    assert_eq!(policy(""), Preset::Predictive.policy(own));
    let given = policy("active_out = 70\nidle_slots = 0\nqueue_out = 20\nprescale = false");
    let thresholds = Thresholds { active_out: 70, queue_out: 20, ..Thresholds::default() };
    assert_eq!(given, Policy { rule: Rule::Need, thresholds, idle_slots: 0, prescale: false, ..own });
}

#[test]
fn mistakes_are_told() {
    let table = [
        ("actuator = \"moon\"", "autoscale.actuator: expected one of \"none\", \"dry-run\""),
        ("queue_in = 10", "autoscale.queue_in: must be below autoscale.queue_out"),
        ("cpu_out = 20", "autoscale.cpu_in: must be below autoscale.cpu_out"),
        ("memory_in = 80", "autoscale.memory_in: must be below"),
        ("active_out = 101", "autoscale.active_out: expected an integer from 0 to 100"),
        ("active_in = 90", "autoscale.active_in: must be below"),
        ("min_workers = 20", "autoscale.min_workers: must not be above autoscale.max_workers (20 is above 10)"),
        ("actuator = \"process\"", "autoscale.actuator: \"process\" starts further processes"),
        ("keda_listen = \"9090\"", "autoscale.keda_listen: expected an address and port"),
        ("process.args = [\"-v\"]", "autoscale.process.args: is for autoscale.actuator = \"process\""),
        ("ecs.service = \"w\"", "autoscale.ecs.service: is for autoscale.actuator = \"ecs\", which is \"none\""),
        ("actuator = \"ecs\"", "autoscale.ecs.service: is needed when autoscale.actuator is \"ecs\""),
        ("actuator = \"asg\"", "autoscale.asg.group: is needed when autoscale.actuator is \"asg\""),
        ("region = \"x\"", "autoscale.region: is for the actuators"),
    ];
    for (text, want) in table {
        let error = Config::load(&file(&format!("[autoscale]\n{text}"))).unwrap_err();
        assert!(error.problems.iter().any(|problem| problem.starts_with(want)), "{text}: {error}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn amazon_is_configured_in_one_place() {
    let text = "[autoscale]\nactuator = \"ecs\"\nregion = \"eu-central-1\"\ncloudwatch_namespace = \"Muster\"\necs.cluster = \"c\"\necs.service = \"w\"";
    let config = Config::load(&file(text)).unwrap().autoscale;
    let aws = muster_aws::AwsSettings { region: Some("eu-central-1".into()), endpoint_url: None };
    let ecs = EcsConfig { aws: aws.clone(), cluster: "c".into(), service: "w".into() };
    assert_eq!(config.actuator, ActuatorConfig::Ecs(ecs));
    assert_eq!(config.cloudwatch, Some(CloudwatchConfig { aws, namespace: "Muster".into() }));
}
