//! A burst of bots in sandbox meetings that end in many ways.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_session::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::random::Random;
use crate::harness::{KEY, http_client};

/// Bots of one meeting.
const SEATS: usize = 6;
/// Create requests at a time.
const HANDS: usize = 24;

/// One meeting.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Of its sandbox.
    pub(super) api: String,
    pub(super) name: String,
    /// By an action, once most of its bots are in it; otherwise by its scenario.
    ends_by_action: bool,
}

/// A bot as its caller knows it.
#[derive(Clone, Debug)]
pub(super) struct Bot {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) room: usize,
    pub(super) created: Timestamp,
    /// Is asked to leave soon after it joined.
    removed: bool,
}

/// Everybody of one wave.
pub(super) struct Crowd {
    pub(super) rooms: Vec<Room>,
    pub(super) bots: Vec<Bot>,
}

/// What the scenario of a meeting does; every one of them ends it.
fn scenario(random: &mut Random, ends_by_action: bool) -> Value {
    let lobby = match random.below(10) {
        0 => json!({"mode": "deny_after", "seconds": 0.5}),
        1..=3 => json!({"mode": "admit_after", "seconds": 1}),
        _ => json!({"mode": "open"}),
    };
    // Whoever comes back late, after its worker was lost, finds the meeting over.
    let end = match random.below(3) {
        // Longer than a lease.
        0 => 14,
        _ if ends_by_action => 20,
        _ => 3 + random.below(5),
    };
    let mut timeline = vec![json!({"at": end, "do": "end"})];
    if random.percent(15) {
        timeline.push(json!({"at": 2, "do": "kick"}));
    }
    json!({
        "lobby": lobby,
        "participants": [{"id": "ada", "name": "Ada"}],
        "timeline": timeline,
        "reconnect_seconds": 0,
    })
}

impl Crowd {
    /// Makes the meetings, and creates every bot as fast as the APIs take them.
    pub(super) async fn burst(apis: &[String], wave: usize, bots: usize, hook: &str, random: &mut Random) -> Self {
        let http = http_client();
        let mut rooms = Vec::new();
        for number in 0..bots.div_ceil(SEATS) {
            let room = Room {
                api: apis[number % apis.len()].clone(),
                name: format!("wave-{wave}-{number}"),
                ends_by_action: random.percent(50),
            };
            let body = scenario(random, room.ends_by_action);
            let answer = http.put(room.url()).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            rooms.push(room);
        }
        let mut hands = JoinSet::new();
        let mut made = Vec::with_capacity(bots);
        for number in 0..bots {
            if hands.len() >= HANDS {
                made.extend(hands.join_next().await.map(Result::unwrap));
            }
            let (room, removed) = (number / SEATS, random.percent(8));
            let name = format!("w{wave}-b{number}");
            let link = format!("{}/sandbox/{}", rooms[room].api, rooms[room].name);
            let mut request = json!({"meeting_link": link, "bot_name": name, "callback_url": hook});
            if random.percent(20) {
                request["automatic_leave"] = json!({"in_call_recording_timeout": 1 + random.below(4)});
            }
            let (http, api) = (http.clone(), apis[random.below(apis.len())].clone());
            hands.spawn(async move {
                let (id, created) = create(&http, &api, &name, &request).await;
                Bot { id, name, room, created, removed }
            });
        }
        while let Some(bot) = hands.join_next().await {
            made.push(bot.unwrap());
        }
        Self { rooms, bots: made }
    }

    /// The sandboxes need not keep its meetings.
    pub(super) async fn forget(&self) {
        let http = http_client();
        for room in &self.rooms {
            assert!(http.delete(room.url()).send().await.unwrap().status().is_success());
        }
    }

    /// Acts on what webhooks tell, until it is dropped.
    pub(super) fn attend(&self, apis: &[String], mut news: mpsc::UnboundedReceiver<Value>) -> AbortOnDropHandle<()> {
        let (rooms, apis) = (self.rooms.clone(), apis.to_vec());
        let bots: HashMap<String, Bot> = self.bots.iter().map(|bot| (bot.id.clone(), bot.clone())).collect();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let http = http_client();
            let mut inside: HashMap<usize, BTreeSet<String>> = HashMap::new();
            let mut calls = JoinSet::new();
            while let Some(body) = news.recv().await {
                while calls.try_join_next().is_some() {}
                let Some(bot) = body["bot_id"].as_str().and_then(|id| bots.get(id)) else { continue };
                if body["bot_event"] != "bot.inmeeting" {
                    continue;
                }
                let room = &rooms[bot.room];
                let here = inside.entry(bot.room).or_default();
                let new = here.insert(bot.id.clone());
                if new && room.ends_by_action && here.len() == SEATS / 2 {
                    let (http, url) = (http.clone(), format!("{}/actions", room.url()));
                    // Its scenario may have been faster.
                    calls.spawn(async move { drop(http.post(url).json(&json!({"do": "end"})).send().await) });
                }
                if new && bot.removed {
                    let url = format!("{}/api/v1/bots/{}/remove_bot", apis[bot.room % apis.len()], bot.id);
                    // Or it has left already, or the store is away: every meeting ends.
                    let request = http.post(url).header("Authorization", format!("Token {KEY}"));
                    calls.spawn(async move { drop(request.send().await) });
                }
            }
        }))
    }
}

impl Room {
    pub(super) fn url(&self) -> String {
        format!("{}/sandbox/api/rooms/{}", self.api, self.name)
    }
}

/// As a careful caller does it: again, with the same key, until there is an answer.
async fn create(http: &reqwest::Client, api: &str, name: &str, request: &Value) -> (String, Timestamp) {
    let created = now();
    let mut pauses = tokio::time::interval(Duration::from_millis(200));
    loop {
        pauses.tick().await;
        let request = http
            .post(format!("{api}/api/v1/bots/create_bot"))
            .header("Authorization", format!("Token {KEY}"))
            .header("Idempotency-Key", name)
            .json(request);
        let Ok(answer) = request.send().await else { continue };
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else { continue };
        match body["bot_id"].as_str() {
            // 507: an earlier try had made it, and its answer was lost.
            Some(id) => return (id.to_owned(), created),
            None => assert!(status.is_server_error(), "{status} {body}"),
        }
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap())
}
