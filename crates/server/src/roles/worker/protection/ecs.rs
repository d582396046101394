//! Amazon ECS: the agent beside the task keeps its service from stopping it, and a task of an old deployment drains.

#[cfg(feature = "aws")]
mod deployment;

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::{Protection, client, variable};

/// How long what was told holds. Of a task that hangs it is also how long it is in the way.
const MINUTES: u64 = 60;

/// The task that this process is in.
#[derive(Debug)]
pub(super) struct Ecs {
    state: Url,
    http: reqwest::Client,
    /// None where the task cannot ask about itself.
    #[cfg(feature = "aws")]
    deployment: Option<deployment::Own>,
}

impl Ecs {
    /// None outside of ECS.
    pub(super) async fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(agent) = variable("ECS_AGENT_URI") else { return Ok(None) };
        let ecs = Self::new(&agent).context("ECS_AGENT_URI")?;
        #[cfg(feature = "aws")]
        let ecs = Self { deployment: own_deployment().await?, ..ecs };
        Ok(Some(ecs))
    }

    pub(super) fn new(agent: &str) -> anyhow::Result<Self> {
        let state = Url::parse(&format!("{}/task-protection/v1/state", agent.trim_end_matches('/')))?;
        Ok(Self {
            http: client(&state)?,
            state,
            #[cfg(feature = "aws")]
            deployment: None,
        })
    }
}

#[async_trait]
impl Protection for Ecs {
    fn name(&self) -> &'static str {
        "ecs"
    }

    fn lasts(&self) -> Option<Duration> {
        Some(Duration::from_secs(MINUTES * 60))
    }

    fn replaces(&self) -> bool {
        true
    }

    #[cfg(feature = "aws")]
    async fn recalled(&self) {
        match &self.deployment {
            Some(own) => own.replaced().await,
            None => std::future::pending().await,
        }
    }

    async fn tell(&self, bots: u32) -> anyhow::Result<()> {
        let body = match bots {
            0 => json!({"ProtectionEnabled": false}),
            _ => json!({"ProtectionEnabled": true, "ExpiresInMinutes": MINUTES}),
        };
        let response = self.http.put(self.state.clone()).json(&body).send().await?;
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        // A refusal may come with any status.
        let refusal = ["error", "failure"].iter().find_map(|key| answer.get(*key).filter(|value| !value.is_null()));
        match refusal {
            Some(refusal) => anyhow::bail!("the agent refused: {refusal}"),
            None => anyhow::ensure!(status.is_success(), "the agent answered {status}"),
        }
        Ok(())
    }
}

#[cfg(feature = "aws")]
async fn own_deployment() -> anyhow::Result<Option<deployment::Own>> {
    const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";
    let Some(metadata) = variable(METADATA) else { return Ok(None) };
    let config = muster_aws::AwsSettings::default().load(super::CALL).await;
    deployment::Own::new(&metadata, aws_sdk_ecs::Client::new(&config)).context(METADATA).map(Some)
}
