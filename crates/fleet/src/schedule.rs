//! When a scheduled bot sets out, so that it is in its call on time.

use std::time::Duration;

use muster_session::{BotId, Timestamp};

/// Setting out is spread over so much time: many calls begin at the same minute.
pub const SPREAD: Duration = Duration::from_secs(10);

/// Nobody sets out earlier than this, and its part of the spread.
pub const LONGEST_LEAD: Duration = Duration::from_secs(180);

/// Before anything was measured.
pub const FIRST_LEAD: Duration = Duration::from_secs(15);

/// How long before its time a bot sets out: as long as 95 % took from being due to the lobby or the call, and a part of the
/// spread that is the bot's own, so that starts do not come all at once. `learned` is that percentile.
#[must_use]
pub fn lead(learned: Option<Duration>, bot: BotId) -> Duration {
    learned.unwrap_or(FIRST_LEAD).min(LONGEST_LEAD) + jitter(bot)
}

/// When a bot sets out that is to be there at `join_at`.
#[must_use]
pub fn sets_out(join_at: Timestamp, learned: Option<Duration>, bot: BotId) -> Timestamp {
    join_at - lead(learned, bot)
}

/// Who has a time to be there up to this one may have to set out now; nobody else has to be looked at.
#[must_use]
pub fn horizon(now: Timestamp, learned: Option<Duration>) -> Timestamp {
    now + learned.unwrap_or(FIRST_LEAD).min(LONGEST_LEAD) + SPREAD
}

/// How many set out now, the earliest first, where too many have their time at once to look at each. Of `all` up to the
/// [`horizon`], `near` are the times of the first. It is as many as would set out by themselves if each drew a part of the
/// spread, so they are as even; who sets out next is seen after `tick`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of sessions"
)]
pub fn crowd(near: &[Timestamp], all: u64, learned: Option<Duration>, now: Timestamp, tick: Duration) -> u64 {
    let latest = learned.unwrap_or(FIRST_LEAD).min(LONGEST_LEAD);
    let odds = |join_at: Timestamp| {
        let left = (join_at - latest).since(now);
        if left <= tick { 1.0 } else { tick.as_secs_f64() / left.as_secs_f64() }
    };
    let seen: f64 = near.iter().copied().map(odds).sum();
    let behind = all.saturating_sub(near.len() as u64) as f64;
    (seen + behind * near.last().copied().map_or(0.0, odds)).ceil() as u64
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

    /// How many of these set out at each look, by [`crowd`] alone.
    fn starts(mut joins: Vec<Timestamp>, from: Timestamp, looks: u32) -> Vec<usize> {
        const TICK: Duration = Duration::from_millis(500);
        let learned = Some(Duration::from_secs(8));
        joins.sort_unstable();
        let look = |look| {
            let now = from + TICK * look;
            let all = joins.partition_point(|join_at| *join_at <= horizon(now, learned));
            let count = usize::try_from(crowd(&joins[..all.min(256)], all as u64, learned, now, TICK)).unwrap();
            let gone: Vec<Timestamp> = joins.drain(..count.min(all)).collect();
            assert!(
                gone.iter().all(|join_at| sets_out(*join_at, learned, bot(u128::from(u32::MAX))) <= now),
                "not too early"
            );
            assert!(joins.first().is_none_or(|join_at| now < *join_at - Duration::from_secs(8)), "nor too late");
            gone.len()
        };
        (0..looks).map(look).collect()
    }

    #[test]
    fn a_crowd_sets_out_evenly_and_in_time() {
        let at = Timestamp::from_millis(1_000_000_000);
        let starts_at_once = starts(vec![at; 5_000], at - Duration::from_secs(18), 22);
        assert_eq!(starts_at_once.iter().sum::<usize>(), 5_000);
        assert!(starts_at_once[..19].iter().all(|count| (200..=300).contains(count)), "{starts_at_once:?}");
        // A steady flow goes on as it comes.
        let flow = (0..6_000).map(|i| at + Duration::from_millis(i * 10)).collect();
        let starts = starts(flow, at - Duration::from_secs(18), 100);
        assert!(starts[30..].iter().all(|count| (20..=90).contains(count)), "{starts:?}");
    }

    #[test]
    fn a_slow_fleet_makes_nobody_set_out_long_before() {
        assert_eq!(lead(Some(Duration::from_secs(9_999)), bot(0)), LONGEST_LEAD);
        assert_eq!(lead(None, bot(0)), FIRST_LEAD);
    }
}
