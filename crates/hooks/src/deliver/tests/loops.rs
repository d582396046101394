//! The loop: messages in, wake-ups out.

use super::*;

#[tokio::test]
async fn a_sick_receiver_holds_up_only_its_own() {
    let mut setup = Setup::new();
    let (sick, mut sick_seen) = Receiver::start(&mut setup.tasks, false).await;
    let (healthy, mut healthy_seen) = Receiver::start(&mut setup.tasks, true).await;
    let queue = setup.queue();
    for url in [&sick.url, &sick.url, &sick.url, &sick.url, &sick.url, &healthy.url, &healthy.url] {
        let bot = setup.bot(url, 2).await;
        queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    }
    // One connection for each receiver, and no answer within the test.
    let deliverer = setup.deliverer(Settings { concurrency: 4, timeout: PATIENCE * 2, ..settings() });
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, sick_seen.recv()).await.unwrap().unwrap();
    for _ in 0..4 {
        tokio::time::timeout(PATIENCE, healthy_seen.recv()).await.unwrap().unwrap();
    }
    assert_eq!(sick.hits().len(), 1);
    // Shutdown finishes what is under way and begins nothing more.
    shutdown.cancel();
    sick.gate.add_permits(100);
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(sick.hits().len(), 1);
    let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
    assert_eq!((depth.leased, depth.dead), (0, 0));
    assert!(depth.ready + depth.delayed >= 5, "{depth:?}");
}

#[tokio::test]
async fn two_wake_ups_of_one_bot_deliver_once() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 3).await;
    let queue = setup.queue();
    queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    let deliverer = setup.deliverer_that_parks_after(PATIENCE, settings());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    queue.send(&Job::Deliver { bot }, Duration::ZERO, None).await.unwrap();
    // The second message is settled while the first is still being worked on.
    let settled = async {
        loop {
            let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
            if depth.ready == 0 && depth.leased == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
    receiver.gate.add_permits(100);
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    }
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(receiver.sequences(), [1, 2, 3]);
}

#[tokio::test]
async fn a_failed_attempt_leaves_a_wake_up_behind() {
    let mut setup = Setup::new();
    let (receiver, mut seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(500)]);
    let bot = setup.bot(&receiver.url, 1).await;
    setup.queue().send(&Job::Deliver { bot }, Duration::ZERO, Some(format!("deliver:{bot}"))).await.unwrap();
    let deliverer = setup.deliverer(settings());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { deliverer.run(shutdown).await }
    });
    tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    let depth = setup.raw_queue.depth(Topic::Deliveries).await.unwrap();
    assert_eq!((depth.ready, depth.leased, depth.delayed), (0, 0, 1));
    // The key of "look now" is free for the next event.
    setup.queue().send(&Job::Deliver { bot }, Duration::ZERO, Some(format!("deliver:{bot}"))).await.unwrap();
    assert_eq!(setup.raw_queue.depth(Topic::Deliveries).await.unwrap().ready, 1);
}
