//! EC2 Auto Scaling: an instance with bots is not scaled in, and one that is to be terminated all the same waits for its calls. One
//! whose worker was drained is given back.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::AutoScalingInstanceDetails;
use muster_aws::{AwsSettings, describe};
use tokio::sync::OnceCell;
use url::Url;

use super::{CALL, Protection, client, variable};

/// Where an instance learns about itself.
const METADATA: &str = "http://169.254.169.254/";
/// What the machine says of its maker, where there is such a service.
const VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
/// A token for the next questions, in seconds.
const TOKEN_SECONDS: &str = "300";
/// Between two questions to the instance whether it is to go.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same to its group, where the instance cannot be asked.
const ASK_EVERY: Duration = Duration::from_secs(60);
const GOING: &str = "Terminated";
/// Begins what its group says of an instance that is to go.
const GOES: &str = "Terminat";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// The worker of an instance has it.
const SEAT: &str = "muster-worker";

/// The instance that this process is on.
#[derive(Debug)]
pub(super) struct Asg {
    metadata: Metadata,
    /// As the configuration has it.
    instance: Option<String>,
    /// Says that a worker is on it; nobody connects.
    seat: Option<UnixListener>,
    /// Which one it is, and its group; none if it is in none. Asked once.
    place: OnceCell<Option<Place>>,
    client: Client,
    recalled: AtomicBool,
}

#[derive(Clone, Debug)]
struct Place {
    instance: String,
    group: String,
}

/// The instance metadata service, version 2.
#[derive(Debug)]
struct Metadata {
    url: Url,
    http: reqwest::Client,
}

impl Metadata {
    /// None if there is no such thing.
    async fn get(&self, path: &str) -> anyhow::Result<Option<String>> {
        let token = self.http.put(self.url.join("latest/api/token")?);
        let token = token.header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS).send().await?;
        let token = token.error_for_status()?.text().await?;
        let url = self.url.join("latest/meta-data/")?.join(path)?;
        let answer = self.http.get(url).header("x-aws-ec2-metadata-token", token).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.text().await?.trim().to_owned()))
    }
}

impl Asg {
    /// None outside of EC2.
    pub(super) async fn from_environment(instance: Option<&str>) -> anyhow::Result<Option<Self>> {
        let given = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let disabled = variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let vendor = std::fs::read_to_string(VENDOR).unwrap_or_default();
        if instance.is_none() && given.is_none() && (disabled || vendor.trim() != "Amazon EC2") {
            return Ok(None);
        }
        let url = Url::parse(given.as_deref().unwrap_or(METADATA)).context("AWS_EC2_METADATA_SERVICE_ENDPOINT")?;
        let config = AwsSettings::default().load(CALL).await;
        let mut asg = Self::new(url, instance.map(str::to_owned), Client::new(&config))?;
        asg.settle(SEAT).await?;
        Ok(Some(asg))
    }

    fn new(metadata: Url, instance: Option<String>, client_of_group: Client) -> anyhow::Result<Self> {
        let metadata = Metadata { http: client(&metadata)?, url: metadata };
        let (seat, place, recalled) = (None, OnceCell::new(), false.into());
        Ok(Self { metadata, instance, seat, place, client: client_of_group, recalled })
    }

    /// Takes the seat of that name, which a machine has once, for as long as this lasts.
    ///
    /// # Errors
    ///
    /// If another worker has it and the instance is in a group: what a group spares and ends are instances, so the worker whose
    /// calls are over first would have those of the other ended.
    async fn settle(&mut self, name: &str) -> anyhow::Result<()> {
        match SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name)) {
            Ok(seat) => {
                self.seat = Some(seat);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                tracing::warn!(%error, "whether another worker runs on this instance is not known");
                return Ok(());
            }
        }
        match self.place().await {
            Ok(Some(Place { instance, group })) => bail!(
                "another worker runs on this instance ({instance}), and its Auto Scaling group {group} would end the calls of \
                 both: run one, with more worker.max_concurrent_bots, or set worker.protection = \"off\" for both"
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "another worker runs on this instance: if it is in an Auto Scaling group, that may end the calls of both"
            ),
        }
        Ok(())
    }

    /// None if the instance is in no group.
    async fn place(&self) -> anyhow::Result<Option<&Place>> {
        let place = self.place.get_or_try_init(|| async {
            let instance = match &self.instance {
                Some(instance) => instance.clone(),
                None => self.metadata.get("instance-id").await?.context("the instance does not say who it is")?,
            };
            let member = self.member(&instance).await?;
            let group = member.and_then(|member| member.auto_scaling_group_name);
            if group.is_none() {
                tracing::info!(instance, "this instance is in no Auto Scaling group");
            }
            anyhow::Ok(group.map(|group| Place { instance, group }))
        });
        Ok(place.await?.as_ref())
    }

    /// The hooks that keep the instance while it is to be terminated.
    async fn hooks(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let answer = self.client.describe_lifecycle_hooks().auto_scaling_group_name(&place.group).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!(describe(&error)))?;
        let terminating =
            answer.lifecycle_hooks().iter().filter(|hook| hook.lifecycle_transition() == Some(TERMINATING));
        Ok(terminating.filter_map(|hook| hook.lifecycle_hook_name()).map(str::to_owned).collect())
    }

    /// Whether the instance's end has begun, and how long to wait until that is asked again. Where the instance does not answer,
    /// as where containers are kept from it, its group is asked.
    async fn is_going(&self) -> (bool, Duration) {
        let (is_going, again) = match self.metadata.get("autoscaling/target-lifecycle-state").await {
            Ok(state) => (Ok(state.is_some_and(|state| state == GOING)), LOOK_EVERY),
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "the instance does not say how long it may stay");
                (self.goes_by_group().await, ASK_EVERY)
            }
        };
        let is_going = is_going.unwrap_or_else(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "neither this instance nor its group says how long it may stay"
            );
            false
        });
        if is_going {
            self.recalled.store(true, Ordering::Relaxed);
        }
        (is_going, again)
    }

    async fn goes_by_group(&self) -> anyhow::Result<bool> {
        let Some(place) = self.place().await? else { return Ok(false) };
        let state = self.member(&place.instance).await?.and_then(|member| member.lifecycle_state);
        Ok(state.is_some_and(|state| state.starts_with(GOES)))
    }

    /// What its group says of an instance; none if it is in none.
    async fn member(&self, instance: &str) -> anyhow::Result<Option<AutoScalingInstanceDetails>> {
        let answer = self.client.describe_auto_scaling_instances().instance_ids(instance).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!(describe(&error)))?;
        Ok(answer.auto_scaling_instances.and_then(|members| members.into_iter().next()))
    }

    fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Protection for Asg {
    fn name(&self) -> &'static str {
        "asg"
    }

    async fn tell(&self, bots: u32) -> anyhow::Result<()> {
        let Some(place) = self.place().await? else { return Ok(()) };
        // Nothing protects it any more.
        if self.is_recalled() {
            return Ok(());
        }
        let request = self.client.set_instance_protection().instance_ids(&place.instance);
        let request = request.auto_scaling_group_name(&place.group).protected_from_scale_in(bots > 0);
        request.send().await.map_err(|error| anyhow::anyhow!(describe(&error)))?;
        Ok(())
    }

    async fn recalled(&self) {
        loop {
            let (is_going, again) = self.is_going().await;
            if is_going {
                break;
            }
            tokio::time::sleep(again).await;
        }
    }

    async fn more_time(&self) -> anyhow::Result<()> {
        let Some(place) = self.place().await? else { return Ok(()) };
        for hook in self.hooks(place).await? {
            let request = self.client.record_lifecycle_action_heartbeat().lifecycle_hook_name(hook);
            let request = request.auto_scaling_group_name(&place.group).instance_id(&place.instance);
            request.send().await.map_err(|error| anyhow::anyhow!(describe(&error)))?;
        }
        Ok(())
    }

    fn replaces(&self) -> bool {
        self.place.get().is_some_and(Option::is_some)
    }

    async fn give_back(&self) -> anyhow::Result<()> {
        let Some(place) = self.place().await? else { return Ok(()) };
        // Its group may have chosen it since its last bot was gone.
        if self.is_recalled() || self.is_going().await.0 {
            return Ok(());
        }
        // A smaller number was asked for already, or another instance is to come.
        let request = self.client.terminate_instance_in_auto_scaling_group().instance_id(&place.instance);
        let asked = request.should_decrement_desired_capacity(false).send().await;
        asked.map_err(|error| {
            anyhow::anyhow!(
                "autoscaling:TerminateInstanceInAutoScalingGroup of {}: {}",
                place.instance,
                describe(&error)
            )
        })?;
        // A hook holds it until it is let go, which it can be once its end has begun.
        if !self.hooks(place).await?.is_empty() {
            self.recalled().await;
        }
        Ok(())
    }

    async fn let_go(&self) -> anyhow::Result<()> {
        if !self.is_recalled() {
            return Ok(());
        }
        let Some(place) = self.place().await? else { return Ok(()) };
        for hook in self.hooks(place).await? {
            let request = self.client.complete_lifecycle_action().lifecycle_hook_name(hook);
            let request = request.auto_scaling_group_name(&place.group).instance_id(&place.instance);
            let request = request.lifecycle_action_result("CONTINUE");
            request.send().await.map_err(|error| anyhow::anyhow!(describe(&error)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
