//! Making the queues, and what is said of those that cannot be used.

use std::net::TcpListener;

use muster_aws::testing::Script;
use muster_aws::{AwsSettings, SetupError};
use muster_session::job::Topic;

use super::super::*;
use super::{LONG, Queues};

/// Answers the steps.
pub(super) async fn migrate(settings: &SqsSettings, dry_run: bool) -> Result<Vec<String>, SetupError> {
    let mut steps = Vec::new();
    SqsQueue::migrate(settings, dry_run, &mut |step| steps.push(step)).await.map(|()| steps)
}

#[tokio::test]
async fn migrating_says_what_it_does_and_then_has_nothing_to_do() {
    let Some(Queues(settings)) = Queues::new() else { return };
    let missing = SqsQueue::open(&settings).await.unwrap_err();
    assert!(matches!(&missing, SetupError::Missing { setting: "queue.prefix", .. }), "{missing}");
    let planned = migrate(&settings, true).await.unwrap();
    assert_eq!(planned.len(), 2 * Topic::ALL.len(), "{planned:?}");
    assert!(planned[0].starts_with("create queue test-"), "{planned:?}");
    assert_eq!(migrate(&settings, true).await.unwrap(), planned, "a dry run changes nothing");
    assert_eq!(migrate(&settings, false).await.unwrap(), planned);
    assert_eq!(migrate(&settings, false).await.unwrap(), Vec::<String>::new());

    let queue = SqsQueue::open(&settings).await.unwrap();
    queue.enqueue(Topic::Jobs, Enqueue { payload: b"m".to_vec(), ..Enqueue::default() }).await.unwrap();
    let url = &queue.shared.urls(Topic::Jobs).live;
    let spoil = queue.shared.client.set_queue_attributes().queue_url(url);
    spoil.attributes(Name::RedrivePolicy, "").attributes(Name::MessageRetentionPeriod, "60").send().await.unwrap();
    let unfit = SqsQueue::open(&settings).await.unwrap_err();
    assert!(matches!(&unfit, SetupError::Unfit { setting: "queue.prefix", .. }), "{unfit}");
    let steps = migrate(&settings, false).await.unwrap();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps[0].starts_with("set MessageRetentionPeriod of queue test-"), "{steps:?}");
    let queue = SqsQueue::open(&settings).await.unwrap();
    assert_eq!(queue.receive(Topic::Jobs, 1, LONG, LONG).await.unwrap()[0].payload, b"m", "messages are not touched");
}

/// What opening comes to when the service says this, each time it is asked.
async fn refused(script: &Script) -> SetupError {
    let settings = SqsSettings { aws: AwsSettings::default(), prefix: "muster".into() };
    let client = Client::new(&script.config());
    SqsQueue::open_with(&client, client.clone(), ServiceClock::default(), &settings).await.unwrap_err()
}

#[test]
fn the_policies_in_the_documentation_have_every_action() {
    let text = include_str!("../../../../../docs/operations.md");
    for action in [migrate::USE.actions, migrate::MAKE.actions].concat() {
        assert!(text.contains(&format!("\"{action}\"")), "{action}");
    }
}

/// Each topic asks at the same time.
fn always(status: u16, body: &str) -> Script {
    // Every queue may be asked for, and some of it again.
    Script::new(std::iter::repeat_n((status, body), 4 * Topic::ALL.len()))
}

#[tokio::test]
async fn without_the_right_to_the_setting_and_all_that_is_needed_are_named() {
    let denied = r#"{"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "not authorized to perform sqs:GetQueueUrl"}"#;
    let error = refused(&always(400, denied)).await;
    assert!(
        matches!(&error, SetupError::Denied { setting: "queue.prefix", detail, .. } if detail.contains("sqs:GetQueueUrl")),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.starts_with("queue.prefix: ") && text.contains("sqs:ChangeMessageVisibility"), "{text}");

    let script = always(400, denied);
    let settings = SqsSettings { aws: AwsSettings::default(), prefix: "muster".into() };
    let migrating = migrate::migrate(&Client::new(&script.config()), &settings, false, &mut drop).await;
    let text = migrating.unwrap_err().to_string();
    assert!(text.contains("sqs:CreateQueue, sqs:SetQueueAttributes") && !text.contains("sqs:SendMessage"), "{text}");
}

#[tokio::test]
async fn a_clock_that_the_service_does_not_take_is_named() {
    let skewed = r#"{"__type": "com.amazonaws.sqs#InvalidSignatureException", "message": "Signature expired: 20200101T000000Z is now earlier than 20200101T001000Z (20200101T001500Z - 5 min.)"}"#;
    for body in [skewed, r#"{"__type": "RequestTimeTooSkewed", "message": "x"}"#] {
        let error = refused(&always(403, body).dated("Wed, 01 Jan 2020 00:15:00 GMT")).await;
        let SetupError::Skewed { setting: "queue.endpoint_url", ahead_ms: Some(ahead), .. } = &error else {
            panic!("{error}")
        };
        assert!(*ahead > 1_000_000, "2020 is over: {ahead}");
        assert!(error.to_string().contains(" s ahead, and Amazon SQS takes no request from it"), "{error}");
    }
    let forged =
        r#"{"__type": "InvalidSignatureException", "message": "The request signature we calculated does not match"}"#;
    let error = refused(&always(403, forged)).await;
    assert!(matches!(error, SetupError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_amazon_is_said_to_be_something_else() {
    for (status, body) in [(404, "<html>not found</html>"), (200, "<html>hello</html>"), (401, "")] {
        let error = refused(&always(status, body)).await;
        assert!(matches!(&error, SetupError::Foreign { setting: "queue.endpoint_url", .. }), "{status}: {error}");
    }
    let error = refused(&always(503, "<html>try later</html>")).await;
    assert!(matches!(&error, SetupError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_out_of_reach() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = [&gone, &silent].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(gone);
    let tried = urls.map(|url| async move {
        let aws = AwsSettings { region: Some("us-east-1".into()), endpoint_url: Some(url) };
        let config = muster_aws::brief(&aws.load(Duration::from_millis(100)).await);
        let credentials = Script::new([]).config().credentials_provider();
        let config = config.into_builder().credentials_provider(credentials.unwrap()).build();
        let settings = SqsSettings { aws, prefix: "muster".into() };
        migrate::verify(&client(&config, &ServiceClock::default()), &settings, Topic::Jobs).await.unwrap_err()
    });
    for error in futures_util::future::join_all(tried).await {
        assert!(matches!(&error, SetupError::Unreachable { setting: "queue.endpoint_url", .. }), "{error}");
    }
}
