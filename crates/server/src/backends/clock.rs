//! This machine's clock against that of the session store. No I/O.
//!
//! Leases of sessions are written by one machine and judged by another, each by its own clock. The store's clock stands for
//! the others: who is within half a lease of it is within a lease of everybody. And within twice [`MOST`], by which workers are
//! taken for lost.

use std::time::Duration;

/// Below this nobody notices: a clock that NTP keeps is within milliseconds, and some stores tell theirs to the second.
pub(crate) const NOTICED: Duration = Duration::from_secs(2);

/// More is too much, however long leases are.
const MOST: Duration = Duration::from_secs(15);

/// A clock that makes leases worthless, or workers look lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine is {difference} the store's, which is more than {most:?} (half of worker.lease, and {MOST:?} at the most): sessions would be lost or had twice, and workers taken for lost. Set the clock right (NTP)"
)]
pub(crate) struct Skewed {
    difference: String,
    most: Duration,
}

/// A warning for a difference that shows, an error for one that breaks things. `ahead_ms`: of this machine.
pub(crate) fn judge(ahead_ms: i64, lease: Duration) -> Result<Option<String>, Skewed> {
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let most = MOST.min(lease / 2);
    if off > most {
        return Err(Skewed { difference: difference(ahead_ms), most });
    }
    Ok((off > NOTICED).then(|| {
        format!(
            "the clock of this machine is {} the store's: bots of a worker that died wait that much longer, or lease renewals have that much less time. Set the clock right (NTP)",
            difference(ahead_ms)
        )
    }))
}

/// Such as `0.3 s ahead of`.
pub(crate) fn difference(ahead_ms: i64) -> String {
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("{:.1} s {side}", ahead_ms.unsigned_abs() as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    #[test]
    fn two_seconds_show_and_half_a_lease_is_too_much() {
        for ahead in [0, 2_000, -2_000] {
            assert_eq!(judge(ahead, LEASE), Ok(None), "{ahead}");
        }
        for (ahead, words) in [(2_001, "2.0 s ahead of"), (-15_000, "15.0 s behind")] {
            let warning = judge(ahead, LEASE).unwrap().unwrap();
            assert!(warning.contains(words), "{warning}");
        }
        for (ahead, words) in [(15_001, "15.0 s ahead of"), (-600_000, "600.0 s behind")] {
            let refused = judge(ahead, LEASE).unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("more than 15s"), "{refused}");
            assert!(judge(ahead, 10 * LEASE).is_err(), "{ahead}");
        }
    }

    #[test]
    fn a_short_lease_leaves_no_room_for_a_warning() {
        assert!(judge(1_501, Duration::from_secs(3)).unwrap_err().to_string().contains("more than 1.5s"));
        assert_eq!(judge(1_499, Duration::from_secs(3)), Ok(None));
    }
}
