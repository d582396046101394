//! The four questions.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::stream::{self, Looks};
use crate::wire::external_scaler_server::ExternalScaler;
use crate::wire::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue,
    ScaledObjectRef,
};
use crate::{Reading, Source};

/// The service over a source.
pub(crate) struct Scaler<S> {
    source: S,
    look: Duration,
    ended: CancellationToken,
}

impl<S: Source> Scaler<S> {
    pub(crate) const fn new(source: S, look: Duration, ended: CancellationToken) -> Self {
        Self { source, look, ended }
    }

    async fn read(&self) -> Result<Reading, Status> {
        self.source.read().await.map_err(|error| {
            tracing::warn!(error, "KEDA was not answered");
            Status::unavailable(error)
        })
    }

    /// The figure that a trigger asks for.
    fn figure(trigger: &ScaledObjectRef) -> Result<&'static str, Status> {
        match trigger.scaler_metadata.get("metric") {
            None => S::FIGURES.first().copied().ok_or_else(|| Status::internal("there are no figures")),
            Some(asked) => Self::known(asked),
        }
    }

    fn known(name: &str) -> Result<&'static str, Status> {
        S::FIGURES.iter().copied().find(|figure| *figure == name).ok_or_else(|| {
            Status::invalid_argument(format!("metric: expected one of {}, got {name}", S::FIGURES.join(", ")))
        })
    }
}

/// How much is one replica's.
fn target(trigger: &ScaledObjectRef) -> Result<f64, Status> {
    let Some(text) = trigger.scaler_metadata.get("target") else { return Ok(1.0) };
    let given = text.parse::<f64>().ok().filter(|target| target.is_finite() && *target > 0.0);
    given.ok_or_else(|| Status::invalid_argument(format!("target: expected a number above 0, got {text}")))
}

/// At least one, for those who read whole numbers only.
#[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
fn whole(value: f64) -> i64 {
    (value.round() as i64).max(1)
}

#[async_trait::async_trait]
impl<S: Source> ExternalScaler for Scaler<S> {
    type StreamIsActiveStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

    async fn is_active(&self, _: Request<ScaledObjectRef>) -> Result<Response<IsActiveResponse>, Status> {
        Ok(Response::new(IsActiveResponse { result: self.read().await?.active }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let trigger = request.into_inner();
        tracing::info!(namespace = trigger.namespace, name = trigger.name, "KEDA listens");
        let news =
            stream::news(Looks::new(self.source.clone(), self.look)).take_until(self.ended.clone().cancelled_owned());
        Ok(Response::new(Box::pin(news.map(|active| Ok(IsActiveResponse { result: active })))))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let trigger = request.into_inner();
        let target = target(&trigger)?;
        let spec = MetricSpec {
            metric_name: Self::figure(&trigger)?.to_owned(),
            target_size: whole(target),
            target_size_float: target,
        };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<GetMetricsResponse>, Status> {
        let GetMetricsRequest { scaled_object_ref, metric_name } = request.into_inner();
        let figure = match metric_name.as_str() {
            "" => Self::figure(&scaled_object_ref.unwrap_or_default())?,
            name => Self::known(name)?,
        };
        let value = self.read().await?.figures.get(figure).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a count of workers or bots")]
        let value = MetricValue {
            metric_name: figure.to_owned(),
            metric_value: i64::try_from(value).unwrap_or(i64::MAX),
            metric_value_float: value as f64,
        };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}
