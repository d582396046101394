//! Whole calls.

use muster_audio::probe;
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::world::World;

/// The encoder's 6.5 ms, the probe's 5 ms, and a scheduler that is late even for the luckiest packet.
const TOLERANCE_MS: i64 = 25;

fn spoken(log: &Value, id: &str) -> Vec<i64> {
    let entries = log["entries"].as_array().unwrap();
    let mine = entries.iter().filter(|entry| entry["event"] == "speech_started" && entry["id"] == id);
    mine.map(|entry| entry["at_ms"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn scripted_tones_are_heard_when_they_were_planned() {
    let world = World::start().await;
    let scenario = json!({"participants": [
        {"id": "ada", "speaks": [{"at": 1.5, "tone_hz": 440, "ms": 500}, {"at": 2.7, "tone_hz": 440, "ms": 300}]},
        {"id": "ben", "speaks": [{"at": 2.1, "tone_hz": 880, "ms": 400}]},
    ]});
    world.put("r", scenario).await;
    let mut guest = Guest::join(&world, "r", "Bo").await;
    guest.hears("ada").await;
    world.logged("r", "media_connected", |entry| entry["session"] == 1).await;
    // 3.4 seconds of packets, silence included, whatever the time of the first.
    let zero = world.logged("r", "clock_started", |_| true).await["at_ms"].as_i64().unwrap();
    guest
        .until("the end of the script", |guest| {
            let (pcm, start) = guest.listen("ada");
            start + i64::try_from(pcm.len()).unwrap() / 48 > zero + 3_400
        })
        .await;
    let log = world.call("GET", "/r/log", Value::Null).await.1;
    for (id, hz, planned, lengths) in
        [("ada", 440.0, vec![1_500, 2_700], vec![500, 300]), ("ben", 880.0, vec![2_100], vec![400])]
    {
        let (pcm, start) = guest.listen(id);
        let sent = spoken(&log, id);
        let heard = probe::onsets(&pcm, 48_000, hz);
        assert_eq!((heard.len(), sent.len()), (planned.len(), planned.len()), "{id}: {heard:?} {sent:?}");
        for (index, (from, to)) in heard.iter().enumerate() {
            let at = start + i64::from(*from);
            assert!((at - sent[index]).abs() <= TOLERANCE_MS, "{id}: sent at {}, heard at {at}", sent[index]);
            // One packet: a step that finds the grid late is sent with the packet before it. And the machine's mood.
            assert!((-20..=60).contains(&(sent[index] - zero - planned[index])), "{id}: {} ms", sent[index] - zero);
            assert!((i64::from(to - from) - lengths[index]).abs() <= 20, "{id}: {from}..{to}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn guests_hear_each_other_while_their_microphone_is_on() {
    let world = World::start().await;
    world.put("r", json!({})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    bo.told("offer").await;
    let mut cy = Guest::join(&world, "r", "Cy").await;
    cy.told("offer").await;
    bo.say(json!({"type": "mic", "on": true})).await;
    bo.hum(700.0);
    tokio::join!(
        async { bo.until("a second of humming", |bo| bo.packets("guest-2") == 0 && bo.closed).await },
        async {
            cy.until("a second of Bo", |cy| cy.packets("guest-1") >= 50).await;
            let (pcm, _) = cy.listen("guest-1");
            assert!((probe::dominant_frequency(&pcm, 48_000) - 700.0).abs() < 5.0);
            world.act("r", json!({"do": "kick", "target": "Bo"})).await;
        }
    );
    assert_eq!(bo.messages.last().unwrap()["type"], "removed");
    let last = cy.until("Cy is alone", |cy| cy.last("roster").unwrap()["participants"].as_array().unwrap().len() == 1);
    last.await;
}

#[tokio::test]
async fn a_muted_microphone_is_silence_to_the_others() {
    let world = World::start().await;
    world.put("r", json!({})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    bo.told("offer").await;
    let mut cy = Guest::join(&world, "r", "Cy").await;
    cy.told("offer").await;
    // It says nothing about its microphone, but sends.
    bo.hum(700.0);
    tokio::select! {
        () = bo.until("never", |_| false) => {}
        () = cy.until("a second of Bo", |cy| cy.packets("guest-1") >= 50) => {}
    }
    let (pcm, _) = cy.listen("guest-1");
    assert!(pcm.iter().all(|sample| sample.abs() < 10));
}

#[tokio::test]
async fn lobby_deny_kick_and_end() {
    let world = World::start().await;
    world.put("r", json!({"lobby": {"mode": "hold"}, "participants": [{"id": "ada"}]})).await;
    let (mut bo, mut cy) = (Guest::join(&world, "r", "Bo").await, Guest::join(&world, "r", "Cy").await);
    bo.told("lobby").await;
    cy.told("lobby").await;
    world.act("r", json!({"do": "deny", "target": "Cy"})).await;
    assert_eq!(cy.told("denied").await["reason"], "host");
    cy.until("closed", |cy| cy.closed).await;
    world.act("r", json!({"do": "admit"})).await;
    bo.hears("ada").await;
    world.act("r", json!({"do": "kick", "target": "ada"})).await;
    bo.until("alone", |bo| bo.last("roster").unwrap()["participants"].as_array().unwrap().len() == 1).await;
    let mut di = Guest::join(&world, "r", "Di").await;
    di.told("lobby").await;
    world.act("r", json!({"do": "end"})).await;
    for guest in [&mut bo, &mut di] {
        guest.told("ended").await;
        guest.until("closed", |guest| guest.closed).await;
    }
    let mut late = Guest::join(&world, "r", "Late").await;
    late.told("ended").await;
}

#[tokio::test]
async fn a_drop_cuts_everything_and_the_token_brings_it_back() {
    let world = World::start().await;
    world.put("r", json!({"participants": [{"id": "ada", "speaks": [{"at": 0, "tone_hz": 440, "ms": 60000}]}]})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    bo.hears("ada").await;
    let welcome = bo.told("welcome").await;
    let token = welcome["token"].as_str().unwrap().to_owned();
    world.act("r", json!({"do": "network_drop"})).await;
    bo.until("closed", |bo| bo.closed).await;
    assert!(!["removed", "ended", "error"].contains(&bo.messages.last().unwrap()["type"].as_str().unwrap()));
    let mut early = Guest::resume(&world, "r", &token).await;
    early.until("closed", |early| early.closed).await;
    assert_eq!(early.messages, Vec::<Value>::new());
    // What was on its way may still come; then there is nothing, whatever this side sends.
    let before = bo.packets("ada");
    bo.listen_on(10).await;
    assert!(bo.packets("ada") <= before + 2);
    world.act("r", json!({"do": "network_return"})).await;
    let mut back = Guest::resume(&world, "r", &token).await;
    assert_eq!(back.told("welcome").await["selfId"], welcome["selfId"]);
    back.hears("ada").await;
    assert_eq!(back.session, 2);
    world.logged("r", "media_connected", |entry| entry["session"] == 2).await;
    back.say(json!({"type": "leave"})).await;
    world.logged("r", "guest_left", |entry| entry["name"] == "Bo").await;
}

#[tokio::test]
async fn who_vanishes_is_away_and_then_lost() {
    let world = World::start().await;
    world.put("r", json!({"reconnect_seconds": 0.2})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    let token = bo.told("welcome").await["token"].as_str().unwrap().to_owned();
    bo.vanish();
    world.logged("r", "guest_away", |_| true).await;
    world.logged("r", "guest_lost", |entry| entry["name"] == "Bo").await;
    let mut late = Guest::resume(&world, "r", &token).await;
    assert_eq!(late.told("error").await["code"], "lost");
}

#[tokio::test]
async fn chat_goes_both_ways() {
    let world = World::start().await;
    world.put("r", json!({"participants": [{"id": "ada", "name": "Ada"}]})).await;
    let (mut bo, mut cy) = (Guest::join(&world, "r", "Bo").await, Guest::join(&world, "r", "Cy").await);
    bo.told("offer").await;
    cy.told("offer").await;
    world.act("r", json!({"do": "chat", "from": "ada", "text": "hi"})).await;
    assert_eq!(bo.told("chat").await["fromName"], "Ada");
    bo.say(json!({"type": "chat", "text": "hello"})).await;
    cy.until("Bo's hello", |cy| cy.last("chat").is_some_and(|chat| chat["text"] == "hello")).await;
    let chat = cy.last("chat").unwrap();
    assert_eq!((&chat["from"], &chat["fromName"]), (&json!("guest-1"), &json!("Bo")));
    let logged = world.logged("r", "chat", |entry| entry["text"] == "hello").await;
    assert_eq!((&logged["id"], &logged["at_ms"]), (&chat["id"], &chat["at"]));
}

#[tokio::test]
async fn the_hello_room_is_there_and_begins_anew() {
    let world = World::start().await;
    let mut bo = Guest::join(&world, "hello", "Bo").await;
    bo.hears("ben").await;
    world.act("hello", json!({"do": "end"})).await;
    bo.told("ended").await;
    let mut cy = Guest::join(&world, "hello", "Cy").await;
    cy.hears("ada").await;
}

#[tokio::test]
async fn a_new_connection_is_made_when_the_page_asks() {
    let world = World::start().await;
    world.put("r", json!({"participants": [{"id": "ada"}]})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    bo.hears("ada").await;
    bo.say(json!({"type": "restart", "session": 1})).await;
    bo.until("a second connection", |bo| bo.session == 2).await;
    bo.hears("ada").await;
}

#[tokio::test]
async fn participants_come_and_go_during_the_call() {
    let world = World::start().await;
    world.put("r", json!({})).await;
    let mut bo = Guest::join(&world, "r", "Bo").await;
    bo.told("offer").await;
    for id in ["ada", "ben", "cleo"] {
        world.act("r", json!({"do": "participant_join", "target": id, "name": id.to_uppercase()})).await;
    }
    for id in ["ada", "ben", "cleo"] {
        bo.hears(id).await;
    }
    world.act("r", json!({"do": "participant_leave", "target": "ben"})).await;
    world.act("r", json!({"do": "speak", "target": "cleo", "tone_hz": 500, "ms": 300})).await;
    bo.until("Ben has gone", |bo| bo.last("roster").unwrap()["participants"].as_array().unwrap().len() == 3).await;
    world.act("r", json!({"do": "participant_join", "target": "ben"})).await;
    let seen = bo.packets("ben");
    bo.until("Ben again", |bo| bo.packets("ben") > seen + 5).await;
    world.logged("r", "speech_ended", |entry| entry["id"] == "cleo").await;
    let (pcm, _) = bo.listen("cleo");
    assert_eq!(probe::onsets(&pcm, 48_000, 500.0).len(), 1);
}
