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
    let millis = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let told = Arc::clone(&millis);
    let clock = Clock::new(move || Timestamp::from_millis(told.load(std::sync::atomic::Ordering::SeqCst)));
    let config = Config::load(&Sources::default()).unwrap().worker;
    let room = Room::new(&config, Some(Machine::here()), clock);
    let all = room.budget().0.memory_bytes;
    room.learn(learned([("zoom/audio", 1_000_000), ("zoom/live", all / 2)]));
    let _first = room.reserve(&session("zoom", true)).unwrap();
    let dear = room.reserve(&session("zoom", true)).unwrap_err();
    assert_eq!((room.check(), room.outlook().room), (Ok(()), 1), "others fit");
    room.keep_room_for(dear);
    assert_eq!((room.check(), room.outlook().room), (Err(Limit::Memory), 0));
    millis.store(29_999, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(room.check(), Err(Limit::Memory));
    millis.store(30_000, std::sync::atomic::Ordering::SeqCst);
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
    assert_eq!(reason, EndReason::OverBudget, "beyond what was held for it");
    assert!(why.contains("about to run out of memory, of which this bot used 100 MB"), "{why}");
    room.measured(2, Box::new(Fixed), 1_000_000, Duration::ZERO);
    room.relieve();
    assert!(seats[1].eviction.borrow().is_none(), "one at a time");
    // Nothing of it is left, though its last word is not written yet.
    room.measured(0, Box::new(Fixed), 0, Duration::ZERO);
    room.relieve();
    let Eviction { reason, message: why } = seats[1].evicted().await;
    assert_eq!(reason, EndReason::BotCrashed, "others took the memory: {why}");
    assert!(reason.worth_retry());
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
