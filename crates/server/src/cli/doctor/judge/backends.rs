//! What was seen of queue and store.

use std::time::Duration;

use super::Check;
use crate::backends::{Complaint, Seen, clock};

const NTP: &str = "set this machine's clock right, and keep it so with NTP";

/// `name`: `queue` or `store`. `lease`: of sessions.
pub(super) fn judge(name: &'static str, seen: &Result<Seen, Complaint>, lease: Duration) -> Check {
    let seen = match seen {
        Ok(seen) => seen,
        Err(Complaint { error, fix }) => return Check::fail(name, error, fix),
    };
    let mut text = seen.detail.clone();
    if let Some(took) = seen.round_trip {
        text.push_str(&[", answers in ", &format!("{:.1} ms", took.as_secs_f64() * 1_000.0)].concat());
    }
    let mut remedies = Vec::new();
    if !seen.warnings.is_empty() {
        text.push_str(&["; ", &seen.warnings.join("; ")].concat());
        remedies.push(seen.remedy);
    }
    if let Some(ahead) = seen.ahead_ms {
        text.push_str(&["; this machine's clock is ", &clock::difference(ahead), " its own"].concat());
        match clock::judge(ahead, lease) {
            Ok(None) => {}
            Ok(Some(_)) => remedies.push(NTP),
            // A queue's leases go by its own clock.
            Err(skewed) if name == "store" => return Check::fail(name, format!("{text}: {skewed}"), NTP),
            Err(_) => remedies.push(NTP),
        }
    }
    match remedies.is_empty() {
        true => Check::ok(name, text),
        false => Check::warn(name, text, remedies.join("; ")),
    }
}
