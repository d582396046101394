//! A worker ends a bot that does not say how it is.

use super::*;

/// The next report, whatever it is.
async fn line(bench: &mut Bench) -> Report {
    let line = tokio::time::timeout(PATIENCE, bench.reports.next_line()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn a_bot_says_how_it_is_before_its_page_opens_and_after() {
    let mut opening = bench(None, |_| {});
    while !matches!(line(&mut opening).await, Report::Health { .. }) {}
    let mut open = bench(Some(Ok(())), |_| {});
    for _ in ["opening", "open"] {
        while !matches!(line(&mut open).await, Report::Health { .. }) {}
    }
}

#[test]
fn it_says_so_at_once_and_then_every_five_seconds() {
    let mut pulse = Pulse::default();
    let due: Vec<i64> = (1_000..1_012).filter(|s| pulse.is_due(Timestamp::from_millis(s * 1_000))).collect();
    assert_eq!(due, [1_000, 1_005, 1_010]);
}
