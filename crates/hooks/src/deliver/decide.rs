//! The rules of delivery. No I/O, no clock.

use std::time::Duration;

use http::HeaderValue;
use muster_session::Timestamp;
use muster_session::retry::delivery_backoff;
use muster_store::{Delivery, DeliveryStatus};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this HTTP status.
    Answered(u16),
    /// Without an answer: refused by the guard, not reached, or too slow.
    NoAnswer,
}

impl Outcome {
    /// The status, if there was an answer.
    #[must_use]
    pub const fn http_status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            Self::NoAnswer => None,
        }
    }
}

/// What to do for a bot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next<'a> {
    /// Nothing is pending.
    Nothing,
    /// Nothing is due before this.
    Wait(Timestamp),
    /// This one.
    Send(&'a Delivery),
}

/// What becomes of a delivery after an attempt, with `failures` failed attempts before it.
///
/// 2xx is delivered. 410 says that the receiver is gone: failed for good. Everything else, redirects included, is
/// tried again on the schedule of [`delivery_backoff`] until that is used up. `retry_after` can only lengthen a pause:
/// a receiver that asks for haste would otherwise use up the schedule in seconds.
#[must_use]
pub fn after_attempt(
    outcome: Outcome,
    failures: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
    jitter: f64,
) -> DeliveryStatus {
    if let Outcome::Answered(200..=299) = outcome {
        return DeliveryStatus::Delivered;
    }
    if outcome == Outcome::Answered(410) {
        return DeliveryStatus::Failed;
    }
    let failures = failures.saturating_add(1);
    let pause = delivery_backoff(failures, None, jitter).max(delivery_backoff(failures, retry_after, jitter));
    pause.map_or(DeliveryStatus::Failed, |pause| DeliveryStatus::Pending { next_at: now + pause })
}

/// The first of a bot's pending deliveries, given in order, that may go now.
#[must_use]
pub fn next(pending: &[Delivery], now: Timestamp) -> Next<'_> {
    let mut wait: Option<Timestamp> = None;
    for delivery in pending {
        let DeliveryStatus::Pending { next_at } = delivery.status else { continue };
        if next_at <= now {
            return Next::Send(delivery);
        }
        wait = Some(wait.map_or(next_at, |earlier| earlier.min(next_at)));
        if delivery.failures == 0 {
            break;
        }
    }
    wait.map_or(Next::Nothing, Next::Wait)
}

/// A `Retry-After` header: seconds, or a date.
#[must_use]
pub fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use muster_session::event::Event;
    use muster_session::{BotId, TenantId};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn in_seconds(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn delivery(sequence: u64, next_at: Timestamp, failures: u32) -> Delivery {
        let bot = BotId::from_uuid(uuid::Uuid::from_u128(7));
        let event = Event {
            bot,
            sequence,
            at: NOW,
            event: "bot.joining".into(),
            bot_event: "bot.joining".into(),
            to: None,
            body: json!({}),
        };
        Delivery {
            id: sequence,
            tenant: TenantId::new("t"),
            url: "https://example.com/".parse().unwrap(),
            endpoint: None,
            made_at: NOW,
            event,
            status: DeliveryStatus::Pending { next_at },
            failures,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn answers_decide() {
        let after = |outcome, failures| after_attempt(outcome, failures, None, NOW, 0.5);
        for good in [200, 201, 204, 299] {
            assert_eq!(after(Outcome::Answered(good), 3), DeliveryStatus::Delivered);
        }
        assert_eq!(after(Outcome::Answered(410), 0), DeliveryStatus::Failed);
        for bad in [Outcome::NoAnswer, Outcome::Answered(302), Outcome::Answered(404), Outcome::Answered(500)] {
            assert_eq!(after(bad, 0), DeliveryStatus::Pending { next_at: in_seconds(5) }, "{bad:?}");
            assert_eq!(after(bad, 1), DeliveryStatus::Pending { next_at: in_seconds(300) }, "{bad:?}");
            assert_eq!(after(bad, 6), DeliveryStatus::Pending { next_at: in_seconds(36_000) }, "{bad:?}");
            assert_eq!(after(bad, 7), DeliveryStatus::Failed, "{bad:?}");
        }
    }

    #[test]
    fn retry_after_lengthens_a_pause_and_never_shortens_it() {
        let after = |seconds, failures| {
            let asked = Some(Duration::from_secs(seconds));
            after_attempt(Outcome::Answered(429), failures, asked, NOW, 0.5)
        };
        assert_eq!(after(60, 0), DeliveryStatus::Pending { next_at: in_seconds(60) });
        assert_eq!(after(0, 0), DeliveryStatus::Pending { next_at: in_seconds(5) });
        assert_eq!(after(1 << 40, 0), DeliveryStatus::Pending { next_at: in_seconds(3_600) });
        assert_eq!(after(60, 7), DeliveryStatus::Failed);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = Timestamp::parse("1994-11-06T08:49:07Z").unwrap();
        let read = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5"), None);
    }

    #[test]
    fn an_untried_delivery_holds_back_the_later_ones() {
        let pending = [delivery(1, in_seconds(9), 0), delivery(2, NOW, 0)];
        assert_eq!(next(&pending, NOW), Next::Wait(in_seconds(9)));
        assert_eq!(next(&pending, in_seconds(9)), Next::Send(&pending[0]));
    }

    #[test]
    fn a_failed_delivery_lets_the_later_ones_pass() {
        let pending = [delivery(1, in_seconds(9), 1), delivery(2, NOW, 0), delivery(3, NOW, 0)];
        assert_eq!(next(&pending, NOW), Next::Send(&pending[1]));
        let waiting = [delivery(1, in_seconds(9), 1), delivery(2, in_seconds(5), 1)];
        assert_eq!(next(&waiting, NOW), Next::Wait(in_seconds(5)));
        assert_eq!(next(&[], NOW), Next::Nothing);
    }
}
