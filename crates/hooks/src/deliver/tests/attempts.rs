//! Attempts, their schedule, and what is written of them.

use axum::response::IntoResponse as _;

use super::*;
use crate::client::{GuardedClient, Limits};
use crate::resolve::{NoTurn, Resolver};

/// A resolver that has no turn for the first lookup.
#[derive(Debug, Default)]
struct BusyOnce(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl Resolver for BusyOnce {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        match self.0.swap(true, Ordering::SeqCst) {
            false => Err(std::io::Error::other(NoTurn)),
            true => Ok(vec![[127, 0, 0, 1].into()]),
        }
    }
}

#[tokio::test]
async fn what_was_not_called_for_the_names_of_others_is_no_attempt() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let mut url = receiver.url.clone();
    url.set_host(Some("hooks.example")).unwrap();
    let bot = setup.bot(&url, 2).await;
    let client = GuardedClient::with_resolver(settings().guard, Limits::default(), Arc::new(BusyOnce::default()));
    let clock = Arc::clone(&setup.clock);
    let now = move || Timestamp::from_millis(clock.load(Ordering::SeqCst));
    let client = Arc::new(client.unwrap());
    let deliverer = Deliverer::over(Arc::clone(&setup.store), setup.queue(), client, settings(), now, || 0.5).unwrap();
    let later = setup.now() + Duration::from_secs(5);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), Some(later));
    let waits = (DeliveryStatus::Pending { next_at: later }, vec![]);
    assert_eq!(setup.ledger(bot).await, [waits.clone(), waits]);
    setup.turn_to(later);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(receiver.sequences(), [1, 2]);
}

#[tokio::test]
async fn deliveries_of_a_bot_come_in_order_signed_and_once() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 5).await;
    let deliverer = setup.deliverer(settings());
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(receiver.sequences(), [1, 2, 3, 4, 5]);
    let secret = SigningSecret::parse(SECRET).unwrap();
    for hit in receiver.hits() {
        assert_eq!(secret.verify(&hit.headers, &hit.body, setup.now()), Ok(()));
        assert_eq!(secret.verify_meetstream(hit.header("x-meetstream-signature"), &hit.body), Ok(()));
        assert_eq!(hit.header("x-meetstream-timestamp"), setup.now().to_rfc3339());
        assert_eq!(hit.header("webhook-id"), muster_session::event::event_id(bot, hit.sequence()));
        assert_eq!(hit.header("content-type"), "application/json");
        assert_eq!(hit.header("user-agent"), crate::client::USER_AGENT);
    }
    assert!(setup.ledger(bot).await.iter().all(|line| *line == (DeliveryStatus::Delivered, vec![Some(200)])));
}

#[tokio::test]
async fn every_attempt_sends_the_same_bytes_on_the_schedule_until_it_is_given_up() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(
        1,
        [status(500), status(503), status(302), status(404), status(429), status(500), status(500), status(500)],
    );
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(settings());
    let mut pauses = Vec::new();
    while let Some(at) = deliverer.deliver_bot(bot).await.unwrap() {
        pauses.push(at.since(setup.now()).as_secs());
        // Too early by a millisecond: nothing happens.
        setup.turn_to(at - Duration::from_millis(1));
        assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), Some(at));
        setup.turn_to(at);
    }
    let hits = receiver.hits();
    assert_eq!(hits.len(), 8);
    for hit in &hits {
        assert_eq!((&hit.body, hit.header("webhook-id")), (&hits[0].body, hits[0].header("webhook-id")));
    }
    assert_ne!(hits[0].header("webhook-timestamp"), hits[1].header("webhook-timestamp"));
    for (pause, want) in pauses.iter().zip([5u64, 300, 1_800, 7_200, 18_000, 36_000, 36_000]) {
        assert!((want * 8 / 10..=want * 12 / 10).contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 7);
    let ledger = setup.ledger(bot).await;
    assert_eq!(ledger[0].0, DeliveryStatus::Failed);
    assert_eq!(ledger[0].1, [500, 503, 302, 404, 429, 500, 500, 500].map(Some));
}

#[tokio::test]
async fn gone_means_gone_until_it_is_sent_again() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(410)]);
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(settings());
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Failed, vec![Some(410)])]);
    let id = setup.store.deliveries(bot).await.unwrap()[0].id;
    assert_eq!(setup.store.resend(&[id], setup.now()).await.unwrap(), 1);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Delivered, vec![Some(410), Some(200)])]);
    assert_eq!(receiver.hits()[0].body, receiver.hits()[1].body);
}

#[tokio::test]
async fn one_bad_event_does_not_hold_the_rest() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(2, [(StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(2000)).into_response()]);
    let bot = setup.bot(&receiver.url, 4).await;
    let deliverer = setup.deliverer(settings());
    let at = deliverer.deliver_bot(bot).await.unwrap().unwrap();
    assert_eq!(receiver.sequences(), [1, 2, 3, 4]);
    setup.turn_to(at);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    assert_eq!(receiver.sequences(), [1, 2, 3, 4, 2]);
    let attempts = &setup.store.deliveries(bot).await.unwrap()[1].attempts;
    assert_eq!(attempts[0].detail.len(), super::super::sender::EXCERPT_BYTES);
}

#[tokio::test]
async fn a_receivers_wish_for_a_longer_pause_is_granted() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [(StatusCode::TOO_MANY_REQUESTS, [("retry-after", "77")]).into_response()]);
    let bot = setup.bot(&receiver.url, 1).await;
    let at = setup.deliverer(settings()).deliver_bot(bot).await.unwrap();
    assert_eq!(at, Some(setup.now() + Duration::from_secs(77)));
}

#[tokio::test]
async fn private_addresses_are_refused_by_default_and_the_ledger_says_so() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(Settings { guard: Policy::default(), ..settings() });
    assert!(deliverer.deliver_bot(bot).await.unwrap().is_some());
    assert_eq!(receiver.hits(), []);
    let delivery = &setup.store.deliveries(bot).await.unwrap()[0];
    assert!(delivery.attempts[0].detail.contains("loopback"), "{:?}", delivery.attempts);
    assert_eq!(delivery.attempts[0].http_status, None);
}

#[tokio::test]
async fn silence_is_a_failed_attempt() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, false).await;
    let bot = setup.bot(&receiver.url, 1).await;
    let deliverer = setup.deliverer(Settings { timeout: Duration::from_millis(50), ..settings() });
    assert!(deliverer.deliver_bot(bot).await.unwrap().is_some());
    let delivery = &setup.store.deliveries(bot).await.unwrap()[0];
    assert_eq!((delivery.failures, delivery.attempts[0].http_status), (1, None));
    assert!(delivery.attempts[0].detail.contains("time limit"), "{:?}", delivery.attempts);
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed_and_a_bad_one_is_refused() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let bot = setup.bot(&receiver.url, 1).await;
    setup.deliverer(Settings { signing_secret: None, ..settings() }).deliver_bot(bot).await.unwrap();
    let headers = &receiver.hits()[0].headers;
    assert!(headers.contains_key("webhook-id") && !headers.contains_key("webhook-signature"));
    assert!(!headers.contains_key("x-meetstream-signature"));
    let bad = Settings { signing_secret: Some("secret".into()), ..settings() };
    let made = Deliverer::new(Arc::clone(&setup.store), setup.queue(), bad, Timestamp::default);
    assert!(matches!(made, Err(Error::Secret { .. })));
}
