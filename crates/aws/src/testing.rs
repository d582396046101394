//! For the tests of the backends: the emulator from the environment, and a service that says what a test makes it say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use crate::AwsSettings;

/// Names the server that tests may use. Credentials and region are the usual variables.
pub const URL_VARIABLE: &str = "MUSTER_TEST_AWS_URL";
/// The same for Auto Scaling, which the first has not.
pub const MOTO_URL_VARIABLE: &str = "MUSTER_TEST_MOTO_URL";
/// With it, a missing server is a failure and not a skipped test.
const REQUIRED_VARIABLE: &str = "MUSTER_REQUIRE_SERVERS";

/// The emulator, and a name for what a test makes there. None, after saying so, if there is none. Panics instead if this
/// run requires its servers.
#[must_use]
pub fn emulator() -> Option<(AwsSettings, String)> {
    named_by(URL_VARIABLE)
}

/// As [`emulator`], the one that has Auto Scaling.
#[must_use]
pub fn moto() -> Option<(AwsSettings, String)> {
    named_by(MOTO_URL_VARIABLE)
}

fn named_by(variable: &str) -> Option<(AwsSettings, String)> {
    let Ok(url) = std::env::var(variable) else {
        let required = std::env::var_os(REQUIRED_VARIABLE).is_some();
        assert!(!required, "{variable} is not set, and this run requires its servers");
        eprintln!("skipped: {variable} is not set");
        return None;
    };
    let settings = AwsSettings { region: Some("us-east-1".into()), endpoint_url: Some(url) };
    Some((settings, format!("test-{}", uuid::Uuid::new_v4().simple())))
}

/// A service that gives the answers it was told, in order, whatever it is asked; and notes what that was.
#[derive(Clone, Debug)]
pub struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<(u16, String)>,
    asked: Vec<String>,
    date: Option<String>,
}

impl Script {
    /// These answers: status and JSON body.
    pub fn new<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Self {
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        Self { state: Arc::new(Mutex::new(State { answers, ..State::default() })) }
    }

    /// With this `Date` in every answer.
    #[must_use]
    pub fn dated(self, date: &str) -> Self {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).date = Some(date.to_owned());
        self
    }

    /// What clients of this service are made from.
    #[must_use]
    pub fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "script");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://script.invalid")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1)))
            .http_client(self.clone())
            .build()
    }

    /// The bodies of the requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

impl HttpClient for Script {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let body = request.body().bytes().unwrap_or_default();
        state.asked.push(String::from_utf8_lossy(body).into_owned());
        let (status, body) = state.answers.pop_front().expect("the script has an answer left");
        let status = StatusCode::try_from(status).expect("a status");
        let mut answer = HttpResponse::new(status, SdkBody::from(body));
        answer.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        if let Some(date) = &state.date {
            answer.headers_mut().insert("date", date.clone());
        }
        HttpConnectorFuture::ready(Ok(answer))
    }
}
