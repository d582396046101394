//! What the SDK's errors mean to us.

use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What kind of trouble a request is in: what to do next follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service asks for fewer requests, and was asked [again](crate::AwsSettings::load) already.
    Throttled,
    /// There are no credentials, or they may not do this. Asking again does not help; somebody has to act.
    Denied,
    /// The table or queue is not there.
    Missing,
    /// No answer, or one that says that the service is not well. What was asked may have happened.
    Unreachable,
    /// An answer that is about this request.
    Refused,
}

/// Why a backend on AWS cannot be used as it is configured. Names the setting that says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It is not there.
    #[error("{setting}: there is no {what} (`muster migrate` makes it)")]
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
    /// No credentials, or not the right to.
    #[error("{setting}: access to {what} is denied: {detail}")]
    Denied {
        /// The setting that names it.
        setting: &'static str,
        /// What was asked for.
        what: String,
        /// What the service said.
        detail: String,
    },
    /// No answer, or none that can be used.
    #[error("{setting}: {what} is out of reach: {detail}")]
    Unreachable {
        /// The setting that names it.
        setting: &'static str,
        /// What was asked for.
        what: String,
        /// What went wrong.
        detail: String,
    },
}

impl SetupError {
    /// From a request that failed while `what`, which `setting` names, was looked at or made.
    pub fn from_sdk<E, R>(setting: &'static str, what: impl Into<String>, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug,
    {
        let what = what.into();
        match trouble(error) {
            Trouble::Missing => Self::Missing { setting, what },
            Trouble::Denied => Self::Denied { setting, what, detail: describe(error) },
            Trouble::Throttled | Trouble::Unreachable | Trouble::Refused => {
                Self::Unreachable { setting, what, detail: describe(error) }
            }
        }
    }
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
        return if credentials { Trouble::Denied } else { Trouble::Unreachable };
    };
    match code {
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
