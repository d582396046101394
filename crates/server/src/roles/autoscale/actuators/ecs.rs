//! A service of Amazon ECS.
//!
//! It keeps as many tasks as it is asked for. Which ones end when there are to be fewer is its own choice among those without a
//! bot; workers protect their tasks while they have any. Beyond these, the scaler has workers drain, whose tasks then end.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use aws_sdk_ecs::Client;
use muster_aws::{describe, trouble};

use super::{Actuator, Count, Fewer};
use crate::config::EcsConfig;
use crate::roles::autoscale::look::Look;

/// Of one request.
const ANSWER: Duration = Duration::from_secs(5);

/// Sets the desired count of a service.
#[derive(Debug)]
pub struct EcsActuator {
    client: Client,
    config: EcsConfig,
}

impl EcsActuator {
    /// Connects to nothing yet.
    pub async fn new(config: EcsConfig) -> Self {
        Self { client: Client::new(&muster_aws::brief(&config.aws.load(ANSWER).await)), config }
    }
}

#[async_trait]
impl Actuator for EcsActuator {
    async fn count(&self, _: &Look) -> anyhow::Result<Option<Count>> {
        let EcsConfig { cluster, service, .. } = &self.config;
        let asked = self.client.describe_services().cluster(cluster).services(service).send().await;
        let answer = asked.map_err(|error| {
            anyhow::anyhow!(
                "ecs:DescribeServices of {service} in {cluster}: {} ({:?})",
                describe(&error),
                trouble(&error)
            )
        })?;
        let found = answer.services().iter().find(|found| found.status() == Some("ACTIVE"));
        let found = found.with_context(|| {
            format!("autoscale.ecs.service: there is no active service {service} in the cluster {cluster}")
        })?;
        let workers = u32::try_from(found.desired_count()).unwrap_or(0);
        Ok(Some(Count { workers, min: 0, max: u32::MAX, others: true }))
    }

    async fn set(&self, _: Option<Count>, workers: u32, _: &Look) -> anyhow::Result<()> {
        let EcsConfig { cluster, service, .. } = &self.config;
        let count = i32::try_from(workers).unwrap_or(i32::MAX);
        let asked = self.client.update_service().cluster(cluster).service(service).desired_count(count).send().await;
        asked.map(drop).map_err(|error| {
            anyhow::anyhow!("ecs:UpdateService of {service} in {cluster}: {} ({:?})", describe(&error), trouble(&error))
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
