use proptest::prelude::*;

use super::*;

fn share(taken: u64, held: u64) -> Share {
    Share { weight: 1, limit: None, taken, held }
}

fn line<const N: usize>(capacity: u64, tenants: [(&'static str, Share); N]) -> Line<&'static str> {
    Line { capacity, tenants: tenants.into_iter().collect() }
}

#[test]
fn alone_a_tenant_has_the_fleet_and_a_little_in_the_queue() {
    let line = line(100, []);
    assert_eq!(line.at_once(&"a", share(0, 0)), 100 + AHEAD);
    assert_eq!(line.at_once(&"a", Share { limit: Some(7), ..share(0, 0) }), 7);
}

#[test]
fn who_has_bots_in_line_gets_none_past_them() {
    assert_eq!(line(100, [("a", share(3, 1))]).at_once(&"a", share(3, 1)), 0);
}

#[test]
fn a_burst_does_not_keep_another_tenant_from_its_share() {
    let half_full = line(100, [("big", share(50, 9_900))]);
    assert_eq!(half_full.at_once(&"small", share(0, 0)), (100 + AHEAD) / 2);
    let full = line(100, [("big", share(100 + AHEAD, 9_900))]);
    assert_eq!(full.at_once(&"small", share(0, 0)), BESIDE);
    assert_eq!(full.at_once(&"small", share(4, 0)), BESIDE, "four of these are its own already");
}

#[test]
fn however_many_come_anew_no_more_wait_in_the_queue_than_may() {
    let mut line = Line { capacity: 10, tenants: BTreeMap::from([(0, share(10 + AHEAD, 100))]) };
    for tenant in 1..50 {
        let sent = line.at_once(&tenant, share(0, 0));
        line.tenants.insert(tenant, share(sent, 20 - sent));
    }
    let taken: u64 = line.tenants.values().map(|share| share.taken).sum();
    assert_eq!(taken, 10 + AHEAD + BESIDE);
    // And the next places are theirs who had none.
    line.capacity += 60;
    let next: Vec<i32> = std::iter::from_fn(|| line.give()).take(20).collect();
    assert!(!next.contains(&0), "{next:?}");
}

#[test]
fn places_go_to_who_has_least_of_its_share() {
    let heavy = Share { weight: 3, ..share(0, 100) };
    let mut line = line(40 - AHEAD, [("heavy", heavy), ("light", share(0, 100))]);
    while line.give().is_some() {}
    assert_eq!((line.tenants["heavy"].taken, line.tenants["light"].taken), (30, 10));
}

#[test]
fn a_limit_holds_whatever_is_free() {
    let mut line = line(1_000, [("a", Share { limit: Some(5), ..share(3, 100) })]);
    assert_eq!(line.wanting(), 2, "more workers would not help the others");
    assert_eq!(std::iter::from_fn(|| line.give()).count(), 2);
}

#[test]
fn an_eta_is_by_how_fast_places_get_free() {
    assert_eq!(eta(0, 10, Duration::from_secs(600)), Duration::from_secs(60));
    assert_eq!(eta(19, 10, Duration::from_secs(600)), Duration::from_secs(1_200));
    assert_eq!(eta(u64::MAX, 0, Duration::MAX), Duration::MAX);
}

fn shares() -> impl Strategy<Value = BTreeMap<u8, Share>> {
    let share = (1_u32..5, prop::option::of(0_u64..20), 0_u64..20, 0_u64..20);
    let share = share.prop_map(|(weight, limit, taken, held)| Share { weight, limit, taken, held });
    prop::collection::btree_map(any::<u8>(), share, 1..6)
}

proptest! {
    #[test]
    fn the_position_that_is_told_is_the_one_that_is_given(tenants in shares()) {
        let told = Line { capacity: 1_000_000, tenants };
        let mut line = told.clone();
        let mut given: BTreeMap<u8, u64> = BTreeMap::new();
        for place in 0.. {
            let Some(tenant) = line.give() else { break };
            let before = given.entry(tenant).or_default();
            prop_assert_eq!(told.ahead_of(&tenant, *before), place);
            *before += 1;
        }
        let gone: u64 = given.values().sum();
        prop_assert_eq!(gone, told.wanting());
    }

    #[test]
    fn nobody_exceeds_a_limit_and_the_fleet_is_filled(tenants in shares(), capacity in 0_u64..60) {
        let mut line = Line { capacity, tenants: tenants.clone() };
        let before: u64 = line.tenants.values().map(|share| share.taken).sum();
        let wanting = line.wanting();
        let given = std::iter::from_fn(|| line.give()).count() as u64;
        prop_assert_eq!(given, wanting.min((capacity + AHEAD).saturating_sub(before)));
        for (tenant, share) in &line.tenants {
            prop_assert!(share.limit.is_none_or(|limit| share.taken <= limit.max(tenants[tenant].taken)));
        }
    }

    #[test]
    fn with_room_for_all_nobody_waits(tenants in shares(), own in 0_u64..20) {
        let line = Line { capacity: 1_000, tenants: tenants.into_iter().map(|(tenant, share)| (u16::from(tenant), Share { held: 0, ..share })).collect() };
        let most = line.at_once(&999, share(own, 0));
        prop_assert!(most > own);
    }
}

#[test]
fn an_outlook_is_by_the_fleet_and_by_the_own_limit() {
    const STAY: Duration = Duration::from_secs(600);
    let limited = Share { limit: Some(2), ..share(2, 3) };
    let fleet = line(20, [("limited", limited), ("other", share(4, 0))]);
    // All who have a place run, and there is room; the own limit is what is waited for.
    let outlook = fleet.outlook(&"limited", 1, 6, STAY);
    assert_eq!(outlook, Outlook { ahead: 1, eta: Some(STAY) });
    // Two of those who have a place are not with a worker yet.
    let full = line(4, [("a", share(6, 3))]);
    assert_eq!(full.outlook(&"a", 2, 4, STAY), Outlook { ahead: 4, eta: Some(STAY * 5 / 4) });
    assert_eq!(full.outlook_queued(4, STAY), Outlook { ahead: 1, eta: Some(STAY * 2 / 4) });
    assert_eq!(line(8, [("a", share(6, 0))]).outlook_queued(4, STAY).eta, Some(Duration::ZERO), "there is room");
    assert_eq!(line(0, [("a", share(1, 1))]).outlook(&"a", 0, 0, STAY), Outlook { ahead: 1, eta: None });
}
