//! Endpoints: their secrets, their health, and their end.

use axum::response::IntoResponse as _;
use muster_store::Disabled;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn secret(text: &str) -> SigningSecret {
    SigningSecret::parse(text).unwrap()
}

fn signatures(hit: &Hit) -> usize {
    hit.header("webhook-signature").split(' ').count()
}

#[tokio::test]
async fn during_a_rotation_both_secrets_verify() {
    const OLDEST: &str = "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let rotated = |until: Option<Duration>, text: &str| EndpointSecret {
        secret: text.into(),
        until: until.map(|after| setup.now() + after),
    };
    let secrets = vec![rotated(None, NEW_SECRET), rotated(Some(DAY), SECRET), rotated(Some(Duration::ZERO), OLDEST)];
    let endpoint = setup.endpoint(1, &receiver.url).await;
    let endpoint = setup.put(Endpoint { secrets, ..endpoint }).await;
    let bot = setup.bot_of("t", None, std::slice::from_ref(&endpoint), 1).await;
    let settings = Settings { signing_secret: Some(OLDEST.into()), ..settings() };
    let deliverer = setup.deliverer(settings);
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    let hit = receiver.hits().remove(0);
    for text in [NEW_SECRET, SECRET] {
        assert_eq!(secret(text).verify(&hit.headers, &hit.body, setup.now()), Ok(()), "{text}");
    }
    assert!(secret(OLDEST).verify(&hit.headers, &hit.body, setup.now()).is_err(), "neither over nor the tenant's");
    assert_eq!(signatures(&hit), 2);
    let meetstream = hit.header("x-meetstream-signature");
    assert_eq!(secret(NEW_SECRET).verify_meetstream(meetstream, &hit.body), Ok(()));
    // The overlap is over.
    setup.turn_to(setup.now() + DAY);
    setup.one_more(bot, &[endpoint]).await;
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    let hit = receiver.hits().remove(1);
    assert_eq!((signatures(&hit), secret(NEW_SECRET).verify(&hit.headers, &hit.body, setup.now())), (1, Ok(())));
}

#[tokio::test]
async fn tenants_with_secrets_of_their_own_do_not_sign_with_those_of_all() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let own = format!("{NEW_SECRET} {}", "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB");
    let tenant_secrets = BTreeMap::from([(TenantId::new("own"), own.clone())]);
    let deliverer = setup.deliverer(Settings { tenant_secrets, ..settings() });
    for (tenant, signed, others) in [("own", own.as_str(), SECRET), ("t", SECRET, own.as_str())] {
        let bot = setup.bot_of(tenant, Some(&receiver.url), &[], 1).await;
        assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
        let hit = receiver.hits().pop().unwrap();
        let verifies = |text: &str| secret(text).verify(&hit.headers, &hit.body, setup.now()).is_ok();
        assert!(signed.split(' ').all(verifies), "{tenant}");
        assert!(!others.split(' ').any(verifies), "{tenant}");
    }
    let tenant_secrets = BTreeMap::from([(TenantId::new("own"), "secret".to_owned())]);
    let bad = Settings { tenant_secrets, ..settings() };
    let error = Deliverer::new(Arc::clone(&setup.store), setup.queue(), bad, Timestamp::default).unwrap_err();
    assert!(error.to_string().starts_with("tenants.own.hooks.signing_secret: "), "{error}");
}

#[tokio::test]
async fn an_endpoint_is_failing_from_its_first_failure_to_its_next_success() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(500), status(404)]);
    let endpoint = setup.endpoint(1, &receiver.url).await;
    let bot = setup.bot_of("t", None, std::slice::from_ref(&endpoint), 1).await;
    let deliverer = setup.deliverer(settings());
    let began = setup.now();
    let mut healths = Vec::new();
    while let Some(at) = deliverer.deliver_bot(bot).await.unwrap() {
        let stored = setup.stored(&endpoint).await;
        healths.push((stored.failing_since, stored.version));
        setup.turn_to(at);
    }
    // Written when it changes, and not each time.
    assert_eq!(healths, [(Some(began), 2), (Some(began), 2)]);
    for version in [3, 3] {
        let stored = setup.stored(&endpoint).await;
        assert_eq!((stored.failing_since, stored.version), (None, version));
        setup.one_more(bot, std::slice::from_ref(&endpoint)).await;
        assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    }
    assert_eq!(receiver.hits().len(), 5);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_the_others_are_told() {
    let mut setup = Setup::new();
    let (gone, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let (other, _seen) = Receiver::start(&mut setup.tasks, true).await;
    gone.answer(1, [status(410)]);
    let endpoint = setup.endpoint(1, &gone.url).await;
    let watcher = setup.endpoint(2, &other.url).await;
    let watcher = setup.put(Endpoint { events: vec!["endpoint.*".into()], ..watcher }).await;
    let deaf = setup.endpoint(3, &other.at([127, 0, 0, 2])).await;
    setup.put(Endpoint { events: vec!["bot.*".into()], ..deaf }).await;
    let bot = setup.bot_of("t", None, &[endpoint.clone(), watcher], 3).await;
    let deliverer = setup.deliverer(settings());
    assert_eq!(deliverer.deliver_bot(bot).await.unwrap(), None);
    let disabled = setup.stored(&endpoint).await.disabled.unwrap();
    assert_eq!((disabled.at, disabled.reason.as_str()), (setup.now(), "it answered 410 Gone"));
    // What was to go there is settled, and the ledger says why.
    assert_eq!(gone.hits().len(), 1);
    let ledger = setup.store.deliveries(bot).await.unwrap();
    let details: Vec<_> =
        ledger.iter().map(|d| (d.status, d.attempts[0].http_status, &*d.attempts[0].detail)).collect();
    let why = "not sent: the endpoint is disabled: it answered 410 Gone";
    let failed = DeliveryStatus::Failed;
    assert_eq!(details, [(failed, Some(410), ""), (failed, None, why), (failed, None, why)]);
    // The notice is in the queue, under the id of the endpoint.
    let about = BotId::from_uuid(endpoint.id.as_uuid());
    let received = setup.queue().receive(Topic::Deliveries, 2, DAY, Duration::ZERO).await.unwrap();
    assert_eq!(received.iter().map(|message| &message.job).collect::<Vec<_>>(), [&Job::Deliver { bot: about }]);
    assert_eq!(deliverer.deliver_bot(about).await.unwrap(), None);
    let hit = other.hits().remove(0);
    let id = muster_session::event::event_id(about, START.unsigned_abs());
    assert_eq!(hit.header("webhook-id"), id);
    assert_eq!(secret(NEW_SECRET).verify(&hit.headers, &hit.body, setup.now()), Ok(()));
    let want = json!({
        "event": "endpoint.disabled",
        "bot_event": "endpoint.disabled",
        "message": format!("The endpoint {} gets no more webhooks: it answered 410 Gone", gone.url),
        "status_code": 500,
        "timestamp": setup.now().to_rfc3339(),
        "event_id": id,
        "endpoint_id": endpoint.id,
        "url": gone.url,
        "reason": "it answered 410 Gone",
    });
    assert_eq!((hit.json(), other.hits().len()), (want, 1));
    assert_eq!(setup.store.deliveries(about).await.unwrap(), []);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_for_several_bots_at_once_is_told_of_once() {
    let mut setup = Setup::new();
    let (gone, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    let (other, _seen) = Receiver::start(&mut setup.tasks, true).await;
    gone.answer(1, [status(410), status(410), status(410)]);
    let endpoint = [setup.endpoint(1, &gone.url).await];
    setup.endpoint(2, &other.url).await;
    let mut bots = Vec::new();
    for _ in 0..3 {
        bots.push(setup.bot_of("t", None, &endpoint, 1).await);
    }
    let deliverer = setup.deliverer(Settings { concurrency: 64, ..settings() });
    let all = futures_util::future::join_all(bots.iter().map(|bot| deliverer.deliver_bot(*bot)));
    let answer = async {
        for _ in 0..3 {
            arrives(&mut seen).await;
        }
        gone.gate.add_permits(3);
    };
    let (ends, ()) = tokio::join!(all, answer);
    assert!(ends.iter().all(|end| matches!(end, Ok(None))), "{ends:?}");
    assert!(setup.stored(&endpoint[0]).await.disabled.is_some());
    let about = BotId::from_uuid(endpoint[0].id.as_uuid());
    assert_eq!(setup.store.pending_deliveries(about, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_too_long_is_disabled() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(1, [status(500)]);
    let endpoint = setup.endpoint(1, &receiver.url).await;
    let since = setup.now() - DAY * 5;
    let endpoint = setup.put(Endpoint { failing_since: Some(since), ..endpoint }).await;
    let bot = setup.bot_of("t", None, std::slice::from_ref(&endpoint), 1).await;
    let at = setup.deliverer(settings()).deliver_bot(bot).await.unwrap().unwrap();
    let reason = format!("no webhook has reached it since {since}");
    assert_eq!(setup.stored(&endpoint).await.disabled, Some(Disabled { at: setup.now(), reason }));
    setup.turn_to(at);
    assert_eq!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap(), None);
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Failed, vec![Some(500), None])]);
}

#[tokio::test]
async fn what_was_to_go_to_a_deleted_endpoint_fails_without_an_attempt() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let endpoint = setup.endpoint(1, &receiver.url).await;
    let bot = setup.bot_of("t", Some(&receiver.url), std::slice::from_ref(&endpoint), 1).await;
    assert!(setup.store.delete_endpoint(&endpoint.tenant, endpoint.id).await.unwrap());
    assert_eq!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap(), None);
    let ledger = setup.store.deliveries(bot).await.unwrap();
    let of_endpoint = ledger.iter().find(|delivery| delivery.endpoint.is_some()).unwrap();
    assert_eq!(of_endpoint.status, DeliveryStatus::Failed);
    let attempt = &of_endpoint.attempts[0];
    assert_eq!((attempt.http_status, &*attempt.detail), (None, "not sent: the endpoint was deleted"));
    // The one to the bot's own address is another matter.
    assert_eq!(receiver.hits().len(), 1);
}

#[tokio::test]
async fn a_delivery_goes_where_its_endpoint_is_now() {
    let mut setup = Setup::new();
    let (old, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let (new, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let endpoint = setup.endpoint(1, &old.url).await;
    let bot = setup.bot_of("t", None, std::slice::from_ref(&endpoint), 1).await;
    setup.put(Endpoint { url: new.url.clone(), ..endpoint }).await;
    assert_eq!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap(), None);
    assert_eq!((old.hits().len(), new.hits().len()), (0, 1));
}

#[tokio::test]
async fn the_old_address_of_an_endpoint_says_nothing_of_the_new_one() {
    let mut setup = Setup::new();
    let (old, mut seen) = Receiver::start(&mut setup.tasks, false).await;
    old.answer(1, [status(410)]);
    let endpoint = setup.endpoint(1, &old.url).await;
    let bot = setup.bot_of("t", None, std::slice::from_ref(&endpoint), 1).await;
    let deliverer = setup.deliverer(settings());
    let moving = async {
        arrives(&mut seen).await;
        setup.put(Endpoint { url: old.at([127, 0, 0, 2]), ..endpoint.clone() }).await;
        old.gate.add_permits(1);
    };
    let (end, ()) = tokio::join!(deliverer.deliver_bot(bot), moving);
    assert_eq!(end.unwrap(), None);
    let stored = setup.stored(&endpoint).await;
    assert_eq!((stored.failing_since, stored.disabled), (None, None));
    assert_eq!(setup.ledger(bot).await, [(DeliveryStatus::Failed, vec![Some(410)])]);
}

#[tokio::test]
async fn an_attempt_says_where_it_went_if_its_endpoint_has_moved() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    let endpoint = setup.endpoint(1, &receiver.at([127, 0, 0, 2])).await;
    let bot = setup.bot_of("t", Some(&receiver.url), std::slice::from_ref(&endpoint), 1).await;
    setup.put(Endpoint { url: receiver.url.clone(), ..endpoint }).await;
    assert_eq!(setup.deliverer(settings()).deliver_bot(bot).await.unwrap(), None);
    for delivery in setup.store.deliveries(bot).await.unwrap() {
        let moved = delivery.endpoint.map(|_| receiver.url.clone());
        assert_eq!((delivery.attempts[0].http_status, &delivery.attempts[0].url), (Some(200), &moved));
    }
}

#[tokio::test]
async fn a_test_goes_the_way_of_every_webhook() {
    let mut setup = Setup::new();
    let (receiver, _seen) = Receiver::start(&mut setup.tasks, true).await;
    receiver.answer(0, [(StatusCode::BAD_REQUEST, "x".repeat(2000)).into_response()]);
    let disabled = Some(Disabled { at: setup.now(), reason: "for the test".into() });
    let endpoint = Endpoint { disabled, ..setup.endpoint(1, &receiver.url).await };
    let sender = Sender::new(settings().guard, PATIENCE).unwrap();
    let result = sender.test(&endpoint, setup.now()).await;
    assert_eq!((result.http_status, result.detail.len()), (Some(400), super::super::sender::EXCERPT_BYTES));
    let later = setup.now() + Duration::from_millis(1);
    assert_eq!(sender.test(&endpoint, later).await.http_status, Some(200));
    let hits = receiver.hits();
    assert_eq!(secret(NEW_SECRET).verify(&hits[0].headers, &hits[0].body, setup.now()), Ok(()));
    assert_ne!(hits[0].header("webhook-id"), hits[1].header("webhook-id"));
    let body = hits[0].json();
    assert_eq!((&body["event"], &body["endpoint_id"]), (&json!("webhook.test"), &json!(endpoint.id)));
    assert_eq!(body["event_id"], hits[0].header("webhook-id"));
    let strict = Sender::new(Policy::default(), PATIENCE).unwrap().test(&endpoint, setup.now()).await;
    assert!(strict.http_status.is_none() && strict.detail.contains("loopback"), "{strict:?}");
    assert_eq!(receiver.hits().len(), 2);
}
