use std::cmp::Reverse;

use muster_session::event::Event;
use muster_session::{BotId, TenantId, Timestamp};
use uuid::Uuid;

use super::Fixture;
use super::endpoints::{emission, endpoint};
use super::inbox::entry;
use super::ledger::{DELIVERED, FAILED, attempt, bots_due, emit, event, pending, pending_at};
use super::samples::{at, create, queued};
use crate::{Delivery, DeliveryState, InboxEntry, InboxQuery, LedgerQuery, SessionStore, StoreError};

fn tenant() -> TenantId {
    TenantId::new("t")
}

/// A page, and where the next one begins.
type Paged<T> = Result<(Vec<T>, Option<String>), StoreError>;

async fn ledger(store: &dyn SessionStore, cursor: Option<String>, limit: u32) -> Paged<Delivery> {
    let query = LedgerQuery { cursor, limit, ..LedgerQuery::default() };
    store.ledger(&tenant(), &query).await.map(|page| (page.deliveries, page.next))
}

async fn inbox(store: &dyn SessionStore, cursor: Option<String>, limit: u32) -> Paged<InboxEntry> {
    let query = InboxQuery { cursor, limit, ..InboxQuery::default() };
    store.inbox(&tenant(), &query).await.map(|page| (page.entries, page.next))
}

/// Reads to the end by pages of this size. What `between` does is done after the first page.
async fn chain<T>(
    limit: u32,
    mut page: impl AsyncFnMut(Option<String>) -> Paged<T>,
    between: impl AsyncFnOnce(),
) -> Vec<T> {
    let (mut seen, mut next) = page(None).await.expect("a page");
    between().await;
    while let Some(cursor) = next {
        let (more, after) = page(Some(cursor)).await.expect("a page");
        assert!((1..=limit as usize).contains(&more.len()));
        seen.extend(more);
        next = after;
    }
    seen
}

const BAD_CURSORS: [&str; 9] = ["", "x", "1", "1-", "-", "1-2-x", " 1-2", "9999999999999999999999-1", "ü"];

/// 19. `ledger` and `inbox` answer a tenant's own, newest first, each entry once over all pages.
pub async fn s19_ledgers_and_inboxes_are_newest_first(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let other = create(&*store, queued("other", at(0))).await;
    emit(&*store, &other, vec![event(other.id, 1, at(1))], at(1)).await;
    assert_eq!(ledger(&*store, None, 10).await.expect("ledger"), (vec![], None));
    assert_eq!(inbox(&*store, None, 10).await.expect("inbox"), (vec![], None));
    let mut session = session;
    for i in 0..12u64 {
        // Two of each write, several writes in the same millisecond, and clocks that differ. Sequences do not matter.
        let events = vec![event(bot, 100 - i, at(1)), event(bot, i + 1, at(1))];
        session = emit(&*store, &session, events, at((i / 3) ^ 1)).await;
    }
    for i in 0..23u64 {
        assert!(store.receive(entry("t", &format!("{i}"), (i / 4) ^ 1)).await.expect("receive"));
        assert!(store.receive(entry("other", &format!("other {i}"), (i / 4) ^ 1)).await.expect("receive"));
    }

    let (all, next) = ledger(&*store, None, 24).await.expect("ledger");
    assert_eq!((all.len(), next), (24, None), "a page that is just full is the last");
    assert!(all.is_sorted_by_key(|known| Reverse((known.made_at, known.id))), "{all:?}");
    let mut here = store.deliveries(bot).await.expect("ledger");
    here.sort_by_key(|known| Reverse((known.made_at, known.id)));
    assert_eq!(all, here);
    let ids = |deliveries: &[Delivery]| deliveries.iter().map(|known| known.id).collect::<Vec<_>>();
    for limit in [1, 5, 23, 1_000] {
        // What changes meanwhile stays in its place.
        let settle = async || {
            store.record_attempt(all[9].id, attempt(50, 200), DELIVERED).await.expect("record");
        };
        let seen = chain(limit, async |cursor| ledger(&*store, cursor, limit).await, settle).await;
        assert_eq!(ids(&seen), ids(&all), "pages of {limit}");
    }

    let (all, next) = inbox(&*store, None, 23).await.expect("inbox");
    assert_eq!((all.len(), next), (23, None));
    assert!(all.is_sorted_by_key(|entry| Reverse(entry.received_at)), "{all:?}");
    assert!(all.iter().all(|entry| entry.tenant == tenant()));
    for limit in [1, 5, 22, 1_000] {
        // What comes in meanwhile is newer than the chain.
        let news = async || {
            let new = InboxEntry { received_at: at(100), ..entry("t", &format!("new {limit}"), 0) };
            assert!(store.receive(new).await.expect("receive"));
        };
        let mut seen = chain(limit, async |cursor| inbox(&*store, cursor, limit).await, news).await;
        seen.retain(|entry| entry.received_at < at(100));
        assert_eq!(seen, all, "pages of {limit}");
    }
    for bad in BAD_CURSORS {
        let page = ledger(&*store, Some(bad.into()), 5).await;
        assert!(matches!(page, Err(StoreError::BadCursor)), "{bad:?}: {page:?}");
        let page = inbox(&*store, Some(bad.into()), 5).await;
        assert!(matches!(page, Err(StoreError::BadCursor)), "{bad:?}: {page:?}");
    }
}

/// The filters of `ledger`, alone and together.
pub async fn ledger_filters_select(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (first, second) = (endpoint("t", "first", &[]), endpoint("t", "second", &["bot.stopped"]));
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let named = |sequence, generic: &str, specific: &str| Event {
        event: generic.into(),
        bot_event: specific.into(),
        ..event(bot, sequence, at(1))
    };
    let joined = emission(&session, vec![named(1, "bot.joining", "bot.joining")], std::slice::from_ref(&first), 1);
    let session = store.commit(joined).await.expect("commit");
    let endpoints = [first.clone(), second.clone()];
    let stopped = emission(&session, vec![named(2, "bot.stopped", "bot.kicked")], &endpoints, 2);
    let session = store.commit(stopped).await.expect("commit");
    let session = emit(&*store, &session, vec![named(3, "bot.done", "bot.done")], at(3)).await;
    let made = store.deliveries(bot).await.expect("ledger");
    assert_eq!(made.len(), 6, "{made:?}");
    // By their places: 0 and 1 are of the first event, 2 to 4 of the second, 5 of the third.
    store.record_attempt(made[0].id, attempt(4, 200), DELIVERED).await.expect("record");
    store.record_attempt(made[2].id, attempt(4, 410), FAILED).await.expect("record");
    store.record_attempt(made[3].id, attempt(4, 500), pending_at(at(9))).await.expect("record");
    let found = async |query: LedgerQuery| {
        let page = store.ledger(&session.tenant, &LedgerQuery { limit: 10, ..query }).await.expect("ledger");
        let place = |found: &Delivery| made.iter().position(|known| known.id == found.id).expect("it was made");
        page.deliveries.iter().map(place).collect::<Vec<_>>()
    };
    let all = LedgerQuery::default;
    let with = |state| LedgerQuery { state: Some(state), ..all() };
    let to = |id| LedgerQuery { endpoint: Some(id), ..all() };
    let of = |name: &str| LedgerQuery { event: Some(name.into()), ..all() };
    assert_eq!(found(all()).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(found(with(DeliveryState::Pending)).await, [5, 4, 3, 1]);
    assert_eq!(found(with(DeliveryState::Delivered)).await, [0]);
    assert_eq!(found(with(DeliveryState::Failed)).await, [2]);
    assert_eq!(found(to(first.id)).await, [3, 1]);
    assert_eq!(found(to(second.id)).await, [4]);
    for name in ["bot.stopped", "bot.kicked"] {
        assert_eq!(found(of(name)).await, [4, 3, 2], "{name}");
    }
    assert_eq!(found(of("bot.joining")).await, [1, 0]);
    assert_eq!(found(of("bot.")).await, [0; 0]);
    assert_eq!(found(LedgerQuery { from: Some(at(2)), to: Some(at(3)), ..all() }).await, [4, 3, 2], "to is out");
    assert_eq!(found(LedgerQuery { state: Some(DeliveryState::Pending), ..of("bot.kicked") }).await, [4, 3]);
    assert_eq!(found(LedgerQuery { endpoint: Some(first.id), ..of("bot.kicked") }).await, [3]);
    assert_eq!(found(LedgerQuery { to: Some(at(2)), ..with(DeliveryState::Pending) }).await, [1]);
    // What is to be sent again is no longer a failure.
    store.resend(&[made[2].id], at(5)).await.expect("resend");
    assert_eq!(found(with(DeliveryState::Failed)).await, [0; 0]);
    assert_eq!(found(with(DeliveryState::Pending)).await, [5, 4, 3, 2, 1]);
    // A page of what is left after every filter, and its next one.
    let narrow = LedgerQuery { state: Some(DeliveryState::Pending), limit: 1, ..to(first.id) };
    let page = store.ledger(&session.tenant, &narrow).await.expect("ledger");
    assert_eq!(page.deliveries.iter().map(|known| known.id).collect::<Vec<_>>(), [made[3].id]);
    assert!(page.next.is_some());
    assert_eq!(found(LedgerQuery { cursor: page.next, ..narrow }).await, [1]);
}

/// 20. A delivery that was postponed is due no sooner than it was postponed to, and no attempt is counted.
pub async fn s20_what_is_postponed_waits(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    let session = emit(&*store, &session, (1..=4).map(|sequence| event(bot, sequence, at(1))).collect(), at(1)).await;
    let made = pending(&*store, bot).await;
    store.record_attempt(made[1].id, attempt(2, 500), pending_at(at(20))).await.expect("record");
    store.record_attempt(made[3].id, attempt(2, 200), DELIVERED).await.expect("record");
    let postpone = async |ids: &[u64], until: Timestamp| store.postpone(ids, until).await.expect("postpone");
    postpone(&[], at(10)).await;
    postpone(&[made[0].id, made[1].id, made[3].id, u64::from(u32::MAX)], at(10)).await;
    let known = store.deliveries(bot).await.expect("ledger");
    let want = [pending_at(at(10)), pending_at(at(20)), pending_at(at(1)), DELIVERED];
    assert_eq!(known.iter().map(|known| known.status).collect::<Vec<_>>(), want, "never sooner, and only if pending");
    assert_eq!(known.iter().map(|known| known.failures).collect::<Vec<_>>(), [0, 1, 0, 0]);
    assert_eq!(known.iter().map(|known| known.attempts.len()).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!(bots_due(&*store, at(1), 10).await, [bot], "one was not asked for");
    postpone(&[made[2].id], at(15)).await;
    postpone(&[made[2].id, made[0].id], at(5)).await;
    assert_eq!(bots_due(&*store, at(9), 10).await, []);
    assert_eq!(bots_due(&*store, at(10), 10).await, [bot]);
    postpone(&[made[0].id], at(12)).await;
    assert_eq!(bots_due(&*store, at(11), 10).await, []);
    assert_eq!(bots_due(&*store, at(12), 10).await, [bot]);
    // Others wait as they did, and what comes after is due at once.
    let other = create(&*store, queued("t", at(0))).await;
    emit(&*store, &other, vec![event(other.id, 1, at(11))], at(11)).await;
    assert_eq!(bots_due(&*store, at(11), 10).await, [other.id]);
    emit(&*store, &session, vec![event(bot, 5, at(12))], at(3)).await;
    assert_eq!(bots_due(&*store, at(11), 10).await, [bot, other.id]);
    store.record_attempt(made[0].id, attempt(12, 200), DELIVERED).await.expect("an attempt ends the pause");
    assert_eq!(pending(&*store, bot).await.len(), 3);
}

/// Whoever resends until it is heard makes everything settled pending, however often it was done.
pub async fn a_resend_is_made_whoever_hears_of_it(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = create(&*store, queued("t", at(0))).await;
    let bot = session.id;
    emit(&*store, &session, (1..=9).map(|sequence| event(bot, sequence, at(1))).collect(), at(1)).await;
    let made = pending(&*store, bot).await;
    for delivery in &made[..8] {
        let status = if delivery.id % 2 == 0 { DELIVERED } else { FAILED };
        store.record_attempt(delivery.id, attempt(2, 200), status).await.expect("record");
    }
    for ids in made.chunks(3) {
        let ids: Vec<u64> = ids.iter().map(|delivery| delivery.id).collect();
        assert!(store.resend(&ids, at(5)).await.expect("resend") <= ids.len() as u64);
    }
    let again = pending(&*store, bot).await;
    let (last, resent) = again.split_last().expect("nine");
    assert_eq!(resent.len(), 8);
    assert!(resent.iter().all(|known| (known.status, known.failures) == (pending_at(at(5)), 0)), "{resent:?}");
    assert_eq!(last.status, pending_at(at(1)), "it was pending");
    let nowhere = store.deliveries(BotId::from_uuid(Uuid::new_v4())).await.expect("ledger");
    assert_eq!(nowhere, []);
}
