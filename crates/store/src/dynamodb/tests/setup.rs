//! Making the table, and what is said of one that cannot be used.

use std::net::TcpListener;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use muster_aws::testing::Script;
use muster_aws::{AwsSettings, SetupError};

use super::super::*;
use super::{OwnTable, scripted};
use crate::conformance::samples::{at, create, queued};

/// Answers the steps.
pub(super) async fn migrate(settings: &DynamoSettings, dry_run: bool) -> Result<Vec<String>, SetupError> {
    let mut steps = Vec::new();
    DynamoStore::migrate(settings, dry_run, &mut |step| steps.push(step)).await.map(|()| steps)
}

#[tokio::test]
async fn migrating_says_what_it_does_and_then_has_nothing_to_do() {
    let Some(OwnTable(settings)) = OwnTable::new() else { return };
    let missing = DynamoStore::open(&settings).await.unwrap_err();
    assert!(matches!(&missing, SetupError::Missing { setting: "store.table", .. }), "{missing}");
    let planned = migrate(&settings, true).await.unwrap();
    assert_eq!(planned.len(), 3, "{planned:?}");
    assert_eq!(migrate(&settings, true).await.unwrap(), planned, "a dry run changes nothing");
    assert_eq!(migrate(&settings, false).await.unwrap(), planned);
    assert_eq!(migrate(&settings, false).await.unwrap(), Vec::<String>::new());

    let store = DynamoStore::open(&settings).await.unwrap();
    let session = create(&store, queued("t", at(0))).await;
    let update = store.table.client.update_table().table_name(&settings.table);
    let drop_index = aws_sdk_dynamodb::types::DeleteGlobalSecondaryIndexAction::builder().index_name("by_due").build();
    let drop_index = aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder().delete(drop_index.unwrap()).build();
    update.global_secondary_index_updates(drop_index).send().await.unwrap();
    let unfit = DynamoStore::open(&settings).await.unwrap_err();
    assert!(matches!(&unfit, SetupError::Unfit { detail, .. } if detail.contains("by_due")), "{unfit}");
    let steps = migrate(&settings, false).await.unwrap();
    assert_eq!(steps, [format!("create index by_due of table {}", settings.table)]);
    let store = DynamoStore::open(&settings).await.unwrap();
    assert_eq!(store.get(session.id).await.unwrap(), Some(session), "data is not touched");

    for other in [0, 2] {
        let mut changed = Key::schema().into_item();
        changed.insert("schema_version".into(), item::n(other));
        let put = store.table.client.put_item().table_name(&settings.table).set_item(Some(changed));
        put.send().await.unwrap();
        for unfit in [DynamoStore::open(&settings).await.map(drop), migrate(&settings, false).await.map(drop)] {
            let unfit = unfit.unwrap_err();
            let named =
                matches!(&unfit, SetupError::Unfit { detail, .. } if detail.contains(&format!("schema {other}")));
            assert!(named, "{unfit}");
        }
    }
}

#[tokio::test]
async fn a_table_without_its_time_to_live_or_of_another_make_is_refused() {
    let Some(OwnTable(settings)) = OwnTable::new() else { return };
    migrate(&settings, false).await.unwrap();
    let store = DynamoStore::open(&settings).await.unwrap();
    assert!(store.clock_ahead_ms().is_some_and(|ahead| ahead.abs() < 5_000), "{:?}", store.clock_ahead_ms());
    let off = TimeToLiveSpecification::builder().enabled(false).attribute_name("expires_s").build().unwrap();
    let update = store.table.client.update_time_to_live().table_name(&settings.table);
    update.time_to_live_specification(off).send().await.unwrap();
    let unfit = DynamoStore::open(&settings).await.unwrap_err().to_string();
    assert!(
        unfit.starts_with("store.table: ") && unfit.contains("time to live by expires_s; `muster migrate`"),
        "{unfit}"
    );
    assert_eq!(migrate(&settings, false).await.unwrap().len(), 1);
    DynamoStore::open(&settings).await.unwrap();

    let other = DynamoSettings { table: format!("{}-other", settings.table), ..settings };
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let attribute = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build();
    let create = store.table.client.create_table().table_name(&other.table).billing_mode(BillingMode::PayPerRequest);
    create.key_schema(key).attribute_definitions(attribute.unwrap()).send().await.unwrap();
    for unfit in [DynamoStore::open(&other).await.map(drop), migrate(&other, false).await.map(drop)] {
        let unfit = unfit.unwrap_err().to_string();
        assert!(unfit.contains("it belongs to something else"), "{unfit}");
    }
}

#[test]
fn the_policies_in_the_documentation_have_every_action() {
    let text = include_str!("../../../../../docs/operations.md");
    for action in [migrate::USE.actions, migrate::MAKE.actions].concat() {
        assert!(text.contains(&format!("\"{action}\"")), "{action}");
    }
}

#[tokio::test]
async fn without_the_right_to_the_setting_and_all_that_is_needed_are_named() {
    let denied = r#"{"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not authorized to perform: dynamodb:DescribeTable"}"#;
    let (_, store) = scripted([(400, denied), (400, denied)]);
    let error = migrate::verify(&store.table).await.unwrap_err();
    let named = matches!(&error, SetupError::Denied { setting: "store.table", detail, .. } if detail.contains("dynamodb:DescribeTable"));
    assert!(named && error.to_string().contains("dynamodb:BatchWriteItem"), "{error}");
    let error = migrate::migrate(&store.table, false, &mut drop).await.unwrap_err().to_string();
    assert!(error.contains("dynamodb:CreateTable") && !error.contains("dynamodb:Scan"), "{error}");
}

#[tokio::test]
async fn a_clock_that_the_service_does_not_take_is_named() {
    let skewed = r#"{"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "Signature not yet current: 20200101T002000Z is still later than 20200101T001000Z"}"#;
    // The SDK takes over the service's time and asks again; what remains is a service that does not take that either.
    let script = Script::new([(400, skewed); 3]).dated("Fri, 01 Jan 2100 00:15:00 GMT");
    let error = migrate::verify(&Table::new(&script.config(), "muster")).await.unwrap_err();
    let behind = matches!(&error, SetupError::Skewed { setting: "store.endpoint_url", ahead_ms: Some(..0), .. });
    assert!(behind && error.to_string().contains(" s behind, and Amazon DynamoDB takes no request"), "{error}");
}

#[tokio::test]
async fn the_clock_of_the_service_is_read_off_its_answers() {
    let script = Script::new([(200, "{}"), (200, "{}")]);
    let table = Table::new(&script.config(), "muster");
    let store = DynamoStore { table, ids: Ids::new() };
    store.ping().await.unwrap();
    assert_eq!(store.clock_ahead_ms(), None, "it did not say");
    let _dated = script.dated("Fri, 01 Jan 2100 00:15:00 GMT");
    store.ping().await.unwrap();
    assert!(store.clock_ahead_ms().is_some_and(|ahead| ahead < -1_000_000), "{:?}", store.clock_ahead_ms());
}

#[tokio::test]
async fn what_is_not_amazon_is_said_to_be_something_else() {
    let (_, store) = scripted([(404, "<html>not found</html>")]);
    let error = migrate::verify(&store.table).await.unwrap_err();
    assert!(matches!(&error, SetupError::Foreign { setting: "store.endpoint_url", .. }), "{error}");
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
        migrate::verify(&Table::new(&config, "muster")).await.unwrap_err()
    });
    for error in futures_util::future::join_all(tried).await {
        assert!(matches!(&error, SetupError::Unreachable { setting: "store.endpoint_url", .. }), "{error}");
    }
}
