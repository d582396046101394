//! How the AWS SDK is set up, in one place for every service: region, address, credentials, TLS, time limits, retries, and
//! what its errors mean to us.
//!
//! Only the backends that speak to AWS depend on this, behind their feature `aws`.

mod clock;
mod error;
#[doc(hidden)]
pub mod testing;

use std::time::Duration;

pub use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
pub use clock::ServiceClock;
pub use error::{Names, SetupError, Trouble, code, describe, trouble};

/// How often the SDK asks before it gives up, the first time included. It waits longer after each, with jitter.
const ATTEMPTS: u32 = 5;
/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// Of a look at what is there: how often it asks, and for how long in all.
const LOOK_ATTEMPTS: u32 = 3;
const LOOK: Duration = Duration::from_secs(10);

/// Where the services are. What is not set is taken from the usual `AWS_…` variables, profiles and the instance's or
/// task's role; credentials always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// Such as `eu-central-1`.
    pub region: Option<String>,
    /// Another address than the region's own: a VPC endpoint, or an emulator.
    pub endpoint_url: Option<String>,
}

impl AwsSettings {
    /// What the clients of all services are made from. `answer` bounds one attempt of one request, from sending it to the
    /// first byte of the answer. Reads files and environment; connects to nothing but, without credentials there, the
    /// services that hand them out, and to those only with the first request.
    pub async fn load(&self, answer: Duration) -> SdkConfig {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(answer).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader.load().await
    }
    /// As [`load`](Self::load), and that it says where the services are.
    pub async fn load_checked(&self, answer: Duration, names: &Names) -> Result<SdkConfig, SetupError> {
        let config = self.load(answer).await;
        if config.region().is_none() {
            return Err(SetupError::NoRegion { setting: names.region });
        }
        Ok(config)
    }
}

/// For looking at what is there: one request with its repetitions ends after 10 s, so that what is wrong is soon said.
#[must_use]
pub fn brief(config: &SdkConfig) -> SdkConfig {
    let timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    let timeouts = timeouts.to_builder().operation_timeout(LOOK).build();
    let retries = RetryConfig::standard().with_max_attempts(LOOK_ATTEMPTS);
    config.clone().into_builder().timeout_config(timeouts).retry_config(retries).build()
}
