//! Those who start and end workers.

#[cfg(feature = "aws")]
mod asg;
#[cfg(feature = "aws")]
mod cloudwatch;
#[cfg(feature = "aws")]
mod ecs;
pub mod process;

use std::fmt;

use async_trait::async_trait;

#[cfg(feature = "aws")]
pub use asg::AsgActuator;
#[cfg(feature = "aws")]
pub use cloudwatch::Cloudwatch;
#[cfg(feature = "aws")]
pub use ecs::EcsActuator;
pub use process::ProcessActuator;

use super::look::Look;
use super::status::Status;

/// How many workers somebody was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// Workers that it keeps or is bringing up, without those that it was told to end.
    pub workers: u32,
    /// It keeps no fewer.
    pub min: u32,
    /// It keeps no more.
    pub max: u32,
    /// Somebody else can ask it for another number.
    pub others: bool,
}

/// Who goes when fewer workers are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fewer {
    /// Nobody.
    Nobody,
    /// Workers that end once they were drained, and that nobody replaces.
    Drained,
    /// Those without a bot, which it chooses and ends; beyond these, workers that were drained: it replaces one that ended only
    /// if too few are left.
    IdleFirst,
}

/// Starts and ends workers. Called by one process at a time, most of the time: both calls are safe to repeat.
#[async_trait]
pub trait Actuator: Send + Sync + fmt::Debug {
    /// How many it was asked for; none if it does nothing itself.
    async fn count(&self, look: &Look) -> anyhow::Result<Option<Count>>;

    /// Asks for so many. Whether fewer end by that, and who, is what [`fewer`](Self::fewer) says. Called whenever there are not so many, and if it does nothing itself, once for every change.
    async fn set(&self, there: Option<Count>, workers: u32, look: &Look) -> anyhow::Result<()>;

    /// Who goes when fewer are wanted.
    fn fewer(&self) -> Fewer;

    /// True if a worker that drains is one of those that it was asked for, until it ends: it is asked for as many more.
    fn counts_draining(&self) -> bool;

    /// This process ends.
    async fn end(&self);
}

/// Tells somebody how the fleet is.
#[async_trait]
pub trait Publisher: Send + Sync + fmt::Debug {
    /// After every decision.
    async fn publish(&self, status: &Status) -> anyhow::Result<()>;
}

/// Does nothing: others ask what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Nobody {
    /// What would be done is logged.
    pub tell: bool,
}

#[async_trait]
impl Actuator for Nobody {
    async fn count(&self, _: &Look) -> anyhow::Result<Option<Count>> {
        Ok(None)
    }

    async fn set(&self, _: Option<Count>, workers: u32, look: &Look) -> anyhow::Result<()> {
        if self.tell {
            tracing::info!(workers, alive = look.alive(), "dry run: so many workers would be asked for");
        }
        Ok(())
    }

    fn fewer(&self) -> Fewer {
        if self.tell { Fewer::Nobody } else { Fewer::Drained }
    }

    fn counts_draining(&self) -> bool {
        false
    }

    async fn end(&self) {}
}
