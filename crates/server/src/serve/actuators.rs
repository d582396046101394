//! Who starts and ends workers, as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::config::{ActuatorConfig, Config, ProcessConfig};
use crate::roles::Backend;
use crate::roles::autoscale::actuators::process::ProcessSetup;
use crate::roles::autoscale::actuators::{Actuator, Nobody, ProcessActuator, Publisher};
#[cfg(feature = "aws")]
use crate::roles::autoscale::actuators::{AsgActuator, Cloudwatch, EcsActuator};

/// What workers of `actuator = "process"` have if nothing else is said.
const EXIT_WHEN_IDLE: Duration = Duration::from_secs(300);

pub(super) async fn actuator(config: &Config, backend: &Backend) -> anyhow::Result<Box<dyn Actuator>> {
    Ok(match &config.autoscale.actuator {
        ActuatorConfig::None => Box::new(Nobody { tell: false }),
        ActuatorConfig::DryRun => Box::new(Nobody { tell: true }),
        ActuatorConfig::Process(process) => Box::new(ProcessActuator::new(setup(config, process, backend)?)),
        #[cfg(feature = "aws")]
        ActuatorConfig::Ecs(ecs) => Box::new(EcsActuator::new(ecs.clone()).await),
        #[cfg(feature = "aws")]
        ActuatorConfig::Asg(asg) => Box::new(AsgActuator::new(asg.clone()).await),
    })
}

#[cfg(feature = "aws")]
pub(super) async fn publisher(config: &Config) -> Option<Box<dyn Publisher>> {
    let cloudwatch = config.autoscale.cloudwatch.clone()?;
    Some(Box::new(Cloudwatch::new(cloudwatch).await))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with Amazon's SDK it waits")]
pub(super) async fn publisher(_: &Config) -> Option<Box<dyn Publisher>> {
    None
}

fn setup(config: &Config, process: &ProcessConfig, backend: &Backend) -> anyhow::Result<ProcessSetup> {
    let file = process.config.clone().or_else(|| config.file.clone());
    Ok(ProcessSetup {
        program: std::env::current_exe().context("the path of this program")?,
        config: ProcessConfig { config: file, ..process.clone() },
        exit_when_idle: config.worker.exit_when_idle.unwrap_or(EXIT_WHEN_IDLE),
        workers_dir: config.data_dir.join("workers"),
        store: Arc::clone(&backend.store),
    })
}
