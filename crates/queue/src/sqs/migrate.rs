//! The queues themselves.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use muster_aws::{Names, SetupError, Trouble};
use muster_session::job::Topic;
use serde_json::{Value, json};

use super::{SqsSettings, Urls};

/// The setting that names the queues.
const SETTING: &str = "queue.prefix";
/// For whoever uses the queues.
pub(super) const USE: Names = Names {
    service: "Amazon SQS",
    name: SETTING,
    region: "queue.region",
    endpoint_url: "queue.endpoint_url",
    actions: &[
        "sqs:GetQueueUrl",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
    ],
};
/// For whoever makes them.
pub(super) const MAKE: Names = Names {
    actions: &["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:CreateQueue", "sqs:SetQueueAttributes"],
    ..USE
};
/// After so many receives SQS sets a message aside. The most it allows: consumers give up much earlier, with a reason.
const MAX_RECEIVES: u32 = 1_000;
/// The most it allows: 14 days.
const RETENTION_SECONDS: &str = "1209600";
const MAX_MESSAGE_BYTES: &str = "1048576";

/// Finds the queues of a topic and checks that dead letters of the one go to the other.
pub(super) async fn verify(client: &Client, settings: &SqsSettings, topic: Topic) -> Result<Urls, SetupError> {
    let (live_name, dead_name) = names(settings, topic);
    // SQS does not tell one that is not there from one that may not be seen.
    let missing =
        |name: &str| SetupError::Missing { setting: SETTING, what: format!("queue {name}, or no right to see it") };
    let dead = url(client, &USE, &dead_name).await?.ok_or_else(|| missing(&dead_name))?;
    let live = url(client, &USE, &live_name).await?.ok_or_else(|| missing(&live_name))?;
    let is = attributes(client, &USE, &live_name, &live).await?;
    let dead_is = attributes(client, &USE, &dead_name, &dead).await?;
    let arn = dead_is.get(&Name::QueueArn).cloned().unwrap_or_default();
    if target(is.get(&Name::RedrivePolicy)) != Some(arn) {
        let detail = format!("its redrive policy does not name {dead_name}; `muster migrate` sets it");
        return Err(SetupError::Unfit { setting: SETTING, what: format!("queue {live_name}"), detail });
    }
    Ok(Urls { live, dead })
}

pub(super) async fn migrate(
    client: &Client,
    settings: &SqsSettings,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), SetupError> {
    for topic in Topic::ALL {
        let (live, dead) = names(settings, topic);
        let arn = ensure(client, &dead, basic(), dry_run, tell).await?;
        let mut wanted = basic();
        // A dry run may have no queue to point to: then it would be made, and this one set.
        let arn = arn.unwrap_or_else(|| format!("the queue {dead}"));
        let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES});
        wanted.insert(Name::RedrivePolicy, policy.to_string());
        ensure(client, &live, wanted, dry_run, tell).await?;
    }
    Ok(())
}

/// Makes a queue or sets what differs; answers its ARN, if there is one.
async fn ensure(
    client: &Client,
    name: &str,
    wanted: HashMap<Name, String>,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<Option<String>, SetupError> {
    let failed = |error| SetupError::from_sdk(&MAKE, format!("queue {name}"), &error);
    let url = match url(client, &MAKE, name).await? {
        Some(url) => url,
        None => {
            tell(format!("create queue {name}"));
            if dry_run {
                return Ok(None);
            }
            let made = client.create_queue().queue_name(name).set_attributes(Some(wanted.clone())).send().await;
            made.map_err(failed)?.queue_url.unwrap_or_default()
        }
    };
    let is = attributes(client, &MAKE, name, &url).await?;
    let mut differing: Vec<(Name, String)> =
        wanted.into_iter().filter(|(attribute, value)| !same(attribute, is.get(attribute), value)).collect();
    differing.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    for (attribute, value) in &differing {
        tell(format!("set {attribute} of queue {name} to {value}"));
    }
    if !differing.is_empty() && !dry_run {
        let set = client.set_queue_attributes().queue_url(&url).set_attributes(Some(differing.into_iter().collect()));
        set.send().await.map_err(|error| SetupError::from_sdk(&MAKE, format!("queue {name}"), &error))?;
    }
    Ok(is.get(&Name::QueueArn).cloned())
}

fn names(settings: &SqsSettings, topic: Topic) -> (String, String) {
    let live = format!("{}-{}", settings.prefix, topic.as_str());
    let dead = format!("{live}-dead");
    (live, dead)
}

fn basic() -> HashMap<Name, String> {
    HashMap::from([
        (Name::MessageRetentionPeriod, RETENTION_SECONDS.to_owned()),
        (Name::MaximumMessageSize, MAX_MESSAGE_BYTES.to_owned()),
    ])
}

async fn url(client: &Client, names: &Names, name: &str) -> Result<Option<String>, SetupError> {
    match client.get_queue_url().queue_name(name).send().await {
        Ok(found) => Ok(found.queue_url),
        Err(error) if muster_aws::trouble(&error) == Trouble::Missing => Ok(None),
        Err(error) => Err(SetupError::from_sdk(names, format!("queue {name}"), &error)),
    }
}

async fn attributes(
    client: &Client,
    names: &Names,
    name: &str,
    url: &str,
) -> Result<HashMap<Name, String>, SetupError> {
    let got = client.get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await;
    let got = got.map_err(|error| SetupError::from_sdk(names, format!("queue {name}"), &error))?;
    Ok(got.attributes.unwrap_or_default())
}

fn same(attribute: &Name, is: Option<&String>, wanted: &str) -> bool {
    if *attribute != Name::RedrivePolicy {
        return is.is_some_and(|is| is == wanted);
    }
    // Numbers come back as text or as numbers, and keys in any order.
    let (one, other) = (is.map_or(Value::Null, |is| policy(is)), policy(wanted));
    let count = |policy: &Value| policy["maxReceiveCount"].to_string().trim_matches('"').to_owned();
    one["deadLetterTargetArn"] == other["deadLetterTargetArn"] && count(&one) == count(&other)
}

/// Where dead letters go.
fn target(redrive: Option<&String>) -> Option<String> {
    policy(redrive?)["deadLetterTargetArn"].as_str().map(str::to_owned)
}

fn policy(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_is_the_same_in_any_spelling() {
        let wanted = json!({"deadLetterTargetArn": "arn", "maxReceiveCount": MAX_RECEIVES}).to_string();
        let spelled = r#"{"maxReceiveCount":"1000","deadLetterTargetArn":"arn"}"#.to_owned();
        assert!(same(&Name::RedrivePolicy, Some(&spelled), &wanted));
        for other in [r#"{"maxReceiveCount":5,"deadLetterTargetArn":"arn"}"#, r#"{"maxReceiveCount":1000}"#, "", "null"]
        {
            assert!(!same(&Name::RedrivePolicy, Some(&other.to_owned()), &wanted), "{other}");
        }
        assert!(!same(&Name::RedrivePolicy, None, &wanted));
    }
}
