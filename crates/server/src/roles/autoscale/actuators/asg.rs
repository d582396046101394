//! A group of Amazon EC2 Auto Scaling.
//!
//! Its own bounds hold: the policy is told of them, and decides within. The group's cooldown does not: the policy has its own.
//! Which instances end is the group's choice among those without a bot; workers protect theirs while they have any. Beyond these,
//! the scaler has workers drain, which then give their instances back.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use muster_aws::{describe, trouble};

use super::{Actuator, Count, Fewer};
use crate::config::AsgConfig;
use crate::roles::autoscale::look::Look;

/// Of one request.
const ANSWER: Duration = Duration::from_secs(5);

/// Sets the desired capacity of a group.
#[derive(Debug)]
pub struct AsgActuator {
    client: Client,
    group: String,
}

impl AsgActuator {
    /// Connects to nothing yet.
    pub async fn new(config: AsgConfig) -> Self {
        Self { client: Client::new(&muster_aws::brief(&config.aws.load(ANSWER).await)), group: config.group }
    }
}

#[async_trait]
impl Actuator for AsgActuator {
    async fn count(&self, _: &Look) -> anyhow::Result<Option<Count>> {
        let group = &self.group;
        let asked = self.client.describe_auto_scaling_groups().auto_scaling_group_names(group).send().await;
        let answer = asked.map_err(|error| {
            anyhow::anyhow!(
                "autoscaling:DescribeAutoScalingGroups of {group}: {} ({:?})",
                describe(&error),
                trouble(&error)
            )
        })?;
        let found = answer.auto_scaling_groups().first();
        let found = found.with_context(|| format!("autoscale.asg.group: there is no group {group}"))?;
        let number = |number: Option<i32>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
        let (min, max) = (number(found.min_size()), number(found.max_size()));
        Ok(Some(Count { workers: number(found.desired_capacity()), min, max, others: true }))
    }

    async fn set(&self, there: Option<Count>, workers: u32, _: &Look) -> anyhow::Result<()> {
        let workers = there.map_or(workers, |there| workers.clamp(there.min, there.max.max(there.min)));
        let capacity = i32::try_from(workers).unwrap_or(i32::MAX);
        let request = self.client.set_desired_capacity().auto_scaling_group_name(&self.group);
        let asked = request.desired_capacity(capacity).honor_cooldown(false).send().await;
        asked.map(drop).map_err(|error| {
            anyhow::anyhow!(
                "autoscaling:SetDesiredCapacity of {}: {} ({:?})",
                self.group,
                describe(&error),
                trouble(&error)
            )
        })
    }

    fn fewer(&self) -> Fewer {
        Fewer::IdleFirst
    }

    fn counts_draining(&self) -> bool {
        true
    }

    async fn end(&self) {}
}
