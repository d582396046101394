//! Whether the deployment that a task is of has been replaced.
//!
//! A service starts the tasks of a new deployment and stops those of the old one, but for protected ones; these it leaves alone,
//! and nothing tells them that they are to go. One that took bots as before would stay for as long as there are any.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Deployment;
use muster_aws::describe;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::MissedTickBehavior;
use url::Url;

/// Between two looks: what one account may ask is bounded, however many workers it has.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Looks in a row by which the new deployment has all its tasks: one whose tasks end as they start is not worth draining for.
const LOOKS: u32 = 2;

/// The deployment of the task that this process is in.
#[derive(Debug)]
pub(super) struct Own {
    /// Where the task learns about itself.
    metadata: Url,
    http: reqwest::Client,
    client: Client,
    /// Asked once; none if the task is of no service.
    place: OnceCell<Option<Place>>,
}

#[derive(Debug)]
struct Place {
    cluster: String,
    service: String,
    deployment: String,
}

/// What the agent says of a task.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    cluster: String,
    #[serde(rename = "TaskARN")]
    arn: String,
}

impl Own {
    pub(super) fn new(metadata: &str, client: Client) -> anyhow::Result<Self> {
        let metadata = Url::parse(&format!("{}/task", metadata.trim_end_matches('/')))?;
        Ok(Self { http: super::client(&metadata)?, metadata, client, place: OnceCell::new() })
    }

    /// Returns when another deployment has taken over. Cancel safe.
    pub(super) async fn replaced(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut failed) = (0, false);
        while seen < LOOKS {
            ticks.tick().await;
            match self.is_replaced().await {
                Ok(replaced) => {
                    seen = if replaced { seen + 1 } else { 0 };
                    failed = false;
                }
                Err(error) => {
                    // Once: without the right to ask it is like this for ever.
                    if !std::mem::replace(&mut failed, true) {
                        let error = format!("{error:#}");
                        tracing::warn!(error, "cannot see whether a new deployment replaces this worker; trying on");
                    }
                }
            }
        }
    }

    async fn is_replaced(&self) -> anyhow::Result<bool> {
        let Some(place) = self.place().await? else { return Ok(false) };
        let asked = self.client.describe_services().cluster(&place.cluster).services(&place.service).send().await;
        let answer = asked.map_err(|error| anyhow::anyhow!("ecs:DescribeServices: {}", describe(&error)))?;
        Ok(answer.services().iter().any(|service| has_successor(service.deployments(), &place.deployment)))
    }

    async fn place(&self) -> anyhow::Result<Option<&Place>> {
        let place = self.place.get_or_try_init(|| async {
            let answer = self.http.get(self.metadata.clone()).send().await?.error_for_status()?;
            let Task { cluster, arn } = answer.json().await.context("what the agent says of the task")?;
            let asked = self.client.describe_tasks().cluster(&cluster).tasks(&arn).send().await;
            let answer = asked.map_err(|error| anyhow::anyhow!("ecs:DescribeTasks: {}", describe(&error)))?;
            let task = answer.tasks().first().with_context(|| format!("ecs:DescribeTasks does not know {arn}"))?;
            let service = task.group().and_then(|group| group.strip_prefix("service:"));
            let place = service.zip(task.started_by()).map(|(service, deployment)| Place {
                cluster,
                service: service.to_owned(),
                deployment: deployment.to_owned(),
            });
            if place.is_none() {
                tracing::info!("this task is of no service");
            }
            anyhow::Ok(place)
        });
        Ok(place.await?.as_ref())
    }
}

/// True if the primary of a service's deployments is another one, and has as many tasks as it is to have.
fn has_successor(all: &[Deployment], own: &str) -> bool {
    let primary = all.iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    primary.is_some_and(|primary| primary.id() != Some(own) && primary.running_count() >= primary.desired_count())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use muster_aws::testing::Script;
    use serde_json::{Value, json};

    use super::super::super::fake::Fake;
    use super::*;

    const ARN: &str = "arn:aws:ecs:eu-central-1:111122223333:task/muster/0123";

    async fn agent() -> Fake {
        let task = json!({"Cluster": "muster", "TaskARN": ARN, "Family": "muster-worker", "Revision": "7"});
        Fake::start(move |_| (StatusCode::OK, task.to_string())).await
    }

    fn own(agent: &Fake, service: &Script) -> Own {
        Own::new(&format!("{}v4/container", agent.url), Client::new(&service.config())).unwrap()
    }

    fn task(of: &Value) -> String {
        json!({"tasks": [of]}).to_string()
    }

    /// A service with the deployment `ecs-svc/1` of old, and `ecs-svc/2` that has so many of its three tasks.
    fn deployments(running: u32) -> String {
        let old = json!({"id": "ecs-svc/1", "status": "ACTIVE", "desiredCount": 0, "runningCount": 2});
        let new = json!({"id": "ecs-svc/2", "status": "PRIMARY", "desiredCount": 3, "runningCount": running});
        json!({"services": [{"deployments": [new, old]}]}).to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_of_an_old_deployment_is_replaced_once_all_of_the_new_one_are_there_to_stay() {
        let agent = agent().await;
        let of_service = task(&json!({"group": "service:worker", "startedBy": "ecs-svc/1"}));
        let (starting, there) = (deployments(2), deployments(3));
        let denied = json!({"__type": "AccessDeniedException", "message": "no"}).to_string();
        let answers = [(400, &denied), (200, &of_service), (200, &starting), (200, &there), (200, &starting)];
        let answers = answers.into_iter().chain([(200, &there), (200, &there)]);
        let service = Script::new(answers.map(|(status, body)| (status, body.as_str())));
        own(&agent, &service).replaced().await;
        let asked = service.asked();
        assert_eq!(asked.len(), 7, "{asked:#?}");
        let parts = [(1, ARN), (2, "worker"), (2, "muster")];
        assert!(parts.iter().all(|(number, part)| asked[*number].contains(part)), "{asked:#?}");
    }

    #[tokio::test]
    async fn one_of_the_newest_deployment_or_of_no_service_stays() {
        let agent = agent().await;
        let newest = task(&json!({"group": "service:worker", "startedBy": "ecs-svc/2"}));
        let there = deployments(3);
        let service = Script::new([(200, newest.as_str()), (200, &there)]);
        assert!(!own(&agent, &service).is_replaced().await.unwrap());
        let alone = task(&json!({"group": "family:muster-worker", "startedBy": "me"}));
        let service = Script::new([(200, alone.as_str())]);
        let own = own(&agent, &service);
        assert!(!own.is_replaced().await.unwrap() && !own.is_replaced().await.unwrap());
        assert_eq!(service.asked().len(), 1, "asked once");
    }
}
