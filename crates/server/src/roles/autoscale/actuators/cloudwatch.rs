//! Figures of the fleet in Amazon CloudWatch, for alarms and policies of its own.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};
use muster_aws::{describe, trouble};

use super::Publisher;
use crate::config::CloudwatchConfig;
use crate::roles::autoscale::status::Status;

/// Of one request.
const ANSWER: Duration = Duration::from_secs(5);

/// Publishes under one namespace, without dimensions.
#[derive(Debug)]
pub struct Cloudwatch {
    client: Client,
    namespace: String,
}

impl Cloudwatch {
    /// Connects to nothing yet.
    pub async fn new(config: CloudwatchConfig) -> Self {
        Self { client: Client::new(&muster_aws::brief(&config.aws.load(ANSWER).await)), namespace: config.namespace }
    }
}

/// One for each row of the guide's table, and what else a policy may go by. What is not known is left out.
fn figures(status: &Status) -> Vec<(&'static str, u64, StandardUnit)> {
    let known = [
        ("QueueDepth", Some(status.waiting), StandardUnit::Count),
        ("OldestWait", status.oldest_wait_seconds, StandardUnit::Seconds),
        ("ActiveBotsPercent", Some(status.active_percent), StandardUnit::Percent),
        ("CPUUtilization", status.cpu_percent, StandardUnit::Percent),
        ("MemoryUtilization", status.memory_percent, StandardUnit::Percent),
        ("RunningBots", Some(status.running), StandardUnit::Count),
        ("FreeSlots", Some(status.free_slots), StandardUnit::Count),
        ("DueSoon", Some(status.due_soon), StandardUnit::Count),
        ("Workers", Some(status.workers), StandardUnit::Count),
        ("DesiredWorkers", Some(status.desired_workers), StandardUnit::Count),
    ];
    known.into_iter().filter_map(|(name, value, unit)| Some((name, value?, unit))).collect()
}

#[async_trait]
impl Publisher for Cloudwatch {
    async fn publish(&self, status: &Status) -> anyhow::Result<()> {
        let mut request = self.client.put_metric_data().namespace(&self.namespace);
        for (name, value, unit) in figures(status) {
            #[expect(clippy::cast_precision_loss, reason = "a count of bots or workers, or a percentage")]
            let value = value as f64;
            request = request.metric_data(MetricDatum::builder().metric_name(name).value(value).unit(unit).build());
        }
        request.send().await.map(drop).map_err(|error| {
            anyhow::anyhow!(
                "cloudwatch:PutMetricData in {}: {} ({:?})",
                self.namespace,
                describe(&error),
                trouble(&error)
            )
        })
    }
}
