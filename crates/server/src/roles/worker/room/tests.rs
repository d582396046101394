use std::sync::atomic::{AtomicI64, Ordering};

use muster_session::leave::LeavePolicy;
use muster_session::{MediaPlan, Meeting, NewSession, TenantId, TranscriptId};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::config::{Config, Sources};

pub(in crate::roles::worker) fn session(platform: &str, live: bool) -> Session {
    let link = "http://127.0.0.1/room";
    let live_audio = live.then(|| "wss://customer.example/audio".parse().unwrap());
    let new = NewSession {
        id: BotId::from_uuid(Uuid::now_v7()),
        tenant: TenantId::new("customer"),
        request: json!({}),
        meeting: Meeting {
            link: link.to_owned(),
            platform: platform.to_owned(),
            label: platform.to_owned(),
            join_url: link.parse().unwrap(),
            key: "room".to_owned(),
        },
        bot_name: "Notes".to_owned(),
        callback_url: None,
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan { live_audio, ..MediaPlan::default() },
        deduplication_key: None,
        rejoin: true,
        remote: None,
        overflow: None,
        join_at: None,
        transcript_id: TranscriptId::from_uuid(Uuid::now_v7()),
        retention: Duration::from_secs(86_400),
    };
    Session::create(new, Timestamp::from_millis(0)).0
}

/// A clock that is moved by hand, in milliseconds.
pub(in crate::roles::worker) fn clock() -> (Clock, Arc<AtomicI64>) {
    let millis = Arc::new(AtomicI64::new(0));
    let told = Arc::clone(&millis);
    (Clock::new(move || Timestamp::from_millis(told.load(Ordering::SeqCst))), millis)
}

/// A bot is in its call until it has settled, and uses so much memory.
pub(in crate::roles::worker) fn settle(room: &Room, millis: &AtomicI64, seat: &Seat, memory_bytes: u64) {
    seat.admitted();
    for _ in 0..8 {
        millis.fetch_add(5_000, Ordering::SeqCst);
        room.measured(seat.number, Box::new(Fixed), memory_bytes, Duration::ZERO);
    }
}

/// Room on this machine for as many bots as `share` of it is held for each.
fn room(config: impl FnOnce(&mut WorkerConfig)) -> Arc<Room> {
    let mut worker = Config::load(&Sources::default()).unwrap().worker;
    worker.bot_cpu_millis = 10;
    worker.bot_memory = 1_000_000;
    config(&mut worker);
    Room::new(&worker, Some(Machine::here()), Clock::system())
}

/// What a test says that a bot uses.
#[derive(Debug)]
struct Fixed;

impl Gauge for Fixed {
    fn read(&mut self, _: &muster_runtime::ProcessTable) -> muster_runtime::measure::Usage {
        muster_runtime::measure::Usage::default()
    }
}

#[tokio::test]
async fn who_waits_for_room_is_woken_when_a_bot_is_gone() {
    let room = room(|config| config.max_concurrent_bots = 1);
    room.has_room().await;
    let mut bots = room.bots();
    let seat = room.reserve(&session("zoom", false)).unwrap();
    assert_eq!(*bots.borrow_and_update(), 1);
    let other = room.reserve(&session("zoom", false)).unwrap_err();
    assert!(!room.is_too_small_for(other), "only full");
    room.keep_room_for(other);
    let outlook = room.outlook();
    assert_eq!((outlook.room, outlook.limit, outlook.idle_since), (0, Limit::Slots, None));
    assert_eq!(outlook.bots[0].1, "zoom/audio");
    let waiting = tokio::spawn({
        let room = Arc::clone(&room);
        async move { room.has_room().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(seat);
    waiting.await.unwrap();
    assert_eq!(*bots.borrow_and_update(), 0);
    assert!(room.outlook().idle_since.is_some());
}

#[test]
fn one_that_never_fits_is_told_from_one_that_does_not_fit_now() {
    let room = room(|config| config.bot_memory = u64::MAX / 2);
    let cost = room.reserve(&session("zoom", false)).unwrap_err();
    assert!(room.is_too_small_for(cost));
    assert_eq!((room.budget().1, room.budget().2), (0, Limit::Memory));
}

/// What a bot of a kind was measured to use, often enough.
fn learned<const N: usize>(kinds: [(&str, u64); N]) -> CostBook {
    let mut book = CostBook::default();
    for (kind, memory_bytes) in kinds {
        (0..100).for_each(|_| book.record(kind, Cost { memory_bytes, cpu_millis: 1, ..Cost::default() }));
    }
    book
}

#[test]
fn the_cheapest_kind_is_let_in_and_room_is_kept_a_while_for_one_that_did_not_fit() {
    let (clock, millis) = clock();
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(&config, Some(Machine::here()), clock);
    let all = room.budget().0.memory_bytes;
    room.learn(learned([("zoom/audio", 1_000_000), ("zoom/live", all / 2)]));
    let _first = room.reserve(&session("zoom", true)).unwrap();
    let dear = room.reserve(&session("zoom", true)).unwrap_err();
    assert_eq!((room.check(), room.outlook().room), (Ok(()), 1), "others fit");
    room.keep_room_for(dear);
    assert_eq!((room.check(), room.outlook().room), (Err(Limit::Memory), 0));
    millis.store(29_999, Ordering::SeqCst);
    assert_eq!(room.check(), Err(Limit::Memory));
    millis.store(30_000, Ordering::SeqCst);
    assert_eq!((room.check(), room.outlook().room), (Ok(()), 1), "long enough");
    room.keep_room_for(Cost { memory_bytes: all * 2, ..Cost::default() });
    assert_eq!(room.check(), Ok(()), "it would never fit");
}

#[test]
fn a_bot_that_wants_more_cores_than_there_are_gets_those() {
    let room = room(|config| config.bot_cpu_millis = 4_000_000);
    let seat = room.reserve(&session("zoom", false)).unwrap();
    assert_eq!(room.outlook().room, 0);
    drop(seat);
}

#[tokio::test]
async fn one_with_too_much_memory_is_ended_with_figures_and_the_largest_when_the_machine_has_too_little() {
    let room = room(|config| config.bot_memory_limit = 100_000_000);
    let mut seats = [(); 2].map(|()| room.reserve(&session("zoom", true)).unwrap());
    let measure = |room: &Room, memory: [u64; 2]| {
        for (seat, memory) in [0, 1].iter().zip(memory) {
            room.measured(*seat, Box::new(Fixed), memory, Duration::ZERO);
        }
        room.enforce();
    };
    measure(&room, [100_000_000, 101_000_000]);
    let Eviction { reason, message: why } = seats[1].evicted().await;
    assert_eq!(reason, EndReason::OverBudget);
    assert!(why.contains("used 101 MB of memory, more than the 100 MB"), "{why}");
    assert!(seats[0].eviction.borrow().is_none());
    let [left, over] = seats;
    drop(over);
    let mut seats = [left, room.reserve(&session("zoom", true)).unwrap()];
    room.looked(room.reserve);
    room.relieve();
    assert!(seats[0].eviction.borrow().is_none(), "as much is left as has to be");
    room.looked(room.reserve - 1);
    room.relieve();
    let Eviction { reason, message: why } = seats[0].evicted().await;
    assert_eq!(reason, EndReason::HostOutOfMemory, "far below what one may have: {why}");
    assert!(reason.worth_retry());
    assert!(why.ends_with("run out of memory; this bot used 100 MB, and 1 MB were reserved for it"), "{why}");
    room.measured(2, Box::new(Fixed), 1_000_000, Duration::ZERO);
    room.relieve();
    assert!(seats[1].eviction.borrow().is_none(), "one at a time");
    // Nothing of it is left, though its last word is not written yet.
    room.measured(0, Box::new(Fixed), 0, Duration::ZERO);
    room.relieve();
    let Eviction { reason, message: why } = seats[1].evicted().await;
    assert_eq!(reason, EndReason::HostOutOfMemory, "others took the memory");
    assert!(why.ends_with("this bot used 1 MB, and 1 MB were reserved for it"), "{why}");
}

#[test]
fn costs_are_learned_by_platform_and_mode_and_reserved_from_then_on() {
    let room = room(|_| {});
    room.learn(learned([("zoom/live", 50_000_000)]));
    let _seats =
        [("zoom", true), ("zoom", false)].map(|(platform, live)| room.reserve(&session(platform, live)).unwrap());
    let bots = room.outlook().bots;
    let cost = |kind: &str| bots.iter().find(|(_, known, _)| known == kind).unwrap().2.memory_bytes;
    assert!((50_000_000..=52_500_000).contains(&cost("zoom/live")));
    assert_eq!(cost("zoom/audio"), 1_000_000, "declared: none of its kind was measured");
}

/// What is held for the bots of a room, in megabytes.
fn held(room: &Room) -> Vec<u64> {
    room.outlook().bots.iter().map(|(_, _, cost)| cost.memory_bytes / 1_000_000).collect()
}

#[tokio::test]
async fn each_bot_that_settled_is_learned_from_once_when_its_seat_is_given_back() {
    let (clock, millis) = clock();
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(
        &WorkerConfig { bot_memory: 300_000_000, bot_cpu_millis: 10, ..config },
        Some(Machine::here()),
        clock,
    );
    let seat = || room.reserve(&session("zoom", false)).unwrap();
    let known =
        || room.lock().book.known(Cost::PLANNED).map(|(_, cost, bots)| (cost.memory_bytes / 1_000_000, bots)).next();
    let stays = seat();
    settle(&room, &millis, &stays, 20_000_000);
    assert_eq!(held(&room), [40], "all that was declared but twice what it has is given back");
    for _ in 0..9 {
        drop(seat());
        let seat = seat();
        settle(&room, &millis, &seat, 50_000_000);
    }
    let mut tenth = seat();
    settle(&room, &millis, &tenth, 100_000_000);
    room.looked(room.reserve - 1);
    room.relieve();
    tenth.evicted().await;
    assert_eq!(known(), None);
    room.measured(tenth.number, Box::new(Fixed), 0, Duration::ZERO);
    let all = known();
    assert!(
        matches!(all, Some((100..=105, 10))),
        "it had a hundred, and those that left at once count for nothing: {all:?}"
    );
    drop(tenth);
    assert_eq!(known(), all, "once");
    let written = room.take_fresh().costs.known(Cost::PLANNED).map(|(_, _, bots)| bots).collect::<Vec<_>>();
    assert_eq!(written, [10], "to be written down");
    assert_eq!(held(&room), [all.unwrap().0], "the one that stays may come to that, too");
}

#[test]
fn what_a_kind_is_known_to_cost_stays_held() {
    let (clock, millis) = clock();
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(
        &WorkerConfig { bot_memory: 300_000_000, bot_cpu_millis: 10, ..config },
        Some(Machine::here()),
        clock,
    );
    let first = room.reserve(&session("zoom", false)).unwrap();
    settle(&room, &millis, &first, 20_000_000);
    room.learn(learned([("zoom/audio", 100_000_000)]));
    let second = room.reserve(&session("zoom", false)).unwrap();
    settle(&room, &millis, &second, 20_000_000);
    let [known, reserved] = held(&room)[..] else { panic!("two bots") };
    assert!((100..=105).contains(&known), "learned elsewhere while it was in its call: {known}");
    assert_eq!(reserved, known);
}

#[test]
fn a_kind_that_was_measured_to_need_more_than_the_machine_has_runs_alone() {
    let room = room(|_| ());
    let all = room.budget().0.memory_bytes;
    room.learn(learned([("zoom/audio", 2 * all)]));
    assert_eq!((room.check(), room.outlook().room), (Ok(()), 1));
    let seat = room.reserve(&session("zoom", false)).unwrap();
    let dear = room.reserve(&session("zoom", false)).unwrap_err();
    assert!(room.is_too_small_for(dear) && room.check().is_err());
    drop(seat);
    assert_eq!(room.check(), Ok(()), "or it would never be learned that it needs less");
}

#[tokio::test]
async fn one_that_had_more_than_any_may_is_not_what_its_kind_costs() {
    let (clock, millis) = clock();
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(
        &WorkerConfig { bot_memory: 300_000_000, bot_cpu_millis: 10, bot_memory_limit: 400_000_000, ..config },
        Some(Machine::here()),
        clock,
    );
    let mut seat = room.reserve(&session("zoom", false)).unwrap();
    settle(&room, &millis, &seat, 401_000_000);
    room.enforce();
    assert_eq!(seat.evicted().await.reason, EndReason::OverBudget);
    drop(seat);
    // One that the kernel was quicker to end was never measured above it.
    let seat = room.reserve(&session("zoom", false)).unwrap();
    settle(&room, &millis, &seat, 390_000_000);
    seat.over_budget("The kernel ended it");
    drop(seat);
    assert!(room.take_fresh().costs.is_empty());
}

#[test]
fn of_simulated_bots_nothing_is_learned() {
    let (clock, millis) = clock();
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(&WorkerConfig { simulated: true, ..config }, Some(Machine::here()), clock);
    for _ in 0..20 {
        let seat = room.reserve(&session("sandbox", false)).unwrap();
        settle(&room, &millis, &seat, 16_000_000);
    }
    assert!(room.take_fresh().costs.is_empty());
}
