//! Many at once: receivers that are dead, tenants that are many, and hosts that are down.

use super::*;

/// Half of the dead endpoints refuse connections, half accept them and never answer.
const DEAD: u8 = 250;

#[tokio::test]
async fn a_thousand_dead_endpoints_keep_nothing_from_a_live_one() {
    let mut setup = Setup::new();
    let (live, mut live_seen) = Receiver::start(&mut setup.tasks, true).await;
    let (hanging, mut hanging_seen) = Receiver::start_at("0.0.0.0:0", &mut setup.tasks, false).await;
    // Nobody listens there any more.
    let refusing = TcpListener::bind("0.0.0.0:0").await.unwrap().local_addr().unwrap().port();
    let mut endpoints = Vec::new();
    for n in 0..DEAD {
        for (part, port) in [(1, None), (2, None), (3, Some(refusing)), (4, Some(refusing))] {
            let mut url = hanging.at([127, 1, part, n]);
            url.set_port(port.or(url.port())).unwrap();
            endpoints.push(setup.endpoint(endpoints.len() as u128, &url).await);
        }
    }
    assert_eq!(endpoints.len(), 1_000);
    // The last of each bot.
    endpoints.push(setup.endpoint(u128::MAX, &live.url).await);
    let mut bots = Vec::new();
    for _ in 0..3 {
        let bot = setup.bot_of("t", None, &endpoints, 2).await;
        setup.wake(bot).await;
        bots.push(bot);
    }
    let settings = Settings { concurrency: 256, timeout: PATIENCE * 4, ..settings() };
    let _running = running(setup.deliverer(settings));
    for _ in 0..bots.len() * 2 {
        arrives(&mut live_seen).await;
    }
    // All that hang were called, which is more at a time than there are slots. None has got an answer.
    for _ in 0..usize::from(DEAD) * 2 {
        arrives(&mut hanging_seen).await;
    }
    setup.one_more(bots[0], &endpoints).await;
    setup.wake(bots[0]).await;
    assert_eq!(arrives(&mut live_seen).await, 3);
    assert_eq!(hanging.gate.available_permits(), 0);
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other_of_the_same_bot() {
    let mut setup = Setup::new();
    let (sick, mut sick_seen) = Receiver::start(&mut setup.tasks, false).await;
    let (healthy, mut healthy_seen) = Receiver::start(&mut setup.tasks, true).await;
    let endpoint = [setup.endpoint(1, &sick.url).await];
    let bot = setup.bot_of("t", Some(&healthy.url), &endpoint, 3).await;
    setup.wake(bot).await;
    let _running = running(setup.deliverer(settings()));
    arrives(&mut sick_seen).await;
    for sequence in 1..=3 {
        assert_eq!(arrives(&mut healthy_seen).await, sequence);
    }
    // Also what comes later, while the first is still under way.
    setup.one_more(bot, &endpoint).await;
    setup.wake(bot).await;
    assert_eq!(arrives(&mut healthy_seen).await, 4);
    assert_eq!(sick.sequences(), [1]);
    // What lasts is postponed, and its message makes way.
    setup.queued(|depth| depth.leased == 0).await;
    setup.nothing_is_due().await;
    sick.gate.add_permits(100);
    for sequence in 2..=4 {
        assert_eq!(arrives(&mut sick_seen).await, sequence);
    }
}

#[tokio::test]
async fn passes_that_look_again_starve_no_attempt_of_the_store() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start_at("0.0.0.0:0", &mut setup.tasks, true).await;
    let (bots, lanes) = (64_u8, 8_u8);
    for bot in 0..bots {
        let mut endpoints = Vec::new();
        for lane in 0..lanes {
            // None is known yet, so each attempt has to read its own.
            let id = u128::from(bot) << 64 | u128::from(lane);
            endpoints.push(setup.endpoint(id, &receiver.at([127, 0, 1, lane])).await);
        }
        let bot = setup.bot_of("t", None, &endpoints, 1).await;
        // Looked for again while its attempts do; the store takes few reads at a time.
        for _ in 0..8 {
            setup.wake(bot).await;
        }
    }
    let _running = running(setup.deliverer(Settings { concurrency: 256, ..settings() }));
    for _ in 0..usize::from(bots) * usize::from(lanes) {
        arrives(&mut seen).await;
    }
}

#[tokio::test]
async fn the_next_slot_goes_to_the_tenant_that_has_fewest() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start_at("0.0.0.0:0", &mut setup.tasks, false).await;
    for n in 0..12 {
        let bot = setup.bot_of("crowd", Some(&receiver.at([127, 0, 1, n])), &[], 1).await;
        setup.wake(bot).await;
    }
    let _running = running(setup.deliverer(Settings { concurrency: 4, timeout: PATIENCE, ..settings() }));
    for _ in 0..4 {
        arrives(&mut seen).await;
    }
    let small = setup.bot_of("small", Some(&receiver.at([127, 0, 2, 1])), &[], 1).await;
    setup.wake(small).await;
    setup.queued(|depth| depth.ready == 0).await;
    let id = muster_session::event::event_id(small, 1);
    let told = || receiver.hits().iter().any(|hit| hit.header("webhook-id") == id);
    // Eight of the crowd were there before.
    for _ in 0..4 {
        receiver.gate.add_permits(1);
        arrives(&mut seen).await;
    }
    assert!(told());
}

#[tokio::test]
async fn a_burst_to_one_receiver_waits_in_hand() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    for _ in 0..40 {
        let bot = setup.bot(&receiver.url, 1).await;
        setup.wake(bot).await;
    }
    let _running = running(setup.deliverer(Settings { concurrency: 4, timeout: PATIENCE, ..settings() }));
    arrives(&mut seen).await;
    setup.queued(|depth| depth.ready == 0).await;
    assert_eq!(receiver.hits().len(), 1);
    receiver.gate.add_permits(40);
    for _ in 1..40 {
        arrives(&mut seen).await;
    }
    setup.queued(|depth| (depth.leased, depth.delayed) == (0, 0)).await;
}

#[tokio::test]
async fn a_host_that_is_down_is_left_alone_for_a_while() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    for sequence in 1..=5 {
        receiver.answer(sequence, [status(503)]);
    }
    let bots = [setup.bot(&receiver.url, 7).await, setup.bot(&receiver.url, 1).await];
    let deliverer = setup.deliverer(settings());
    let (began, pause) = (setup.now(), Duration::from_secs(5));
    assert!(deliverer.deliver_bot(bots[0]).await.unwrap().is_some());
    assert_eq!(deliverer.deliver_bot(bots[1]).await.unwrap(), Some(began + pause + Duration::from_millis(4)));
    assert_eq!(receiver.sequences(), [1, 2, 3, 4, 5]);
    // The others wait, and no attempt at them is counted.
    let ledger = setup.ledger(bots[0]).await;
    assert_eq!(ledger[5..], vec![(DeliveryStatus::Pending { next_at: began + pause }, vec![]); 2]);
    assert_eq!(setup.store.bots_with_due_deliveries(began, 10).await.unwrap(), []);
    setup.turn_to(began + pause * 2);
    for bot in bots {
        assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    }
    assert_eq!(receiver.hits().len(), 5 + 7 + 1);
}
