//! When a scheduled bot sets out, so that it is in its call on time.

use std::time::Duration;

use muster_session::{BotId, Timestamp};

/// Setting out is spread over so much time: many calls begin at the same minute.
pub const SPREAD: Duration = Duration::from_secs(10);

/// Nobody sets out earlier than this.
pub const LONGEST_LEAD: Duration = Duration::from_secs(180);

/// Before anything was measured.
pub const FIRST_LEAD: Duration = Duration::from_secs(15);

/// How long before its time a bot sets out: as long as 95 % took from being due to the lobby or the call, and a part of the
/// spread that is the bot's own, so that starts do not come all at once. `learned` is that percentile.
#[must_use]
pub fn lead(learned: Option<Duration>, bot: BotId) -> Duration {
    (learned.unwrap_or(FIRST_LEAD) + jitter(bot)).min(LONGEST_LEAD)
}

/// When a bot sets out that is to be there at `join_at`.
#[must_use]
pub fn sets_out(join_at: Timestamp, learned: Option<Duration>, bot: BotId) -> Timestamp {
    join_at - lead(learned, bot)
}

/// Of the spread, by the random part of its id: the same every time.
fn jitter(bot: BotId) -> Duration {
    let random = u32::try_from(bot.as_uuid().as_u128() & u128::from(u32::MAX)).unwrap_or_default();
    SPREAD.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(low: u128) -> BotId {
        BotId::from_uuid(uuid::Uuid::from_u128(low))
    }

    #[test]
    fn starts_are_spread_and_never_late() {
        let at = Timestamp::from_millis(1_000_000_000);
        let learned = Some(Duration::from_secs(8));
        let starts: Vec<_> = (0..100).map(|i| sets_out(at, learned, bot(i * u128::from(u32::MAX / 100)))).collect();
        assert!(starts.iter().all(|start| *start <= at - Duration::from_secs(8)));
        assert!(starts.iter().all(|start| *start >= at - Duration::from_secs(18)));
        let (first, last) = (starts.iter().min().unwrap(), starts.iter().max().unwrap());
        assert!(last.since(*first) > Duration::from_secs(9), "{first} to {last}");
    }

    #[test]
    fn a_slow_fleet_makes_nobody_set_out_long_before() {
        assert_eq!(lead(Some(Duration::from_secs(9_999)), bot(0)), LONGEST_LEAD);
        assert_eq!(lead(None, bot(0)), FIRST_LEAD);
    }
}
