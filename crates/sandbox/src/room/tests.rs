//! A room in time that only the tests move.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::connection::Outgoing;
use super::*;
use crate::engine::net::Net;
use crate::scenario::Action;
use crate::wire::ClientMessage;

/// A room, its world and its clock.
struct World {
    room: Room,
    out: Outside,
    now: Moment,
    connections: u64,
}

/// What a test holds of a guest's page.
struct Page {
    id: String,
    connection: u64,
    token: String,
    outgoing: Outgoing,
}

impl Page {
    /// The types of all messages since the last call, and `closed`.
    fn said(&mut self) -> Vec<String> {
        self.messages().iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    }

    fn messages(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            match self.outgoing.messages.try_recv() {
                Ok(message) => messages.push(serde_json::to_value(message).unwrap()),
                Err(tokio::sync::mpsc::error::TryRecvError::Empty) => return messages,
                Err(_) => {
                    messages.push(json!({"type": "closed"}));
                    return messages;
                }
            }
        }
    }
}

impl World {
    fn new(scenario: Value) -> Self {
        let script = Script::prepare(serde_json::from_value(scenario).unwrap(), None).unwrap();
        let now = Moment { instant: Instant::now(), epoch_ms: 1_000_000 };
        let out = Outside::new(Net::default(), 4);
        Self { room: Room::new("r".to_owned(), script, now), out, now, connections: 0 }
    }

    /// Lets time go by, in steps in which nothing is missed.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(20) {
            self.now.instant += Duration::from_millis(20);
            self.now.epoch_ms += 20;
            self.room.advance(self.now, &self.out);
            self.room.tick((self.now.epoch_ms - 1_000_000) / 20, self.now, self.now, &self.out);
        }
    }

    fn try_enter(&mut self, name: &str, resume: Option<&str>) -> (Entered, u64, Outgoing) {
        self.connections += 1;
        let (connection, outgoing) = Connection::new(self.connections);
        let entered = self.room.enter(name.to_owned(), resume, connection, self.now, &self.out);
        self.room.advance(self.now, &self.out);
        (entered, self.connections, outgoing)
    }

    fn enter(&mut self, name: &str, resume: Option<&str>) -> Page {
        let (entered, connection, outgoing) = self.try_enter(name, resume);
        let Entered::As(id) = entered else { panic!("{name} was refused") };
        let token = self.room.guests[&id].token.clone();
        Page { id, connection, token, outgoing }
    }

    fn act(&mut self, action: Value) -> Result<(), String> {
        let action: Action = serde_json::from_value(action).unwrap();
        let speech = action.sound().map(|sound| Arc::new(crate::speech::render(&sound, None).unwrap()));
        let done = self.room.act(&action, speech, self.now, &self.out);
        self.room.advance(self.now, &self.out);
        done
    }

    fn say(&mut self, page: &Page, message: Value) {
        let message: ClientMessage = serde_json::from_value(message).unwrap();
        self.room.heard(&page.id, page.connection, message, self.now, &self.out);
        self.room.advance(self.now, &self.out);
    }

    /// Each entry of the log as its event, what it is about, and its time in milliseconds.
    fn log(&self) -> Vec<(String, String, u64)> {
        let entries = self.room.log.after(0).into_iter().map(|entry| serde_json::to_value(entry).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries.map(|e| (text(&e["event"]), text(&e["id"]), e["at_ms"].as_u64().unwrap() - 1_000_000)).collect()
    }

    fn events(&self) -> Vec<String> {
        self.log().into_iter().map(|(event, _, _)| event).collect()
    }
}

#[test]
fn an_open_room_lets_everybody_in_at_once() {
    let mut world = World::new(json!({"participants": [{"id": "ada", "name": "Ada"}]}));
    let mut page = world.enter(" Bo ", None);
    let messages = page.messages();
    let types: Vec<_> = messages.iter().map(|m| m["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["welcome", "admitted", "roster", "offer"]);
    assert_eq!((&messages[0]["selfId"], &messages[0]["reconnectMs"]), (&json!("guest-1"), &json!(15_000)));
    let roster = json!([{"id": "ada", "name": "Ada", "mic": true}, {"id": "guest-1", "name": "Bo", "mic": false}]);
    assert_eq!(messages[2]["participants"], roster);
    let sdp = messages[3]["sdp"].as_str().unwrap();
    assert!(sdp.contains("a=msid:ada ") && sdp.contains("a=mid:"), "{sdp}");
    assert_eq!(world.events(), ["room_created", "guest_admitted", "clock_started", "participant_joined"]);
}

#[test]
fn a_lobby_decides_after_its_time() {
    for (mode, last_words, event) in [
        ("admit_after", vec!["admitted", "roster", "offer"], "guest_admitted"),
        ("deny_after", vec!["denied", "closed"], "guest_denied"),
    ] {
        let mut world = World::new(json!({"lobby": {"mode": mode, "seconds": 2}}));
        let mut page = world.enter("Bo", None);
        assert_eq!(page.said(), ["welcome", "lobby"]);
        world.pass(1_980);
        assert_eq!(page.said(), Vec::<String>::new(), "{mode}");
        world.pass(20);
        assert_eq!(page.said(), last_words);
        assert!(world.log().contains(&(event.to_owned(), "guest-1".to_owned(), 2_000)), "{:?}", world.log());
    }
}

#[test]
fn a_lobby_on_hold_waits_for_an_action_about_somebody_in_it() {
    let mut world = World::new(json!({"lobby": {"mode": "hold"}}));
    assert_eq!(world.act(json!({"do": "admit"})), Err("there is no guest in the lobby".to_owned()));
    let (mut bo, mut cy) = (world.enter("Bo", None), world.enter("Cy", None));
    world.pass(60_000);
    assert_eq!(
        (bo.said(), cy.said()),
        (vec!["welcome".into(), "lobby".into()], vec!["welcome".into(), "lobby".into()])
    );
    assert_eq!(
        world.act(json!({"do": "admit", "target": "Di"})),
        Err("there is no guest `Di` in the lobby".to_owned())
    );
    assert_eq!(world.act(json!({"do": "kick"})), Err("there is no guest in the call".to_owned()));
    world.act(json!({"do": "admit", "target": "Bo"})).unwrap();
    world.act(json!({"do": "deny"})).unwrap();
    assert_eq!(
        (bo.said(), cy.said()),
        (vec!["admitted".into(), "roster".into(), "offer".into()], vec!["denied".into(), "closed".into()])
    );
}

#[test]
fn who_is_kicked_is_told_and_nobody_else_goes() {
    let mut world = World::new(json!({"participants": [{"id": "ada", "name": "Ada"}]}));
    let (mut bo, mut cy) = (world.enter("Bo", None), world.enter("Cy", None));
    let told = (bo.said(), cy.said());
    assert!(!told.0.contains(&"removed".to_owned()));
    world.act(json!({"do": "kick", "target": bo.id})).unwrap();
    assert_eq!(bo.said(), ["removed", "closed"]);
    // The offer to leave Bo out waits for the answer to the one before.
    assert_eq!(cy.said(), ["roster"]);
    world.act(json!({"do": "kick", "target": "Ada"})).unwrap();
    assert_eq!(cy.messages()[0]["participants"], json!([{"id": "guest-2", "name": "Cy", "mic": false}]));
    world.act(json!({"do": "kick"})).unwrap();
    assert_eq!(cy.said(), ["removed", "closed"]);
}

#[test]
fn the_end_is_for_everybody_and_stays() {
    let mut world = World::new(json!({"timeline": [{"at": 1, "do": "end"}], "participants": [{"id": "ada"}]}));
    let mut bo = world.enter("Bo", None);
    world.pass(1_000);
    assert_eq!(bo.said()[4..], ["ended", "closed"]);
    assert_eq!(world.events()[4..], ["participant_left", "room_ended"]);
    let (entered, _, mut outgoing) = world.try_enter("Late", None);
    assert!(matches!(entered, Entered::Refused));
    assert!(matches!(outgoing.messages.try_recv(), Ok(ServerMessage::Ended)));
    assert_eq!(world.act(json!({"do": "admit"})), Err("the meeting is over".to_owned()));
    assert_eq!(world.room.next_wake(), None);
}

#[test]
fn a_dropped_guest_comes_back_after_the_return_and_not_before() {
    let mut world = World::new(json!({"reconnect_seconds": 5}));
    let (mut bo, mut cy) = (world.enter("Bo", None), world.enter("Cy", None));
    bo.said();
    cy.said();
    world.act(json!({"do": "network_drop", "target": "Bo"})).unwrap();
    assert_eq!(bo.said(), ["closed"]);
    assert!(world.room.peer(&bo.id).is_none());
    assert_eq!(
        world.act(json!({"do": "network_drop", "target": "Bo"})),
        Err("there is no guest `Bo` with a network".to_owned())
    );
    world.pass(1_000);
    let (entered, _, mut outgoing) = world.try_enter("Bo", Some(&bo.token));
    assert!(matches!(entered, Entered::Refused) && outgoing.messages.try_recv().is_err());
    world.act(json!({"do": "network_return"})).unwrap();
    let mut back = world.enter("Bo", Some(&bo.token));
    assert_eq!(back.id, bo.id);
    let messages = back.messages();
    let types: Vec<_> = messages.iter().map(|m| m["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["welcome", "admitted", "roster", "offer"]);
    assert_eq!(messages[3]["session"], 2);
    // It kept its place: the others saw nothing, and it is not given up later.
    assert_eq!(cy.said(), Vec::<String>::new());
    world.pass(10_000);
    assert!(world.room.guests.contains_key(&bo.id));
    assert_eq!(world.events()[4..], ["network_dropped", "network_returned", "guest_resumed"]);
}

#[test]
fn who_does_not_come_back_in_time_is_lost() {
    let mut world = World::new(json!({"reconnect_seconds": 5}));
    let (bo, mut cy) = (world.enter("Bo", None), world.enter("Cy", None));
    cy.said();
    world.room.gone(&bo.id, bo.connection, world.now);
    world.pass(4_980);
    assert!(world.room.guests.contains_key(&bo.id));
    world.pass(20);
    assert_eq!(cy.said(), ["roster"]);
    assert_eq!(world.log().last().unwrap(), &("guest_lost".to_owned(), "guest-1".to_owned(), 5_000));
    let (entered, _, mut outgoing) = world.try_enter("Bo", Some(&bo.token));
    assert!(matches!(entered, Entered::Refused));
    assert!(matches!(outgoing.messages.try_recv(), Ok(ServerMessage::Error { code: "lost", .. })));
}

#[test]
fn an_older_connection_has_no_say() {
    let mut world = World::new(json!({}));
    let mut old = world.enter("Bo", None);
    let new = world.enter("Bo", Some(&old.token));
    assert_eq!(old.said().last().unwrap(), "closed");
    world.say(&old, json!({"type": "leave"}));
    world.room.gone(&old.id, old.connection, world.now);
    assert!(world.room.guests[&new.id].connection.is_some());
    world.say(&new, json!({"type": "leave"}));
    assert!(world.room.guests.is_empty());
    assert_eq!(world.events().last().unwrap(), "guest_left");
}

#[test]
fn chat_goes_to_the_call_and_only_from_there() {
    let mut world = World::new(json!({
        "lobby": {"mode": "hold"}, "clock": "creation", "participants": [{"id": "ada", "name": "Ada"}],
        "timeline": [{"at": 1, "do": "chat", "from": "ada", "text": "hi"}, {"at": 2, "do": "chat", "text": "welcome"}],
    }));
    let (mut bo, mut cy) = (world.enter("Bo", None), world.enter("Cy", None));
    world.act(json!({"do": "admit", "target": "Bo"})).unwrap();
    bo.said();
    cy.said();
    world.pass(2_000);
    world.say(&cy, json!({"type": "chat", "text": "let me in"}));
    world.say(&bo, json!({"type": "chat", "text": "  "}));
    world.say(&bo, json!({"type": "chat", "text": "x".repeat(2_001)}));
    world.say(&bo, json!({"type": "chat", "text": "hello"}));
    let heard: Vec<_> = bo.messages().into_iter().filter(|m| m["type"] == "chat").collect();
    let heard: Vec<_> =
        heard.iter().map(|m| [&m["from"], &m["fromName"], &m["text"]].map(|v| v.as_str().unwrap())).collect();
    assert_eq!(heard, [["ada", "Ada", "hi"], ["Host", "Host", "welcome"], ["guest-1", "Bo", "hello"]]);
    assert_eq!(cy.said(), Vec::<String>::new());
}

#[test]
fn speech_is_in_the_log_at_its_time_and_ends_with_the_speaker() {
    let mut world = World::new(json!({"clock": "creation", "participants": [
        {"id": "ada", "joins_at": 0.5, "leaves_at": 3, "speaks": [{"at": 1, "tone_hz": 440, "ms": 200}, {"at": 2.8, "tone_hz": 440, "ms": 900}]},
    ]}));
    assert!(!world.room.has_voices());
    world.pass(2_000);
    world.act(json!({"do": "speak", "target": "ada", "tone_hz": 600, "ms": 100})).unwrap();
    assert!(world.room.has_voices());
    world.pass(2_000);
    let spoken: Vec<_> =
        world.log().into_iter().filter(|(event, _, _)| event.starts_with("speech")).map(|(e, _, at)| (e, at)).collect();
    let (start, end) = ("speech_started".to_owned(), "speech_ended".to_owned());
    let expected = [(&start, 1_000), (&end, 1_180), (&start, 2_020), (&end, 2_100), (&start, 2_800), (&end, 3_000)];
    assert_eq!(spoken, expected.map(|(event, at)| (event.clone(), at)));
    let missing = "there is no virtual participant `ada` in the call".to_owned();
    assert_eq!(world.act(json!({"do": "speak", "target": "ada", "tone_hz": 600})), Err(missing.clone()));
    assert_eq!(world.act(json!({"do": "participant_leave", "target": "ada"})), Err(missing));
    world.act(json!({"do": "participant_join", "target": "ada"})).unwrap();
    assert_eq!(
        world.act(json!({"do": "participant_join", "target": "ada"})),
        Err("`ada` is in the call already".to_owned())
    );
}

#[test]
fn a_full_room_and_a_bad_name_are_refused_with_a_reason() {
    let mut world = World::new(json!({"participants": [{"id": "a"}, {"id": "b"}], "clock": "creation"}));
    world.pass(20);
    let mut refused = |name: &str| match world.try_enter(name, None) {
        (Entered::Refused, _, mut outgoing) => match outgoing.messages.try_recv() {
            Ok(ServerMessage::Error { code, .. }) => code,
            other => panic!("{other:?}"),
        },
        (Entered::As(_), ..) => "entered",
    };
    assert_eq!(refused(" "), "bad_name");
    assert_eq!(refused(&"n".repeat(101)), "bad_name");
    assert_eq!([refused("Bo"), refused("Cy"), refused("Di")], ["entered", "entered", "room_full"]);
    let join = world.act(json!({"do": "participant_join", "target": "c"}));
    assert_eq!(join, Err("the room has 4 participants, which is all it may have".to_owned()));
}

#[test]
fn an_action_of_the_plan_without_anybody_to_act_on_is_in_the_log() {
    let mut world = World::new(json!({"clock": "creation", "timeline": [{"at": 1, "do": "kick"}]}));
    world.pass(1_000);
    let entry = serde_json::to_value(world.room.log.after(0).last().unwrap()).unwrap();
    assert_eq!((&entry["event"], &entry["action"]), (&json!("action_failed"), &json!("kick")));
    assert_eq!(entry["message"], "there is no guest in the call");
}

#[test]
fn an_empty_room_is_kept_for_a_while() {
    let mut world = World::new(json!({}));
    let idle = Duration::from_secs(60);
    let page = world.enter("Bo", None);
    world.pass(120_000);
    assert!(!world.room.is_expired(world.now.instant, idle));
    world.say(&page, json!({"type": "leave"}));
    world.pass(59_980);
    assert!(!world.room.is_expired(world.now.instant, idle));
    world.pass(20);
    assert!(world.room.is_expired(world.now.instant, idle));
}

#[test]
fn a_page_that_takes_nothing_loses_its_connection() {
    let mut world = World::new(json!({}));
    let page = world.enter("Bo", None);
    for _ in 0..2_000 {
        world.act(json!({"do": "chat", "text": "more"})).unwrap();
    }
    assert!(page.outgoing.hopeless.is_cancelled());
}

#[test]
fn the_state_says_where_everybody_is() {
    let mut world = World::new(json!({"lobby": {"mode": "hold"}, "participants": [{"id": "ada"}]}));
    let (_bo, _cy) = (world.enter("Bo", None), world.enter("Cy", None));
    let state = world.room.state(world.now);
    assert_eq!((state.elapsed_ms, state.participants.len()), (None, 0));
    world.act(json!({"do": "admit", "target": "Bo"})).unwrap();
    world.act(json!({"do": "network_drop", "target": "Bo"})).unwrap();
    world.pass(1_000);
    let state = world.room.state(world.now);
    let guests: Vec<_> = state.guests.iter().map(|g| (g.name.as_str(), g.place, g.network)).collect();
    assert_eq!(guests, [("Bo", "call", "dropped"), ("Cy", "lobby", "connected")]);
    assert_eq!((state.elapsed_ms, state.participants[0].id.as_str()), (Some(1_000), "ada"));
}
