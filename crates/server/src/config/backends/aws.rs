//! What is for `kind = "sqs"` and `kind = "dynamodb"`.

#[cfg(feature = "aws")]
use muster_aws::AwsSettings;
#[cfg(feature = "aws")]
use muster_queue::SqsSettings;
#[cfg(feature = "aws")]
use muster_store::DynamoSettings;

use super::{Keys, QUEUE, QueueConfig, STORE, StoreConfig};
use crate::config::reader::Reader;

/// SQS allows 80; the longest thing behind the prefix is `-deliveries-dead`.
const PREFIX_MAX: usize = 60;
const TABLE_CHARS: std::ops::RangeInclusive<usize> = 3..=255;

/// Region, and another address than the region's own.
pub(super) type Place = (Option<String>, Option<String>);

/// Reads the keys; given for another kind, they are mistakes.
pub(super) fn read(r: &mut Reader<'_>, kind: &str, keys: &Keys) -> Place {
    let region = r.text_opt(
        keys.region,
        "For Amazon: the region, such as eu-central-1. Default: AWS_REGION, or what the profile says. Credentials are taken from the usual places.",
    );
    let endpoint_url = r.address(
        keys.endpoint_url,
        "For Amazon: another address than the region's own, such as a VPC endpoint's.",
        &["https", "http"],
    );
    keys.only_for(r, kind, &[keys.amazon], &[keys.region, keys.endpoint_url]);
    (region, endpoint_url)
}

pub(super) fn sqs(r: &mut Reader<'_>, place: Place, prefix: String) -> QueueConfig {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if prefix.len() > PREFIX_MAX || !prefix.chars().all(fits) {
        r.problem(format!("queue.prefix: for \"sqs\" it has at most {PREFIX_MAX} letters, digits, `-` and `_`"));
    }
    if let Some(problem) = missing(&QUEUE, cfg!(feature = "aws")) {
        r.problem(problem);
    }
    #[cfg(feature = "aws")]
    {
        QueueConfig::Sqs(SqsSettings { aws: settings(place), prefix })
    }
    #[cfg(not(feature = "aws"))]
    {
        embedded(place, prefix, QueueConfig::Embedded)
    }
}

pub(super) fn dynamodb(r: &mut Reader<'_>, place: Place, table: String) -> StoreConfig {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !TABLE_CHARS.contains(&table.len()) || !table.chars().all(fits) {
        r.problem("store.table: the name of a table has 3 to 255 letters, digits, `-`, `_` and `.`");
    }
    if let Some(problem) = missing(&STORE, cfg!(feature = "aws")) {
        r.problem(problem);
    }
    #[cfg(feature = "aws")]
    {
        StoreConfig::Dynamodb(DynamoSettings { aws: settings(place), table })
    }
    #[cfg(not(feature = "aws"))]
    {
        embedded(place, table, StoreConfig::Embedded)
    }
}

#[cfg(feature = "aws")]
fn settings((region, endpoint_url): Place) -> AwsSettings {
    AwsSettings { region, endpoint_url }
}

/// Instead of what this program has not got; [`missing`] has said so.
#[cfg(not(feature = "aws"))]
fn embedded<T>(_: Place, _: String, embedded: T) -> T {
    embedded
}

/// What to say of a kind that this program was built without.
fn missing(keys: &Keys, has_sdk: bool) -> Option<String> {
    (!has_sdk).then(|| {
        format!(
            "{}: \"{}\" is not in this program, which was built without Amazon's SDK: take a release, or build one with \
             `cargo build --release --locked -p muster-server --features aws` (`make release`)",
            keys.kind, keys.amazon
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_sdk_says_how_to_get_one_with_it() {
        let problem = missing(&STORE, false).unwrap();
        assert!(problem.starts_with("store.kind: \"dynamodb\" is not in this program"), "{problem}");
        assert!(problem.contains("--features aws"), "{problem}");
        assert_eq!(missing(&STORE, true), None);
    }

    /// In a program that has it not, the configuration says so; in one that has it, all is well.
    #[test]
    fn amazon_is_configured_as_this_program_was_built() {
        let text = "[queue]\nkind = \"sqs\"\n[store]\nkind = \"dynamodb\"\n[storage]\nurl = \"s3://b\"\n";
        let sources = crate::config::Sources { file: Some(("m.toml".into(), text.into())), ..Default::default() };
        let loaded = crate::config::Config::load(&sources);
        match cfg!(feature = "aws") {
            true => assert!(loaded.unwrap().is_shared()),
            false => assert_eq!(loaded.unwrap_err().problems.len(), 2),
        }
    }
}
