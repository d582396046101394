//! What the errors of SQS mean.

use std::error::Error;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::QueueError;

/// A request failed while doing something.
pub(super) fn of<E, R>(doing: &str, error: &SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    unexpected(doing, muster_aws::describe(error))
}

/// The same, about the right to settle a message. SQS says in several ways that a receipt is no longer good.
pub(super) fn of_settling<E, R>(doing: &str, error: &SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    match muster_aws::code(error) {
        // The last one is what it says of an expired receipt; the other parameters that we send are within bounds.
        Some(
            "ReceiptHandleIsInvalid"
            | "InvalidIdFormat"
            | "MessageNotInflight"
            | "AWS.SimpleQueueService.MessageNotInflight"
            | "InvalidParameterValue",
        ) => QueueError::LeaseLost,
        _ => of(doing, error),
    }
}

pub(super) fn unexpected(doing: &str, detail: impl fmt::Display) -> QueueError {
    QueueError::Unavailable { detail: format!("{doing}: {detail}"), source: None }
}
