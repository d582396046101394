//! Lists that come in pages.

use serde_json::Value;

use crate::cli::bots::client::Client;

/// Largest page that the server gives.
const PAGE: u32 = 100;

/// Up to `limit` entries of the list `key`, whether there are more, and the first page without its list.
pub(super) async fn fetch(
    client: &Client,
    path: &str,
    key: &str,
    filters: &[(&'static str, Option<String>)],
    limit: u32,
) -> anyhow::Result<(Vec<Value>, bool, Value)> {
    let wanted = limit as usize;
    let (mut found, mut first, mut cursor): (Vec<Value>, Option<Value>, Option<String>) = (Vec::new(), None, None);
    loop {
        let left = u32::try_from(wanted - found.len()).unwrap_or(PAGE);
        let mut query = vec![("limit", left.min(PAGE).to_string())];
        query.extend(filters.iter().filter_map(|(name, value)| Some((*name, value.clone()?))));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let (_, mut page) = client.get(path, &query).await?;
        match page[key].take() {
            Value::Array(items) => found.extend(items),
            _ => anyhow::bail!("the server's answer has no {key} in it; is it of another release?"),
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        let first = first.get_or_insert(page);
        if found.len() >= wanted || cursor.is_none() {
            let more = cursor.is_some() || found.len() > wanted;
            found.truncate(wanted);
            return Ok((found, more, first.take()));
        }
    }
}

/// What is said when a list was cut.
pub(super) fn more(limit: u32) -> String {
    format!("There are more: --limit {}", limit.saturating_mul(2).min(10_000))
}
