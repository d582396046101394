//! The table itself.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use muster_aws::{Names, SetupError, Trouble};

use super::item::{Key, maybe_number, n};
use super::table::Table;

/// The setting that names the table.
const SETTING: &str = "store.table";
/// For whoever uses the table.
pub(super) const USE: Names = Names {
    service: "Amazon DynamoDB",
    name: SETTING,
    region: "store.region",
    endpoint_url: "store.endpoint_url",
    actions: &[
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
        "dynamodb:ConditionCheckItem",
    ],
};
/// For whoever makes it.
pub(super) const MAKE: Names = Names {
    actions: &[
        "dynamodb:DescribeTable",
        "dynamodb:CreateTable",
        "dynamodb:UpdateTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:UpdateTimeToLive",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
    ],
    ..USE
};
/// Of what is stored. A release that stores something else counts on, and migrates.
const SCHEMA: u32 = 1;
/// Unix seconds after which DynamoDB removes an item by itself.
const TTL: &str = "expires_s";
/// How often a table or index that is being made is looked at, and for how long.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 1_200;

struct Index {
    name: &'static str,
    hash: &'static str,
    range: &'static str,
    /// Carried along, beside the keys.
    with: &'static [&'static str],
}

const INDEXES: [Index; 7] = [
    Index { name: "by_tenant", hash: "list_h", range: "list_r", with: &["st", "plat"] },
    Index { name: "by_state", hash: "state_h", range: "list_r", with: &["plat"] },
    Index { name: "by_due", hash: "part_h", range: "due_r", with: &[] },
    Index { name: "by_lease", hash: "part_h", range: "lease_r", with: &[] },
    Index { name: "by_deadline", hash: "part_h", range: "deadline_r", with: &[] },
    Index { name: "by_retirement", hash: "part_h", range: "retire_r", with: &[] },
    Index { name: "by_delivery", hash: "part_h", range: "next_r", with: &[] },
];

/// Checks that the table is there as it has to be. Changes nothing.
pub(super) async fn verify(table: &Table) -> Result<(), SetupError> {
    let there =
        describe(table, &USE).await?.ok_or_else(|| SetupError::Missing { setting: SETTING, what: what(table) })?;
    check_keys(table, &there)?;
    let active = |name: &str| {
        let found = there.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
        found.is_some_and(|index| index.index_status() == Some(&IndexStatus::Active))
    };
    if let Some(index) = INDEXES.iter().find(|index| !active(index.name)) {
        return Err(unfit(
            table,
            format!("index {} is missing or still being made; `muster migrate` makes it", index.name),
        ));
    }
    match schema(table, &USE).await? {
        Some(SCHEMA) => {}
        Some(other) => return Err(other_schema(table, other)),
        None => return Err(unfit(table, "it has no schema version; `muster migrate` writes it")),
    }
    if !has_ttl(table, &USE).await? {
        return Err(unfit(table, format!("it has no time to live by {TTL}; `muster migrate` enables it")));
    }
    Ok(())
}

pub(super) async fn migrate(
    table: &Table,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), SetupError> {
    let mut there = describe(table, &MAKE).await?;
    if there.as_ref().is_some_and(|there| !is_active(there)) {
        tell(format!("wait for {}, which is being made", what(table)));
        if !dry_run {
            wait_until_active(table).await?;
            there = describe(table, &MAKE).await?;
        }
    }
    // What is of another release is not touched.
    let stored = match &there {
        Some(there) => {
            check_keys(table, there)?;
            schema(table, &MAKE).await?
        }
        None => None,
    };
    if let Some(other) = stored.filter(|stored| *stored != SCHEMA) {
        return Err(other_schema(table, other));
    }
    match &there {
        Some(there) => add_indexes(table, there, dry_run, tell).await?,
        None => {
            tell(format!("create {} with {} indexes, on demand", what(table), INDEXES.len()));
            if !dry_run {
                create(table).await?;
            }
        }
    }
    if (there.is_none() && dry_run) || !has_ttl(table, &MAKE).await? {
        tell(format!("enable time to live of {} by {TTL}", what(table)));
        if !dry_run {
            enable_ttl(table).await?;
        }
    }
    if stored.is_none() {
        tell(format!("write schema version {SCHEMA} to {}", what(table)));
        if !dry_run {
            write_schema(table).await?;
        }
    }
    Ok(())
}

fn other_schema(table: &Table, found: u32) -> SetupError {
    let detail = format!(
        "it has schema {found}, and this release knows schema {SCHEMA}: use the release that wrote it, or another {SETTING}"
    );
    unfit(table, detail)
}

async fn add_indexes(
    table: &Table,
    there: &TableDescription,
    dry_run: bool,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), SetupError> {
    for index in &INDEXES {
        if there.global_secondary_indexes().iter().any(|known| known.index_name() == Some(index.name)) {
            continue;
        }
        tell(format!("create index {} of {}", index.name, what(table)));
        if dry_run {
            continue;
        }
        let create = CreateGlobalSecondaryIndexAction::builder().index_name(index.name);
        let create = create.set_key_schema(Some(keys(index.hash, index.range))).projection(projection(index));
        let update = GlobalSecondaryIndexUpdate::builder().create(create.build().expect("name and keys are set"));
        let update = table
            .client
            .update_table()
            .table_name(&table.name)
            .set_attribute_definitions(Some(attributes(&[index.hash, index.range])))
            .global_secondary_index_updates(update.build());
        update.send().await.map_err(|error| SetupError::from_sdk(&MAKE, what(table), &error))?;
        // One at a time is what DynamoDB takes.
        wait_until_active(table).await?;
    }
    Ok(())
}

async fn create(table: &Table) -> Result<(), SetupError> {
    let mut names = vec!["pk", "sk"];
    names.extend(INDEXES.iter().flat_map(|index| [index.hash, index.range]));
    names.sort_unstable();
    names.dedup();
    let mut create = table.client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    create = create.set_key_schema(Some(keys("pk", "sk"))).set_attribute_definitions(Some(attributes(&names)));
    for index in &INDEXES {
        let keys = keys(index.hash, index.range);
        let index = GlobalSecondaryIndex::builder()
            .index_name(index.name)
            .set_key_schema(Some(keys))
            .projection(projection(index))
            .build();
        create = create.global_secondary_indexes(index.expect("name, keys and projection are set"));
    }
    create.send().await.map_err(|error| SetupError::from_sdk(&MAKE, what(table), &error))?;
    wait_until_active(table).await
}

async fn wait_until_active(table: &Table) -> Result<(), SetupError> {
    for _ in 0..LOOKS {
        let there = describe(table, &MAKE).await?;
        if there.is_some_and(|there| is_active(&there)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(unfit(table, "it is still being made; run `muster migrate` again later"))
}

/// The table and everything that it has is ready.
fn is_active(there: &TableDescription) -> bool {
    let indexes = there.global_secondary_indexes();
    there.table_status() == Some(&TableStatus::Active)
        && indexes.iter().all(|index| index.index_status() == Some(&IndexStatus::Active))
}

async fn describe(table: &Table, names: &Names) -> Result<Option<TableDescription>, SetupError> {
    match table.client.describe_table().table_name(&table.name).send().await {
        Ok(there) => Ok(there.table),
        Err(error) if muster_aws::trouble(&error) == Trouble::Missing => Ok(None),
        Err(error) => Err(SetupError::from_sdk(names, what(table), &error)),
    }
}

fn check_keys(table: &Table, there: &TableDescription) -> Result<(), SetupError> {
    if there.key_schema() == keys("pk", "sk") {
        return Ok(());
    }
    Err(unfit(table, "its keys are not pk and sk: it belongs to something else"))
}

async fn has_ttl(table: &Table, names: &Names) -> Result<bool, SetupError> {
    let asked = table.client.describe_time_to_live().table_name(&table.name).send().await;
    let asked = asked.map_err(|error| SetupError::from_sdk(names, what(table), &error))?;
    let Some(ttl) = asked.time_to_live_description else { return Ok(false) };
    let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
    let on = ttl.time_to_live_status().is_some_and(|status| on.contains(status));
    match ttl.attribute_name() {
        Some(TTL) | None => Ok(on),
        Some(other) if on => Err(unfit(table, format!("its time to live is by {other}, not by {TTL}"))),
        Some(_) => Ok(false),
    }
}

async fn enable_ttl(table: &Table) -> Result<(), SetupError> {
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(TTL).build();
    let update = table.client.update_time_to_live().table_name(&table.name);
    let update = update.time_to_live_specification(ttl.expect("both are set")).send().await;
    update.map_err(|error| SetupError::from_sdk(&MAKE, what(table), &error))?;
    Ok(())
}

async fn schema(table: &Table, names: &Names) -> Result<Option<u32>, SetupError> {
    let get = table.client.get_item().table_name(&table.name).set_key(Some(Key::schema().into_item()));
    let got = get.consistent_read(true).send().await;
    let got = got.map_err(|error| SetupError::from_sdk(names, what(table), &error))?;
    Ok(got.item.and_then(|item| maybe_number(&item, "schema_version")))
}

async fn write_schema(table: &Table) -> Result<(), SetupError> {
    let mut item = Key::schema().into_item();
    item.insert("schema_version".into(), n(SCHEMA));
    let put = table.client.put_item().table_name(&table.name).set_item(Some(item)).send().await;
    put.map_err(|error| SetupError::from_sdk(&MAKE, what(table), &error))?;
    Ok(())
}

fn what(table: &Table) -> String {
    format!("table {}", table.name)
}

fn unfit(table: &Table, detail: impl Into<String>) -> SetupError {
    SetupError::Unfit { setting: SETTING, what: what(table), detail: detail.into() }
}

fn keys(hash: &str, range: &str) -> Vec<KeySchemaElement> {
    let key = |name: &str, key_type| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
    [key(hash, KeyType::Hash), key(range, KeyType::Range)].map(|key| key.expect("name and type are set")).to_vec()
}

fn attributes(names: &[&str]) -> Vec<AttributeDefinition> {
    let of = |name: &&str| AttributeDefinition::builder().attribute_name(*name).attribute_type(ScalarAttributeType::S);
    names.iter().map(|name| of(name).build().expect("name and type are set")).collect()
}

fn projection(index: &Index) -> Projection {
    let with = (!index.with.is_empty()).then(|| index.with.iter().map(|name| (*name).to_owned()).collect());
    let kind = if with.is_some() { ProjectionType::Include } else { ProjectionType::KeysOnly };
    Projection::builder().projection_type(kind).set_non_key_attributes(with).build()
}
