//! Amazon SQS and DynamoDB.

use std::sync::Arc;
use std::time::Instant;

use muster_aws::SetupError;
use muster_queue::{Queue, SqsQueue, SqsSettings};
use muster_session::job::Topic;
use muster_store::{DynamoSettings, DynamoStore, SessionStore};

use super::{Complaint, Opened, Seen};

const MIGRATE: &str = "run `muster migrate` with the rights that docs/operations.md lists for it";

pub(super) async fn open_store(settings: &DynamoSettings) -> anyhow::Result<Opened<dyn SessionStore>> {
    let store = DynamoStore::open(settings).await?;
    let ahead_ms = store.clock_ahead_ms();
    Ok(Opened { backend: Arc::new(store), warnings: Vec::new(), ahead_ms })
}

pub(super) async fn open_queue(settings: &SqsSettings) -> anyhow::Result<Opened<dyn Queue>> {
    let queue = SqsQueue::open(settings).await?;
    let ahead_ms = queue.clock_ahead_ms();
    Ok(Opened { backend: Arc::new(queue), warnings: Vec::new(), ahead_ms })
}

pub(super) async fn inspect_queue(settings: &SqsSettings) -> Result<Seen, Complaint> {
    let queue = SqsQueue::open(settings).await.map_err(|error| complaint(&error))?;
    let begun = Instant::now();
    queue.depth(Topic::Jobs).await.map_err(|error| unwell("queue.prefix", &error))?;
    let round_trip = Some(begun.elapsed());
    let mut steps = Vec::new();
    let compared = SqsQueue::migrate(settings, true, &mut |step| steps.push(step)).await;
    let queues = 2 * Topic::ALL.len();
    let detail = format!("sqs, {queues} queues {}-*, dead letters by redrive policy", settings.prefix);
    let (warnings, ahead_ms) = (unlike(steps, compared.err()), queue.clock_ahead_ms());
    Ok(Seen { detail, warnings, remedy: MIGRATE, round_trip, ahead_ms })
}

pub(super) async fn inspect_store(settings: &DynamoSettings) -> Result<Seen, Complaint> {
    let store = DynamoStore::open(settings).await.map_err(|error| complaint(&error))?;
    let begun = Instant::now();
    store.ping().await.map_err(|error| unwell("store.table", &error))?;
    let round_trip = Some(begun.elapsed());
    let detail =
        format!("dynamodb, table {} with its indexes, time to live and the schema of this release", settings.table);
    Ok(Seen { detail, warnings: Vec::new(), remedy: MIGRATE, round_trip, ahead_ms: store.clock_ahead_ms() })
}

/// What works and is not as a migration would have it.
fn unlike(steps: Vec<String>, failed: Option<SetupError>) -> Vec<String> {
    let steps = steps.into_iter().map(|step| format!("`muster migrate` would {step}"));
    steps.chain(failed.map(|error| error.to_string())).collect()
}

pub(super) async fn migrate_queue(
    settings: &SqsSettings,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), Complaint> {
    SqsQueue::migrate(settings, dry_run, tell).await.map_err(|error| complaint(&error))
}

pub(super) async fn migrate_store(
    settings: &DynamoSettings,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), Complaint> {
    DynamoStore::migrate(settings, dry_run, tell).await.map_err(|error| complaint(&error))
}

fn complaint(error: &SetupError) -> Complaint {
    let fix = match error {
        SetupError::Missing { .. } => MIGRATE,
        SetupError::Unfit { .. } => "mend what it says; what is missing `muster migrate` makes",
        SetupError::Denied { .. } => "allow what is needed: docs/operations.md has the policies",
        SetupError::NoCredentials { .. } => "give credentials as to every AWS program",
        SetupError::NoRegion { .. } => "set it, such as eu-central-1",
        SetupError::Skewed { .. } => "set this machine's clock right, and keep it so with NTP",
        SetupError::Foreign { .. } => "correct the address, or take it out to use the region's own",
        SetupError::Refused { .. } => "see what it says, and try again",
        SetupError::Unreachable { .. } => "let this machine reach it, or correct region and address",
    };
    Complaint { error: error.to_string(), fix: fix.to_owned() }
}

fn unwell(setting: &str, error: &dyn std::error::Error) -> Complaint {
    let fix = "allow what is needed: docs/operations.md has the policies".to_owned();
    Complaint { error: format!("{setting}: {error}"), fix }
}
