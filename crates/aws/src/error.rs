//! What the SDK's errors mean to us.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::clock;

/// What kind of trouble a request is in: what to do next follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service asks for fewer requests, and was asked [again](crate::AwsSettings::load) already.
    Throttled,
    /// There are no credentials, or they may not do this. Asking again does not help; somebody has to act.
    Denied,
    /// The service does not take the time that this machine signs requests with.
    Skewed,
    /// The table or queue is not there.
    Missing,
    /// No answer, or one that says that the service is not well. What was asked may have happened.
    Unreachable,
    /// An answer that is about this request.
    Refused,
}

/// What a backend is configured by, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The service, for people.
    pub service: &'static str,
    /// The setting that names what is used there.
    pub name: &'static str,
    /// The setting that is [`AwsSettings::region`](crate::AwsSettings::region).
    pub region: &'static str,
    /// The setting that is [`AwsSettings::endpoint_url`](crate::AwsSettings::endpoint_url).
    pub endpoint_url: &'static str,
    /// What has to be allowed, as policies call it.
    pub actions: &'static [&'static str],
}

/// Why a backend on AWS cannot be used as it is configured. Names the setting that says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It is not there.
    #[error("{setting}: there is no {what}; `muster migrate` makes it")]
    Missing {
        /// The setting that names it.
        setting: &'static str,
        /// What is not there.
        what: String,
    },
    /// It is there, and not as it has to be.
    #[error("{setting}: {what} is not as it has to be: {detail}")]
    Unfit {
        /// The setting that names it.
        setting: &'static str,
        /// What is there.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Not the right to.
    #[error("{setting}: access to {what} is denied: {detail}. Needed: {}", needed.join(", "))]
    Denied {
        /// The setting that names it.
        setting: &'static str,
        /// What was asked for.
        what: String,
        /// What the service said.
        detail: String,
        /// Everything that has to be allowed, not only what was asked for.
        needed: &'static [&'static str],
    },
    /// Nothing to sign requests with.
    #[error(
        "{setting}: there are no credentials to ask for {what}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the machine: {detail}"
    )]
    NoCredentials {
        /// The setting that names it.
        setting: &'static str,
        /// What was asked for.
        what: String,
        /// Where credentials were looked for.
        detail: String,
    },
    /// Neither the configuration nor the environment says where.
    #[error("{setting}: is needed, because neither AWS_REGION nor a profile says which region")]
    NoRegion {
        /// The setting.
        setting: &'static str,
    },
    /// The service does not take the time of this machine.
    #[error("{setting}: the clock of this machine is {}, and {service} takes no request from it: set it right (NTP): {detail}", clock::words(*ahead_ms))]
    Skewed {
        /// The setting that names the service.
        setting: &'static str,
        /// Which service.
        service: &'static str,
        /// Milliseconds that this machine is ahead, negative if it is behind; none if the service does not say its time.
        ahead_ms: Option<i64>,
        /// What the service said.
        detail: String,
    },
    /// Something else answers.
    #[error("{setting}: what answers there is not {service}: {detail}")]
    Foreign {
        /// The setting that says where it is.
        setting: &'static str,
        /// Which service it should be.
        service: &'static str,
        /// What it answered.
        detail: String,
    },
    /// The service answered, and does not do it.
    #[error("{setting}: {service} does not do what was asked of {what}: {detail}")]
    Refused {
        /// The setting that names it.
        setting: &'static str,
        /// Which service.
        service: &'static str,
        /// What was asked for.
        what: String,
        /// What the service said.
        detail: String,
    },
    /// No answer, or none that can be used.
    #[error("{setting} or {region}: {what} is out of reach: {detail}")]
    Unreachable {
        /// The setting that says where the service is.
        setting: &'static str,
        /// The setting that says so if the other does not.
        region: &'static str,
        /// What was asked for.
        what: String,
        /// What went wrong.
        detail: String,
    },
}

impl SetupError {
    /// From a request that failed while `what`, which the settings in `names` say where to find, was looked at or made.
    pub fn from_sdk<E>(names: &Names, what: impl Into<String>, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (what, setting, detail) = (what.into(), names.name, describe(error));
        match trouble(error) {
            Trouble::Missing => Self::Missing { setting, what },
            // The SDK looked for something to sign with before it asked anybody.
            Trouble::Denied if code(error).is_none() => Self::NoCredentials { setting, what, detail },
            Trouble::Denied => Self::Denied { setting, what, detail, needed: names.actions },
            Trouble::Skewed => {
                let ahead_ms = error.raw_response().and_then(clock::ahead_ms);
                Self::Skewed { setting: names.endpoint_url, service: names.service, ahead_ms, detail }
            }
            Trouble::Throttled | Trouble::Unreachable | Trouble::Refused => match foreign(error) {
                Some(detail) => Self::Foreign { setting: names.endpoint_url, service: names.service, detail },
                None if trouble(error) != Trouble::Unreachable => {
                    Self::Refused { setting, service: names.service, what, detail }
                }
                None => Self::Unreachable { setting: names.endpoint_url, region: names.region, what, detail },
            },
        }
    }
}

/// What answered, if it was not a service of AWS: one that says what is wrong gives it a name.
fn foreign<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let answer = error.raw_response().filter(|_| code(error).is_none())?;
    let status = answer.status().as_u16();
    // In front of a service that is not well there may be something that is no service.
    (status < 500).then(|| format!("HTTP status {status}, and nothing that AWS would say"))
}

/// The code of the service's answer, if it answered.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    match error {
        SdkError::ServiceError(answer) => answer.err().code(),
        _ => None,
    }
}

/// What kind of trouble it is.
pub fn trouble<E: ProvideErrorMetadata + Error + 'static, R: std::fmt::Debug>(error: &SdkError<E, R>) -> Trouble {
    let Some(code) = code(error) else {
        // The SDK has no type for this one: it is told by the part of the SDK that failed.
        let credentials = describe(error).contains("credentials");
        return if credentials && error.raw_response().is_none() { Trouble::Denied } else { Trouble::Unreachable };
    };
    match code {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Trouble::Skewed,
        // One code for two things, and only the message tells them apart.
        "InvalidSignatureException" | "SignatureDoesNotMatch" if is_about_time(error) => Trouble::Skewed,
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "OverLimit"
        | "KmsThrottled"
        | "SlowDown" => Trouble::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "NotAuthorized"
        | "KmsAccessDenied"
        | "InvalidSecurity"
        | "OptInRequired" => Trouble::Denied,
        "ResourceNotFoundException"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "TableNotFoundException" => Trouble::Missing,
        "InternalServerError" | "InternalFailure" | "InternalError" | "ServiceUnavailable" | "RequestTimeout" => {
            Trouble::Unreachable
        }
        _ => Trouble::Refused,
    }
}

fn is_about_time<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let SdkError::ServiceError(answer) = error else { return false };
    let message = answer.err().message().unwrap_or_default();
    ["Signature expired", "Signature not yet current"].iter().any(|beginning| message.starts_with(beginning))
}

/// The error in one line: what the service said, or what kept it from saying anything.
pub fn describe<E: ProvideErrorMetadata + Error + 'static, R: std::fmt::Debug>(error: &SdkError<E, R>) -> String {
    if let SdkError::ServiceError(answer) = error
        && let Some(code) = answer.err().code()
    {
        return format!("{code}: {}", answer.err().message().unwrap_or("without a message"));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
