//! What has to hold of every bot, by its webhooks and by what the meetings themselves saw.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use muster_session::Timestamp;
use serde_json::Value;

use super::crowd::{Bot, Crowd};
use super::inbox::Inbox;
use crate::harness::{http_client, names};

/// The clocks of rooms and sessions are read at different moments.
const BLUR: Duration = Duration::from_millis(500);

/// What came of a wave.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) bots: usize,
    pub(super) attempts: u64,
    /// Entered a call, counted once for each time.
    pub(super) joins: usize,
    reasons: BTreeMap<String, usize>,
    /// From the create request to the first time in the call.
    waits: Vec<Duration>,
}

impl Verdict {
    pub(super) fn add(&mut self, other: Self) {
        self.bots += other.bots;
        self.attempts += other.attempts;
        self.joins += other.joins;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.waits.extend(other.waits);
    }

    fn wait(&self, percent: usize) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bots, {} attempts, {} joins, create to joined p50 {:.1} s, p99 {:.1} s; ends {:?}",
            self.bots,
            self.attempts,
            self.joins,
            self.wait(50),
            self.wait(99),
            self.reasons
        )
    }
}

/// Somebody's stays in one room: from the door to the way out, in the order of the room's log.
#[derive(Debug, Default)]
struct Stays {
    /// Guests of this name that are here.
    here: Vec<String>,
    joins: usize,
    /// When the last one left.
    left: Option<u64>,
}

/// Panics with the first law that was broken.
pub(super) async fn judge(crowd: &Crowd, inbox: &Inbox) -> Verdict {
    let stays = all_stays(crowd).await;
    let mut verdict = Verdict::default();
    let none = Stays::default();
    for bot in &crowd.bots {
        let told = inbox.of(&bot.id);
        assert_lawful(bot, &told);
        let stay = stays.get(&bot.name).unwrap_or(&none);
        let last = told.last().unwrap();
        let stopped = told.iter().find(|body| body["event"] == "bot.stopped").unwrap();
        assert!(stay.here.is_empty(), "{} is still in its call", bot.name);
        if let Some(left) = stay.left {
            let left = Timestamp::from_millis(i64::try_from(left).unwrap());
            assert!(
                left.since(time(stopped)) <= BLUR,
                "{} was in its call until {left}, and ended at {stopped}",
                bot.name
            );
        }
        verdict.bots += 1;
        verdict.attempts += last["attempt"].as_u64().unwrap();
        verdict.joins += stay.joins;
        *verdict.reasons.entry(stopped["reason"].as_str().unwrap().to_owned()).or_default() += 1;
        let joined = told.iter().find(|body| body["bot_event"] == "bot.inmeeting");
        assert!(joined.is_none() || stay.joins > 0, "{} was let in, and its room knows nothing of it", bot.name);
        verdict.waits.extend(joined.map(|body| time(body).since(bot.created)));
    }
    verdict
}

/// Every event once and in order, one end, `bot.done` last, and simulated bots called so.
fn assert_lawful(bot: &Bot, told: &[Value]) {
    let seen = names(told);
    let count = |key: &str, name: &str| told.iter().filter(|body| body[key] == name).count();
    assert!(told.iter().zip(1..).all(|(body, number)| body["sequence"] == number), "{}: {told:#?}", bot.name);
    assert_eq!(count("event", "bot.stopped"), 1, "{}: {seen:?}", bot.name);
    assert_eq!(count("event", "bot.done"), 1, "{}: {seen:?}", bot.name);
    assert_eq!(told.last().unwrap()["event"], "bot.done", "{}: {seen:?}", bot.name);
    assert!(told.is_sorted_by_key(time), "{}: {told:#?}", bot.name);
    let began = told.iter().position(|body| body["event"] == "bot.joining").unwrap_or(told.len());
    assert!(told[began..].iter().all(|body| body["simulated"] == true), "{}: {told:#?}", bot.name);
}

fn time(body: &Value) -> Timestamp {
    Timestamp::parse(body["timestamp"].as_str().unwrap()).unwrap()
}

/// By the name in the room. Panics if one session was there twice at once.
async fn all_stays(crowd: &Crowd) -> HashMap<String, Stays> {
    let http = http_client();
    let mut stays: HashMap<String, Stays> = HashMap::new();
    for room in &crowd.rooms {
        let answer = http.get(format!("{}/log?after=0", room.url())).send().await.unwrap();
        let log: Value = answer.json().await.unwrap();
        for entry in log["entries"].as_array().unwrap() {
            follow(&mut stays, &room.name, entry);
        }
    }
    stays
}

fn follow(stays: &mut HashMap<String, Stays>, room: &str, entry: &Value) {
    let at = entry["at_ms"].as_u64();
    let event = entry["event"].as_str().unwrap();
    if event == "room_ended" {
        // Names are of one room each.
        for stay in
            stays.values_mut().filter(|stay| !stay.here.is_empty() && stay.here[0].starts_with(&format!("{room}/")))
        {
            stay.here.clear();
            stay.left = at;
        }
        return;
    }
    let Some(name) = entry["name"].as_str().and_then(|name| name.strip_suffix(" (simulated)")) else { return };
    let guest = format!("{room}/{}", entry["id"].as_str().unwrap());
    let stay = stays.entry(name.to_owned()).or_default();
    match event {
        "guest_in_lobby" | "guest_admitted" => {
            if !stay.here.contains(&guest) {
                stay.here.push(guest);
            }
            assert_eq!(stay.here.len(), 1, "{name} is there twice at once: {:?}", stay.here);
            stay.joins += usize::from(event == "guest_admitted");
        }
        // Its connection is gone, and with it the bot; the room only keeps its place.
        "guest_left" | "guest_denied" | "guest_removed" | "guest_away" => {
            stay.here.retain(|here| *here != guest);
            stay.left = at;
        }
        _ => {}
    }
}
