//! The rules of delivery. No I/O, no clock.

use std::time::Duration;

use http::HeaderValue;
use muster_session::Timestamp;
use muster_session::retry::delivery_backoff;
use muster_store::{Delivery, DeliveryStatus};

use super::circuit::Verdict;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this HTTP status.
    Answered(u16),
    /// Without an answer: not reached, or too slow.
    NoAnswer,
    /// Not tried: the guard refused the address, or it cannot be signed.
    Refused,
}

impl Outcome {
    /// The status, if there was an answer.
    #[must_use]
    pub const fn http_status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            Self::NoAnswer | Self::Refused => None,
        }
    }
}

/// The longest that an open circuit holds back an attempt that its schedule asks for.
const LONGEST_HELD: Duration = Duration::from_secs(3_600);

/// What an attempt says of the host.
#[must_use]
pub const fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Answered(429 | 500..=599) | Outcome::NoAnswer => Verdict::Down,
        Outcome::Answered(_) => Verdict::Up,
        Outcome::Refused => Verdict::Unknown,
    }
}

/// True if a delivery was held back for so long that it is tried whatever its circuit says. So no more wait for a receiver
/// than its schedule makes, and one that others have trouble with is not held back for their sake for ever. One that is sent again
/// after it was settled is not overdue: it may be old, and its schedule begins with its next attempt.
#[must_use]
pub fn is_overdue(delivery: &Delivery, now: Timestamp) -> bool {
    let last = delivery.attempts.last().map_or(delivery.made_at, |attempt| attempt.at.max(delivery.made_at));
    if delivery.failures == 0 && !delivery.attempts.is_empty() {
        return false;
    }
    let pause = delivery_backoff(delivery.failures, None, 1.0).unwrap_or_default();
    now.since(last) > pause + LONGEST_HELD
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
    use muster_store::Attempt;

    use super::*;
    use crate::deliver::lanes::tests::sample;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn in_seconds(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
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
    fn what_is_held_back_for_an_hour_is_tried() {
        let hour = Duration::from_secs(3_600);
        let mut delivery = sample(1, NOW, 0);
        assert!(!is_overdue(&delivery, NOW + hour));
        assert!(is_overdue(&delivery, NOW + hour + Duration::from_millis(1)));
        delivery.failures = 2;
        delivery.attempts =
            vec![Attempt { at: NOW + hour, http_status: None, latency_ms: 0, detail: String::new(), url: None }];
        assert!(!is_overdue(&delivery, NOW + hour * 2 + Duration::from_secs(360)));
        assert!(is_overdue(&delivery, NOW + hour * 2 + Duration::from_secs(361)));
        // Sent again.
        delivery.failures = 0;
        assert!(!is_overdue(&delivery, NOW + hour * 24));
    }
}
