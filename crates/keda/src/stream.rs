//! What is said on an open stream.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Interval, MissedTickBehavior};

use crate::{Reading, Source};

/// Looks at a source, again and again.
pub(crate) struct Looks<S> {
    source: S,
    ticks: Interval,
}

impl<S: Source> Looks<S> {
    /// The first look is at once.
    pub(crate) fn new(source: S, every: Duration) -> Self {
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { source, ticks }
    }

    /// The next reading that could be had. While none can, nothing is said: nothing changes.
    async fn next(&mut self) -> Reading {
        loop {
            self.ticks.tick().await;
            match self.source.read().await {
                Ok(reading) => return reading,
                Err(error) => tracing::warn!(error, "KEDA is told nothing"),
            }
        }
    }
}

/// Whether the fleet is active: at first, whenever that changes, and again when more is wanted of one that is.
pub(crate) fn news<S: Source>(looks: Looks<S>) -> impl Stream<Item = bool> + Send {
    let readings = stream::unfold(looks, |mut looks| async { Some((looks.next().await, looks)) });
    readings
        .scan(None::<Reading>, |last, reading| {
            let news = is_news(last.as_ref(), &reading).then_some(reading.active);
            *last = Some(reading);
            std::future::ready(Some(news))
        })
        .filter_map(std::future::ready)
}

fn is_news(last: Option<&Reading>, now: &Reading) -> bool {
    last.is_none_or(|last| last.active != now.active || (now.active && now.wanted > last.wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_what_changed() {
        let reading = |active, wanted| Reading { active, wanted, ..Reading::default() };
        assert!(is_news(None, &reading(false, 0)), "at first, whatever it is");
        let idle = reading(false, 0);
        assert!(!is_news(Some(&idle), &idle));
        assert!(is_news(Some(&idle), &reading(true, 1)));
        assert!(is_news(Some(&reading(true, 1)), &reading(true, 2)), "more is wanted");
        assert!(!is_news(Some(&reading(true, 2)), &reading(true, 1)));
        assert!(is_news(Some(&reading(true, 1)), &idle));
    }
}
