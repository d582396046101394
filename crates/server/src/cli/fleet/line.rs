//! `muster fleet line`

use std::time::Duration;

use serde_json::Value;

use crate::cli::bots::text::{duration, table};

pub(super) fn lines(line: &Value) -> Vec<String> {
    let stay = duration(Duration::from_secs(line["stay_seconds"].as_u64().unwrap_or_default()));
    let lead = match line["lead_seconds"].as_f64() {
        Some(seconds) => format!("{seconds:.1} s"),
        None => "not known yet".to_owned(),
    };
    let mut lines = vec![
        format!(
            "Room for {} bots, of which {} run. More workers would run {} more.",
            line["capacity"], line["running"], line["wanting"]
        ),
        format!("A bot keeps its place for {stay} in the mean; lead of scheduled bots: {lead}."),
    ];
    let tenants = line["tenants"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tenants.is_empty() {
        lines.push("Nobody has a bot or waits for one.".to_owned());
        return lines;
    }
    let mut rows = vec![["TENANT", "BOTS", "LIMIT", "IN LINE", "WEIGHT"].map(str::to_owned).to_vec()];
    rows.extend(tenants.iter().map(|tenant| {
        let number = |key: &str| tenant[key].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
        let name = tenant["tenant"].as_str().unwrap_or_default().to_owned();
        vec![name, number("taken"), number("limit"), number("held"), number("weight")]
    }));
    lines.extend(table(&rows));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tenant_is_a_line() {
        let line = json!({"capacity": 8, "running": 8, "wanting": 3, "stay_seconds": 1_800, "lead_seconds": 8.25,
            "tenants": [{"tenant": "acme", "taken": 5, "held": 2, "limit": 5, "weight": 1},
                {"tenant": "b", "taken": 19, "held": 3, "limit": null, "weight": 3}]});
        let want = [
            "Room for 8 bots, of which 8 run. More workers would run 3 more.",
            "A bot keeps its place for 30:00 min in the mean; lead of scheduled bots: 8.2 s.",
            "TENANT  BOTS  LIMIT  IN LINE  WEIGHT",
            "acme    5     5      2        1",
            "b       19    -      3        3",
        ];
        assert_eq!(lines(&line), want);
    }
}
