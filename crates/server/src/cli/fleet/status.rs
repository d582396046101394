//! `muster fleet status`

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::bots::text::{date_time, table};

pub(super) fn lines(status: &Value, changes: usize, zone: &TimeZone) -> Vec<String> {
    let text = |key: &str| status[key].as_str().unwrap_or_default();
    let percent = |key: &str| status[key].as_u64().map_or_else(|| "?".to_owned(), |percent| format!("{percent} %"));
    let rows = [
        ("Workers", format!("{}, {} more drain", status["workers"], status["workers_draining"])),
        (
            "Wanted",
            format!(
                "{} ({}; {} to {})",
                status["desired_workers"],
                text("detail"),
                status["min_workers"],
                status["max_workers"]
            ),
        ),
        ("Actuator", text("actuator").to_owned()),
        (
            "Bots running",
            format!("{}, of {} slots {} are free", status["running"], status["slots"], status["free_slots"]),
        ),
        ("Bots waiting", format!("{} in the queue, {} in line", status["queued_unclaimed"], status["held"])),
        ("Bots due", format!("{} before a worker could start ({} s)", status["due_soon"], status["launch_seconds"])),
        (
            "In use",
            format!(
                "cores {}, memory {}, slots {}",
                percent("cpu_percent"),
                percent("memory_percent"),
                percent("active_percent")
            ),
        ),
    ];
    let mut lines = table(&rows.map(|(name, value)| vec![name.to_owned(), value]));
    let history = status["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !history.is_empty() && changes > 0 {
        let mut rows = vec![["CHANGED", "WORKERS", "BECAUSE"].map(str::to_owned).to_vec()];
        rows.extend(history.iter().take(changes).map(|change| {
            vec![
                date_time(&when(change), zone),
                format!("{} -> {}", change["from"], change["to"]),
                change["detail"].as_str().unwrap_or_default().to_owned(),
            ]
        }));
        lines.push(String::new());
        lines.extend(table(&rows));
    }
    lines
}

fn when(change: &Value) -> String {
    let at = change["at_ms"].as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fleet_is_a_few_lines_and_its_last_changes() {
        let change = json!({"at_ms": 1_769_850_000_000_i64, "from": 1, "to": 4, "detail": "25 bots wait"});
        let status = json!({"workers": 1, "workers_draining": 0, "desired_workers": 4, "detail": "25 bots wait",
            "min_workers": 1, "max_workers": 10, "actuator": "process", "running": 8, "slots": 8, "free_slots": 0,
            "queued_unclaimed": 17, "held": 8, "due_soon": 0, "launch_seconds": 3, "active_percent": 100,
            "cpu_percent": null, "memory_percent": 61, "history": [change, change]});
        let want = [
            "Workers       1, 0 more drain",
            "Wanted        4 (25 bots wait; 1 to 10)",
            "Actuator      process",
            "Bots running  8, of 8 slots 0 are free",
            "Bots waiting  17 in the queue, 8 in line",
            "Bots due      0 before a worker could start (3 s)",
            "In use        cores ?, memory 61 %, slots 100 %",
            "",
            "CHANGED              WORKERS  BECAUSE",
            "2026-01-31 09:00:00  1 -> 4   25 bots wait",
        ];
        assert_eq!(lines(&status, 1, &TimeZone::UTC), want);
        assert_eq!(lines(&status, 0, &TimeZone::UTC).len(), 7);
    }
}
