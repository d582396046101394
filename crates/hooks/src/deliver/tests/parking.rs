//! What is being sent is not due in the store, so no other process sends it too.

use super::*;

/// At once, or nearly.
const SOON: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_retry_is_not_due_while_it_is_tried() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    receiver.answer(1, [status(500)]);
    receiver.gate.add_permits(1);
    let bot = setup.bot(&receiver.url, 1).await;
    let at = setup.deliverer(settings()).deliver_bot(bot).await.unwrap().unwrap();
    arrives(&mut seen).await;
    setup.turn_to(at);
    assert_eq!(setup.store.bots_with_due_deliveries(at, 10).await.unwrap(), [bot]);
    setup.wake(bot).await;
    let _running = running(setup.deliverer_that_parks_after(PATIENCE, settings()));
    arrives(&mut seen).await;
    assert_eq!(setup.store.bots_with_due_deliveries(at, 10).await.unwrap(), []);
    // Another process that is told of the bot finds nothing to do.
    assert!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap() > Some(at));
    receiver.gate.add_permits(1);
    setup.queued(|depth| depth.leased == 0).await;
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Delivered, vec![Some(500), Some(200)])]);
}

#[tokio::test]
async fn nothing_is_due_while_it_is_sent_where_messages_come_twice() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 2).await;
    setup.wake(bot).await;
    let mut deliverer = setup.deliverer_that_parks_after(PATIENCE, settings());
    Arc::get_mut(&mut deliverer.0).unwrap().postpone_all = true;
    let _running = running(deliverer);
    arrives(&mut seen).await;
    assert!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap() > Some(setup.now()));
    receiver.gate.add_permits(2);
    assert_eq!(arrives(&mut seen).await, 2);
    setup.queued(|depth| depth.leased == 0).await;
    assert_eq!(receiver.sequences(), [1, 2]);
}

#[tokio::test]
async fn what_comes_behind_a_call_that_lasts_goes_when_it_ends() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 2).await;
    setup.wake(bot).await;
    let _running = running(setup.deliverer_that_parks_after(SOON, settings()));
    arrives(&mut seen).await;
    setup.queued(|depth| depth.leased == 0).await;
    setup.one_more(bot, &[]).await;
    setup.wake(bot).await;
    setup.nothing_is_due().await;
    // The clock stands still: what was held until the call's time is up would never be due.
    receiver.gate.add_permits(3);
    for sequence in [2, 3] {
        assert_eq!(arrives(&mut seen).await, sequence);
    }
}

#[tokio::test]
async fn what_another_process_held_back_behind_a_call_that_lasts_goes_when_it_ends() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 1).await;
    setup.wake(bot).await;
    let _running = running(setup.deliverer_that_parks_after(SOON, settings()));
    arrives(&mut seen).await;
    setup.queued(|depth| depth.leased == 0).await;
    let other = setup.deliverer(settings());
    for _ in 0..2 {
        setup.one_more(bot, &[]).await;
        // The message about it came to another process, which has to leave it to the first.
        assert!(other.deliver_bot(bot).await.unwrap() > Some(setup.now() + Duration::from_secs(15)));
    }
    assert_eq!(receiver.sequences(), [1]);
    // The clock stands still: what was held until the call's time is up would never be due.
    receiver.gate.add_permits(3);
    for sequence in [2, 3] {
        assert_eq!(arrives(&mut seen).await, sequence);
    }
    setup.queued(|depth| (depth.leased, depth.ready) == (0, 0)).await;
    assert_eq!(receiver.sequences(), [1, 2, 3]);
}

#[tokio::test]
async fn what_begins_beside_a_call_that_lasts_is_not_due() {
    let mut setup = Setup::new();
    let (sick, mut sick_seen) = Receiver::start(&mut setup.tasks, false).await;
    let (other, mut other_seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&sick.url, 1).await;
    setup.wake(bot).await;
    let _running = running(setup.deliverer_that_parks_after(SOON, settings()));
    arrives(&mut sick_seen).await;
    setup.queued(|depth| depth.leased == 0).await;
    let endpoint = setup.endpoint(1, &other.url).await;
    setup.one_more(bot, &[endpoint]).await;
    setup.wake(bot).await;
    arrives(&mut other_seen).await;
    assert_eq!(setup.store.bots_with_due_deliveries(setup.now(), 10).await.unwrap(), []);
}
