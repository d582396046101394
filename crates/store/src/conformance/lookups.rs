use std::collections::BTreeMap;
use std::time::Duration;

use muster_session::{BotId, Input, Remote, Session, State, TenantId, Timestamp, TranscriptId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Fixture;
use super::samples::{
    LEASE, acquire, assert_conflict, assert_fenced, at, create, creation, done, ids, joining, new_session, queued,
    renamed, step,
};
use crate::{ApiKey, ListQuery, LogEntry, SessionStore, StoreError};

pub(super) fn query(limit: u32) -> ListQuery {
    ListQuery { limit, ..ListQuery::default() }
}

fn tenant() -> TenantId {
    TenantId::new("t")
}

async fn found(store: &dyn SessionStore, query: ListQuery) -> Vec<BotId> {
    ids(&store.list(&tenant(), &query).await.expect("list").sessions)
}

/// 5. A read after a successful write sees it.
pub async fn s05_a_read_sees_the_write_before_it(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut session = create(&*store, queued("t", at(0))).await;
    assert_eq!(store.get(session.id).await.expect("get").as_ref(), Some(&session));
    for i in 1..50 {
        session = store.commit(renamed(&session, &format!("bot {i}"), at(i))).await.expect("commit");
        let listed = store.list(&tenant(), &query(1)).await.expect("list").sessions;
        assert_eq!(listed, [session.clone()]);
        assert_eq!(store.get_owned(&tenant(), session.id).await.expect("get").as_ref(), Some(&session));
    }
    store.ping().await.expect("ping");
}

/// 7. A tenant's reads never see another tenant's records.
pub async fn s07_tenants_do_not_see_each_other(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mine = create(&*store, queued("t", at(0))).await;
    let theirs = create(&*store, queued("t2", at(0))).await;
    let (t, t2) = (tenant(), TenantId::new("t2"));
    for (who, own, foreign) in [(&t, &mine, &theirs), (&t2, &theirs, &mine)] {
        assert_eq!(store.get_owned(who, own.id).await.expect("get").as_ref(), Some(own));
        assert_eq!(store.get_owned(who, foreign.id).await.expect("get"), None);
        let transcript = |session: &Session| session.transcripts[0].id;
        assert_eq!(store.find_transcript(who, transcript(own)).await.expect("find").as_ref(), Some(own));
        assert_eq!(store.find_transcript(who, transcript(foreign)).await.expect("find"), None);
        assert_eq!(ids(&store.list(who, &query(10)).await.expect("list").sessions), [own.id]);
        let counts: u64 = store.count_by_state(Some(who)).await.expect("count").iter().map(|(_, n)| n).sum();
        assert_eq!(counts, 1);
    }
    let nobody = TranscriptId::from_uuid(Uuid::new_v4());
    assert_eq!(store.find_transcript(&t, nobody).await.expect("find"), None);
    assert_eq!(store.get(theirs.id).await.expect("get"), Some(theirs), "without a tenant everything is found");
}

/// 8. `list` answers newest first, each record once over all pages.
pub async fn s08_pages_are_newest_first_and_complete(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut made = Vec::new();
    for i in 0..23 {
        // Several in the same millisecond.
        made.insert(0, create(&*store, queued("t", at(i / 4))).await);
    }
    let all = store.list(&tenant(), &query(23)).await.expect("list");
    assert_eq!((all.sessions.len(), all.next), (23, None), "a page that is just full is the last");
    assert!(all.sessions.is_sorted_by_key(|session| std::cmp::Reverse(session.created_at)));
    for limit in [1, 5, 22, 1_000] {
        let (mut seen, mut next) = (Vec::new(), ListQuery { limit, ..ListQuery::default() });
        loop {
            let page = store.list(&tenant(), &next).await.expect("list");
            assert!(page.sessions.len() <= limit as usize);
            seen.extend(page.sessions);
            // What is made meanwhile is newer than the chain, and what changes stays in its place.
            if limit == 5 && seen.len() == 5 {
                create(&*store, queued("t", at(100))).await;
                step(&*store, &made[10], acquire("w", &made[10]), at(100)).await;
            }
            match page.next {
                Some(cursor) => next.cursor = Some(cursor),
                None => break,
            }
        }
        let old: Vec<BotId> = ids(&seen).into_iter().filter(|id| made.iter().any(|m| m.id == *id)).collect();
        assert_eq!(old, ids(&all.sessions), "pages of {limit}");
    }
    for bad in ["", "x", "1", "1-", "-", "1-2-x", " 1-2", "9999999999999999999999-1", "ü"] {
        let page = store.list(&tenant(), &ListQuery { cursor: Some(bad.into()), ..query(5) }).await;
        assert!(matches!(page, Err(StoreError::BadCursor)), "{bad:?}: {page:?}");
    }
}

/// The filters of `list`, alone and together.
pub async fn filters_select(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let made = |label: &str, attributes: Value, now: Timestamp| {
        let mut new = new_session("t");
        new.meeting.label = label.into();
        new.custom_attributes = attributes.as_object().expect("an object").clone();
        creation(new, now)
    };
    let zoom = create(&*store, made("Zoom", json!({"team": "a", "n": 1}), at(1))).await;
    let meet = create(&*store, made("GMeet", json!({"team": "a", "n": "1"}), at(2))).await;
    let teams = create(&*store, made("Teams", json!({"team": null, "deep": {"x": [1]}}), at(3))).await;
    let teams = step(&*store, &teams, acquire("w", &teams), at(4)).await;
    let stopped = step(&*store, &zoom, Input::Stop, at(5)).await;
    let all = [teams.id, meet.id, zoom.id];
    let with = |attributes: &[(&str, Value)]| ListQuery {
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..query(10)
    };
    let in_states = |states: &[State]| ListQuery { states: states.to_vec(), ..query(10) };
    let on = |label: &str| ListQuery { platform: Some(label.into()), ..query(10) };
    let between = |from: u64, to: u64| ListQuery { from: Some(at(from)), to: Some(at(to)), ..query(10) };
    assert_eq!(found(&*store, query(10)).await, all);
    for label in ["zoom", "ZOOM", "Zoom"] {
        assert_eq!(found(&*store, on(label)).await, [zoom.id]);
    }
    assert_eq!(found(&*store, on("Webex")).await, []);
    assert_eq!(found(&*store, between(1, 3)).await, [meet.id, zoom.id], "from is in, to is out");
    assert_eq!(found(&*store, between(3, 3)).await, []);
    assert_eq!(found(&*store, with(&[("team", json!("a"))])).await, [meet.id, zoom.id]);
    assert_eq!(found(&*store, with(&[("team", json!("a")), ("n", json!(1))])).await, [zoom.id]);
    assert_eq!(found(&*store, with(&[("deep", json!({"x": [1]}))])).await, [teams.id]);
    assert_eq!(found(&*store, with(&[("team", Value::Null)])).await, [teams.id], "null is a value, absence is none");
    assert_eq!(found(&*store, in_states(&[State::Joining])).await, [teams.id]);
    let several = [stopped.state, State::Queued, State::Joining, State::Queued];
    assert_eq!(found(&*store, in_states(&several)).await, all, "several states are still in one order");
    assert_eq!(found(&*store, in_states(&[State::Recording])).await, []);
    // A page of what is left after every filter, and its next one.
    let first = ListQuery { limit: 1, platform: Some("gmeet".into()), ..in_states(&several) };
    assert_eq!(found(&*store, first.clone()).await, [meet.id]);
    let narrow = ListQuery { limit: 1, ..with(&[("team", json!("a"))]) };
    let page = store.list(&tenant(), &narrow).await.expect("list");
    let rest = ListQuery { cursor: page.next, ..narrow };
    assert_eq!((ids(&page.sessions), found(&*store, rest).await), (vec![meet.id], vec![zoom.id]));
}

/// 9. The lookups of the control role: oldest first, at most `limit`, and each only what it is for.
pub async fn s09_the_control_role_finds_what_is_due(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut scheduled = Vec::new();
    for seconds in [300, 100, 200] {
        let mut new = new_session("t");
        new.join_at = Some(at(seconds));
        scheduled.push(create(&*store, creation(new, at(0))).await);
    }
    let (last, first, second) = (&scheduled[0], &scheduled[1], &scheduled[2]);
    let due = async |now, limit| ids(&store.due(now, limit).await.expect("due"));
    assert_eq!(due(at(99), 10).await, []);
    assert_eq!(due(at(300), 10).await, [first.id, second.id, last.id]);
    assert_eq!(due(at(300), 2).await, [first.id, second.id]);
    step(&*store, first, Input::Due, at(100)).await;
    assert_eq!(due(at(200), 10).await, [second.id], "queued is not scheduled");

    let late = joining(&*store, "w", at(20)).await;
    let early = joining(&*store, "w", at(10)).await;
    let expired = async |now, limit| ids(&store.lease_expired(now, limit).await.expect("lease_expired"));
    assert_eq!(expired(at(10) + LEASE - Duration::from_millis(1), 10).await, []);
    assert_eq!(expired(at(10) + LEASE, 10).await, [early.id]);
    assert_eq!(expired(at(20) + LEASE, 10).await, [early.id, late.id]);
    assert_eq!(expired(at(20) + LEASE, 1).await, [early.id]);

    let deadline = early.deadline().expect("joining has one");
    let overdue = async |now, limit| ids(&store.overdue(now, limit).await.expect("overdue"));
    assert_eq!(overdue(deadline - Duration::from_millis(1), 10).await, []);
    assert_eq!(overdue(deadline, 10).await, [early.id]);
    assert_eq!(overdue(late.deadline().expect("joining has one"), 10).await, [early.id, late.id]);
    assert_eq!(overdue(late.deadline().expect("joining has one"), 1).await, [early.id]);

    let kept = done(&*store, at(50)).await;
    let retired = async |now, limit| ids(&store.expired(now, limit).await.expect("expired"));
    assert_eq!(retired(kept.expires_at - Duration::from_millis(1), 10).await, []);
    // The others are not terminal, however old.
    assert_eq!(retired(at(1_000_000_000), 10).await, [kept.id]);
    let older = done(&*store, at(40)).await;
    assert_eq!(retired(at(1_000_000_000), 10).await, [older.id, kept.id]);
    assert_eq!(retired(at(1_000_000_000), 1).await, [older.id]);

    // A session that is done has a deadline while a transcript of it is being made.
    let id = TranscriptId::from_uuid(Uuid::new_v4());
    let add = Input::AddTranscript { id, plan: kept.transcripts[0].plan.clone(), callback_url: None };
    let asked = step(&*store, &kept, add, at(60)).await;
    let deadline = asked.deadline().expect("it waits for the transcript");
    let others = [early.id, late.id, first.id];
    assert_eq!(overdue(deadline - Duration::from_millis(1), 10).await, others);
    assert_eq!(overdue(deadline, 10).await, [&others[..], &[kept.id]].concat());
    step(&*store, &asked, Input::DeadlinePassed, deadline).await;
    assert_eq!(overdue(deadline, 10).await, others);
}

/// 21. `find_remote` finds a session by what its record says of its bot elsewhere, as long as the record is there.
pub async fn s21_a_session_is_found_by_its_bot_elsewhere(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let find = async |source: &str, id: &str| store.find_remote(source, id).await.expect("find");
    let remote = |source: &str, id: Option<&str>| {
        Some(Remote { bot: id.map(str::to_owned), ours: id.is_none(), ..Remote::theirs(source, None) })
    };
    let made = |source: &str, id: Option<&str>| {
        let mut new = new_session("t");
        new.remote = remote(source, id);
        creation(new, at(0))
    };
    let said = |session: &Session, remote: Option<Remote>| {
        let mut said = renamed(session, "said", at(1));
        said.session.remote = remote;
        said
    };
    let local = create(&*store, queued("t", at(0))).await;
    let known = create(&*store, made("a", Some("1"))).await;
    let waits = create(&*store, made("a", None)).await;
    assert_eq!(find("a", "1").await.as_ref(), Some(&known), "from its creation on");
    for (source, id) in [("b", "1"), ("a", "2"), ("a", ""), ("", "1"), ("a:1", "")] {
        assert_eq!(find(source, id).await, None, "{source:?} {id:?}");
    }
    // Once it is known.
    let waits = store.commit(said(&waits, remote("a", Some("2 \"ä\":/")))).await.expect("commit");
    assert_eq!(find("a", "2 \"ä\":/").await.as_ref(), Some(&waits));
    // As it is now.
    let known = store.commit(renamed(&known, "renamed", at(2))).await.expect("commit");
    assert_eq!(find("a", "1").await.as_ref(), Some(&known));
    // By every bot that it ever had there.
    let waits = store.commit(said(&waits, remote("a", Some("3")))).await.expect("commit");
    for id in ["2 \"ä\":/", "3"] {
        assert_eq!(find("a", id).await.as_ref(), Some(&waits));
    }
    // What is not written is not found, and what is another's stays so.
    let stale = Session { version: local.version + 1, ..local.clone() };
    assert_conflict(store.commit(said(&stale, remote("a", Some("4")))).await);
    assert_eq!(find("a", "4").await, None);
    let local = store.commit(said(&local, remote("a", Some("1")))).await.expect("commit");
    assert_eq!(find("a", "1").await.as_ref(), Some(&known), "the first that said it");
    store.delete(local.id).await.expect("delete");
    assert_eq!(find("a", "1").await.as_ref(), Some(&known));
    drop(store);
    let store = fixture.open().await;
    let find = async |source: &str, id: &str| store.find_remote(source, id).await.expect("find");
    assert_eq!(find("a", "3").await.as_ref(), Some(&waits));
    store.delete(waits.id).await.expect("delete");
    for id in ["2 \"ä\":/", "3"] {
        assert_eq!(find("a", id).await, None, "gone with its record");
    }
    let again = create(&*store, made("a", Some("3"))).await;
    assert_eq!(find("a", "3").await, Some(again), "and free again");
}

/// Every session is counted in its state, for one tenant or for all.
pub async fn states_are_counted(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let count = async |tenant: Option<TenantId>| {
        let counts = store.count_by_state(tenant.as_ref()).await.expect("count");
        counts.into_iter().filter(|(_, n)| *n > 0).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(count(None).await, BTreeMap::new());
    create(&*store, queued("t", at(0))).await;
    create(&*store, queued("t", at(0))).await;
    joining(&*store, "w", at(0)).await;
    create(&*store, queued("other", at(0))).await;
    assert_eq!(count(None).await, BTreeMap::from([(State::Queued, 3), (State::Joining, 1)]));
    assert_eq!(count(Some(tenant())).await, BTreeMap::from([(State::Queued, 2), (State::Joining, 1)]));
    assert_eq!(count(Some(TenantId::new("nobody"))).await, BTreeMap::new());
}

/// A bot's log comes back in order, by kind, each identity once.
pub async fn logs_are_read_back_in_order(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let session = joining(&*store, "w", at(0)).await;
    let other = joining(&*store, "w", at(0)).await;
    let (bot, token) = (session.id, session.fencing);
    let line = |kind: &str, key: &str, seconds: u64, n: u64| LogEntry {
        kind: kind.into(),
        key: key.into(),
        at: at(seconds),
        data: json!({"n": n, "text": "\u{2028} \"quoted\""}),
    };
    let lines = [line("chat", "b", 5, 0), line("chat", "a", 3, 1), line("note", "a", 1, 2), line("chat", "c", 4, 3)];
    store.append_log(bot, token, &lines[..3]).await.expect("append");
    // The same again, changed or not, and something new in one call.
    store.append_log(bot, token, &[line("chat", "a", 9, 99), lines[3].clone()]).await.expect("append");
    store.append_log(other.id, other.fencing, &[line("chat", "a", 7, 7)]).await.expect("append");
    let chat = [lines[0].clone(), lines[1].clone(), lines[3].clone()];
    assert_eq!(store.log(bot, "chat", 10).await.expect("log"), chat, "in the order of appending");
    assert_eq!(store.log(bot, "chat", 2).await.expect("log"), chat[..2]);
    assert_eq!(store.log(bot, "note", 10).await.expect("log"), lines[2..3]);
    assert_eq!(store.log(bot, "health", 10).await.expect("log"), []);
    store.append_log(bot, token, &[]).await.expect("nothing to append");
    assert_fenced(store.append_log(BotId::from_uuid(Uuid::new_v4()), token, &lines).await);
}

/// API keys are found by their hash, replaced by it, listed oldest first.
pub async fn keys_are_kept_by_hash(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let key = |hash: &str, name: &str, seconds| ApiKey {
        hash: hash.into(),
        tenant: tenant(),
        name: name.into(),
        prefix: "mk_".into(),
        created_at: at(seconds),
    };
    assert_eq!(store.keys().await.expect("keys"), []);
    let (newer, older) = (key("1", "newer", 9), key("2", "older", 4));
    for key in [&newer, &key("2", "replaced", 5), &older] {
        store.put_key(key).await.expect("put");
    }
    assert_eq!(store.keys().await.expect("keys"), [older.clone(), newer.clone()]);
    assert_eq!(store.key_by_hash("2").await.expect("get"), Some(older));
    assert_eq!(store.key_by_hash("3").await.expect("get"), None);
    assert!(store.delete_key("2").await.expect("delete"));
    assert!(!store.delete_key("2").await.expect("delete"));
    assert_eq!(store.key_by_hash("2").await.expect("get"), None, "though it was asked for before");
    assert_eq!(store.keys().await.expect("keys"), [newer]);
}
