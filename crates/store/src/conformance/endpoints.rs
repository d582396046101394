use std::sync::Arc;

use muster_session::event::Event;
use muster_session::{BotId, EndpointId, Outcome, Session, TenantId};
use tokio::task::JoinSet;
use url::Url;
use uuid::Uuid;

use super::Fixture;
use super::ledger::{DELIVERED, FAILED, attempt, bots_due, event, pending, pending_at};
use super::samples::{assert_conflict, at, create, queued, url};
use crate::{Commit, Delivery, Disabled, Endpoint, EndpointSecret, LedgerQuery};

/// An endpoint of a tenant that takes these events, not stored yet.
pub(super) fn endpoint(tenant: &str, name: &str, events: &[&str]) -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::new_v4()),
        tenant: TenantId::new(tenant),
        version: 0,
        url: url(&format!("https://{name}.example/hook")),
        description: format!("{name}: \u{2028} \"quoted\""),
        events: events.iter().map(|name| (*name).to_owned()).collect(),
        secrets: vec![EndpointSecret { secret: format!("whsec_{name}"), until: None }],
        created_at: at(0),
        failing_since: None,
        disabled: None,
    }
}

/// Events of a session, for its own address and for these endpoints.
pub(super) fn emission(session: &Session, events: Vec<Event>, endpoints: &[Endpoint], seconds: u64) -> Commit {
    let outcome = Outcome { events, jobs: Vec::new() };
    Commit { endpoints: endpoints.into(), ..Commit::new(session.clone(), outcome, at(seconds)) }
}

fn addresses(deliveries: &[Delivery]) -> Vec<(u64, Url, Option<EndpointId>)> {
    deliveries.iter().map(|known| (known.event.sequence, known.url.clone(), known.endpoint)).collect()
}

/// 16. Each event of a write becomes one pending delivery for each of its addresses, in the same step.
pub async fn s16_each_address_has_a_delivery(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let disabled = Disabled { at: at(0), reason: "gone".into() };
    let (all, some) = (endpoint("t", "all", &[]), endpoint("t", "some", &["bot.y"]));
    let endpoints = [all.clone(), Endpoint { disabled: Some(disabled), ..endpoint("t", "off", &[]) }, some.clone()];
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let named = Event { event: "bot.y".into(), ..event(bot, 2, at(1)) };
    let own = Event { to: Some(url("https://own.example/hook")), ..event(bot, 3, at(1)) };
    let events = vec![event(bot, 1, at(1)), named, own.clone()];
    let session = store.commit(emission(&session, events.clone(), &endpoints, 2)).await.expect("commit");
    let callback = session.callback_url.clone().expect("it has one");
    let made = pending(&*store, bot).await;
    let want = [
        (1, callback.clone(), None),
        (1, all.url.clone(), Some(all.id)),
        (2, callback, None),
        (2, all.url.clone(), Some(all.id)),
        (2, some.url.clone(), Some(some.id)),
        (3, own.to.clone().expect("it has one"), None),
    ];
    assert_eq!(addresses(&made), want);
    for delivery in &made {
        let sequence = usize::try_from(delivery.event.sequence).expect("a small number");
        assert_eq!(delivery.event, events[sequence - 1], "as it was committed");
        assert_eq!((delivery.made_at, delivery.status), (at(2), pending_at(at(2))));
        assert_eq!((&delivery.tenant, delivery.failures), (&session.tenant, 0));
    }
    // Each is a delivery of its own.
    store.record_attempt(made[1].id, attempt(3, 200), DELIVERED).await.expect("record");
    store.record_attempt(made[3].id, attempt(3, 500), pending_at(at(9))).await.expect("record");
    let left = [&want[..1], &want[2..]].concat();
    assert_eq!(addresses(&pending(&*store, bot).await), left);
    assert_eq!(addresses(&store.deliveries(bot).await.expect("ledger")), want);
    // A write that is refused makes none.
    let stale = Session { version: session.version - 1, bot_name: "stale".into(), ..session.clone() };
    assert_conflict(store.commit(emission(&stale, vec![event(bot, 4, at(4))], &endpoints, 4)).await);
    assert_eq!(addresses(&store.deliveries(bot).await.expect("ledger")), want);
    // So does a creation. Endpoints do without an address of the bot's own.
    let mut silent = queued("t", at(5));
    silent.session.callback_url = None;
    silent.events = vec![event(silent.session.id, 1, at(5))];
    silent.endpoints = Arc::new([all.clone()]);
    let silent = create(&*store, silent).await;
    assert_eq!(addresses(&pending(&*store, silent.id).await), [(1, all.url, Some(all.id))]);
}

/// 17. `put_endpoint` writes if the version is the stored one, and nothing otherwise.
pub async fn s17_endpoints_compare_and_swap(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (t, other) = (TenantId::new("t"), TenantId::new("other"));
    let get = async |id| store.endpoint(id).await.expect("get");
    assert_eq!(store.endpoints(&t).await.expect("endpoints"), []);
    let new = endpoint("t", "a", &["bot.*", "audio.processed"]);
    assert_conflict(store.put_endpoint(Endpoint { version: 1, ..new.clone() }).await);
    assert_eq!(get(new.id).await, None);
    let first = store.put_endpoint(new.clone()).await.expect("put");
    assert_eq!(first, Endpoint { version: 1, ..new.clone() });
    assert_conflict(store.put_endpoint(Endpoint { description: "another".into(), ..new }).await);
    let changed = Endpoint {
        url: url("https://changed.example/?a=%20b"),
        events: Vec::new(),
        secrets: vec![
            EndpointSecret { secret: "whsec_new".into(), until: None },
            EndpointSecret { secret: "whsec_a".into(), until: Some(at(9)) },
        ],
        failing_since: Some(at(1)),
        disabled: Some(Disabled { at: at(2), reason: "ä".into() }),
        ..first.clone()
    };
    let second = store.put_endpoint(changed.clone()).await.expect("put");
    assert_eq!(second, Endpoint { version: 2, ..changed });
    assert_conflict(store.put_endpoint(Endpoint { description: "stale".into(), ..first }).await);
    assert_conflict(store.put_endpoint(Endpoint { version: 3, description: "future".into(), ..second.clone() }).await);
    assert_eq!(get(second.id).await.as_ref(), Some(&second), "a conflict writes nothing");
    // Many at once, all from the same version: one wins.
    let mut writers = JoinSet::new();
    for i in 0..20 {
        let (store, next) = (Arc::clone(&store), Endpoint { description: format!("{i}"), ..second.clone() });
        writers.spawn(async move { store.put_endpoint(next).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = writers.join_next().await {
        match answer.expect("a writer failed") {
            Ok(endpoint) => won.push(endpoint),
            lost => assert_conflict(lost),
        }
    }
    let [third] = &won[..] else { panic!("one wins: {won:?}") };
    assert_eq!((third.version, get(third.id).await.as_ref()), (3, Some(third)));

    // Oldest first, and each tenant's own.
    let made = |tenant, name, seconds| Endpoint { created_at: at(seconds), ..endpoint(tenant, name, &[]) };
    let young = store.put_endpoint(made("t", "young", 9)).await.expect("put");
    let middle = store.put_endpoint(made("t", "middle", 5)).await.expect("put");
    let theirs = store.put_endpoint(made("other", "theirs", 1)).await.expect("put");
    let want = [third.clone(), middle.clone(), young.clone()];
    assert_eq!(store.endpoints(&t).await.expect("endpoints"), want);
    assert_eq!(store.endpoints(&other).await.expect("endpoints"), std::slice::from_ref(&theirs));
    assert_eq!(get(theirs.id).await.as_ref(), Some(&theirs), "whoever owns it");
    let delete = async |tenant, id| store.delete_endpoint(tenant, id).await.expect("delete");
    assert!(!delete(&other, middle.id).await, "it is not theirs");
    assert!(delete(&t, middle.id).await);
    assert!(!delete(&t, middle.id).await, "it was there once");
    assert_conflict(store.put_endpoint(middle.clone()).await);
    // What was made for it stays.
    let session = create(&*store, queued("t", at(0))).await;
    let emitted = emission(&session, vec![event(session.id, 1, at(1))], std::slice::from_ref(&young), 1);
    store.commit(emitted).await.expect("commit");
    let deliveries = pending(&*store, session.id).await;
    assert!(delete(&t, young.id).await);
    assert_eq!(pending(&*store, session.id).await, deliveries);
    assert_eq!(deliveries[1].endpoint, Some(young.id));
    drop(store);
    let store = fixture.open().await;
    assert_eq!(store.endpoints(&t).await.expect("endpoints"), want[..1]);
    assert_eq!(store.endpoint(middle.id).await.expect("get"), None);
    let again = Endpoint { version: 0, ..middle };
    assert_eq!(store.put_endpoint(again).await.expect("put").version, 1, "its id is free again");
}

/// An event that is about no session goes to the endpoints that take it, and once settled it is gone.
pub async fn a_notice_is_delivered_and_gone(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let tenant = TenantId::new("t");
    let (all, some, others) =
        (endpoint("t", "all", &[]), endpoint("t", "some", &["bot.x"]), endpoint("t", "others", &["bot.y"]));
    let subject = BotId::from_uuid(Uuid::new_v4());
    let notice = event(subject, 1, at(1));
    let endpoints = [all.clone(), some.clone(), others.clone()];
    store.notify(&tenant, notice.clone(), &endpoints, at(2)).await.expect("notify");
    store.notify(&tenant, event(subject, 2, at(1)), &[others], at(2)).await.expect("nobody takes it");
    let made = pending(&*store, subject).await;
    assert_eq!(addresses(&made), [(1, all.url, Some(all.id)), (1, some.url, Some(some.id))]);
    for delivery in &made {
        assert_eq!((&delivery.event, &delivery.tenant), (&notice, &tenant));
        assert_eq!((delivery.made_at, delivery.status), (at(2), pending_at(at(2))));
    }
    assert_eq!(bots_due(&*store, at(1), 10).await, []);
    assert_eq!(bots_due(&*store, at(2), 10).await, [subject]);
    assert_eq!(store.deliveries(subject).await.expect("ledger"), made);
    let of_tenant = async || {
        let query = LedgerQuery { limit: 10, ..LedgerQuery::default() };
        store.ledger(&tenant, &query).await.expect("ledger").deliveries
    };
    assert_eq!(of_tenant().await, [made[1].clone(), made[0].clone()]);
    store.record_attempt(made[0].id, attempt(3, 500), pending_at(at(9))).await.expect("record");
    assert_eq!(pending(&*store, subject).await.len(), 2);
    store.record_attempt(made[1].id, attempt(3, 410), FAILED).await.expect("record");
    assert_eq!(addresses(&pending(&*store, subject).await), addresses(&made[..1]));
    assert_eq!(addresses(&store.deliveries(subject).await.expect("ledger")), addresses(&made[..1]));
    assert_eq!(store.resend(&[made[1].id], at(4)).await.expect("resend"), 0);
    store.record_attempt(made[0].id, attempt(9, 200), DELIVERED).await.expect("record");
    assert_eq!(store.deliveries(subject).await.expect("ledger"), []);
    assert_eq!(of_tenant().await, []);
    assert_eq!(bots_due(&*store, at(1_000), 10).await, []);
}

/// Whoever makes a notice until it is heard makes it, if not only once.
pub async fn a_notice_is_made_at_least_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (tenant, subject) = (TenantId::new("t"), BotId::from_uuid(Uuid::new_v4()));
    let endpoints = [endpoint("t", "a", &[]), endpoint("t", "b", &[])];
    for sequence in 1..=9 {
        let notice = event(subject, sequence, at(1));
        store.notify(&tenant, notice, &endpoints, at(sequence)).await.expect("notify");
    }
    let mut made = addresses(&pending(&*store, subject).await);
    made.sort();
    made.dedup();
    let one = |sequence| endpoints.iter().map(move |to| (sequence, to.url.clone(), Some(to.id)));
    assert_eq!(made, (1..=9).flat_map(one).collect::<Vec<_>>());
}
