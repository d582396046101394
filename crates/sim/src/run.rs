//! One simulation from its beginning to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_queue::Queue as _;
use muster_server::roles::admit::{self, NotAdmitted};
use muster_server::roles::line::View;
use muster_server::roles::{ApplyError, Role};
use muster_session::event::event_id;
use muster_session::job::Topic;
use muster_session::leave::LeavePolicy;
use muster_session::{BotId, EndReason, Input, MediaPlan, Meeting, NewSession, State, TranscriptId};
use muster_store::{CreateGuard, Created, SessionStore as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::node::{FLEET, Node};
use crate::plot::{CALM, Happening};
use crate::world::{Life, World};
use crate::{Plant, panics, plot};

/// Longest course of events. What is not at its end by then never comes to it.
const HORIZON: Duration = Duration::from_secs(45 * 60);
/// How often it is looked whether all is at its end.
const LOOK: Duration = Duration::from_secs(2);
/// A customer waits this long for the answer to a create before trying again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a simulation ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The invariant that did not hold, if one did not.
    pub violation: Option<String>,
    /// Of everything that happened, in order.
    pub hash: u64,
    /// Lines of the journal.
    pub lines: u64,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// How often something happened, by what it was.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs one seed, with a bug put in if one is wanted; prints the journal if asked to.
///
/// A panic of the product is a violation, though its supervisor would start the part again.
///
/// # Panics
///
/// If the simulation itself is wrong.
#[must_use]
pub fn run(seed: u64, plant: Option<Plant>, print: bool) -> Ending {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O takes nothing that could be missing");
    runtime.block_on(course(seed, plant, print))
}

async fn course(seed: u64, plant: Option<Plant>, print: bool) -> Ending {
    let (world, deaths) = World::new(seed, FLEET.len(), plant, print);
    let _watching = panics::watch(&world);
    let mut fleet = Fleet::start(&world);
    let customers: JoinSet<()> =
        (0..world.plot.meetings.len()).map(|index| customer(Arc::clone(&world), index)).collect();
    tokio::select! {
        biased;
        () = world.broken() => {}
        () = fleet.live(deaths) => {}
        () = all_at_its_end(&world, customers) => {}
        () = world.until(HORIZON) => world.violate(|| unfinished(&world)),
    }
    let (violation, hash, lines) = world.verdict();
    let counts = world.state().counts.clone();
    Ending { violation, hash, lines, took: world.elapsed(), counts }
}

/// The processes, and who starts them again.
struct Fleet {
    world: Arc<World>,
    nodes: BTreeMap<usize, Node>,
    /// Those that are draining.
    leaving: Vec<Node>,
    lives: u64,
}

impl Fleet {
    fn start(world: &Arc<World>) -> Self {
        let mut fleet = Self { world: Arc::clone(world), nodes: BTreeMap::new(), leaving: Vec::new(), lives: 0 };
        for node in 0..FLEET.len() {
            fleet.begin(node);
        }
        fleet
    }

    fn begin(&mut self, node: usize) {
        self.lives += 1;
        let life = Life { node, number: self.lives };
        self.nodes.insert(node, Node::start(&self.world, life));
    }

    /// Carries out what the plot has in store, and buries and replaces who dies. Never returns.
    async fn live(&mut self, mut deaths: mpsc::UnboundedReceiver<Life>) {
        let mut plot = self.world.plot.happenings.clone().into_iter();
        let mut next = plot.next();
        let mut returns: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
        loop {
            let due = next.map(|(at, _)| at);
            let back = returns.keys().next().copied();
            tokio::select! {
                biased;
                Some(life) = deaths.recv() => {
                    self.world.tell(|| format!("process {life} dies"));
                    if self.end(life) {
                        let at = self.world.elapsed() + self.world.up_to(Duration::from_secs(10));
                        returns.entry(at).or_default().push(life.node);
                    }
                }
                () = at(&self.world, back) => for node in returns.pop_first().into_iter().flat_map(|(_, nodes)| nodes) {
                    if !self.nodes.contains_key(&node) {
                        self.begin(node);
                    }
                },
                () = at(&self.world, due) => {
                    if let Some((now, what)) = next
                        && let Some((node, back_in)) = self.happen(what)
                    {
                        returns.entry(now + back_in).or_default().push(node);
                    }
                    next = plot.next();
                }
            }
        }
    }

    /// Ends a life; true if its place is free now.
    fn end(&mut self, life: Life) -> bool {
        if let Some(node) = self.leaving.iter().find(|node| node.life == life) {
            node.kill();
            return false;
        }
        match self.nodes.get(&life.node) {
            Some(node) if node.life == life => {
                node.kill();
                self.nodes.remove(&life.node);
                self.world.state().alive.remove(&life.node);
                true
            }
            _ => false,
        }
    }

    /// Does what the plot says; answers who is to be started again, and when.
    fn happen(&mut self, what: Happening) -> Option<(usize, Duration)> {
        self.world.tell(|| format!("{what:?}"));
        let now = self.world.elapsed();
        match what {
            Happening::Kill { node, back_in } => {
                self.world.count("kills");
                let life = self.nodes.get(&node)?.life;
                return self.end(life).then_some((node, back_in));
            }
            Happening::Freeze { node, time } => {
                self.world.count("freezes");
                self.world.state().frozen.insert(node, now + time);
            }
            Happening::CutOff { node, time } => {
                self.world.count("cut-offs");
                self.world.state().cut_off.insert(node, now + time);
            }
            Happening::Outage { time } => {
                self.world.count("outages");
                self.world.state().outage = now + time;
            }
            Happening::Drain { node } => {
                self.world.count("drains");
                let old = self.nodes.remove(&node)?;
                old.terminate();
                self.leaving.push(old);
                self.begin(node);
            }
        }
        None
    }
}

async fn at(world: &World, time: Option<Duration>) {
    match time {
        Some(time) => world.until(time).await,
        None => std::future::pending().await,
    }
}

/// A customer: asks for a bot until that is acknowledged, and perhaps asks it to leave.
async fn customer(world: Arc<World>, index: usize) {
    let meeting = world.plot.meetings[index].clone();
    world.until(meeting.created).await;
    let bot = loop {
        if let Some(view) = an_api(&world)
            && let Ok(Ok(bot)) = tokio::time::timeout(PATIENCE, create(&world, &view, index, &meeting)).await
        {
            break bot;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    world.tell(|| format!("bot {bot} is acknowledged for meeting {index}: {meeting:?}"));
    world.state().acknowledged.insert(index, bot);
    let Some(pause) = meeting.stop_after else { return };
    world.until(meeting.created + pause).await;
    loop {
        if let Some(view) = an_api(&world) {
            let asked = tokio::time::timeout(PATIENCE, view.backend().apply(bot, Input::Stop)).await;
            if matches!(asked, Ok(Ok(_) | Err(ApplyError::Rejected(_)))) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.tell(|| format!("bot {bot} was asked to leave"));
}

fn an_api(world: &World) -> Option<View> {
    let alive: Vec<View> = {
        let state = world.state();
        state.alive.iter().filter(|(node, _)| FLEET[**node] == Role::Api).map(|(_, view)| view.clone()).collect()
    };
    if alive.is_empty() { None } else { Some(alive[world.dice(|rng| rng.usize(0..alive.len()))].clone()) }
}

/// What the API does with a create that is valid.
async fn create(world: &World, view: &View, index: usize, meeting: &plot::Meeting) -> Result<BotId, NotAdmitted> {
    let new = new_session(world, index, meeting, view.backend().clock.now());
    let guard = CreateGuard { idempotency_key: Some(format!("meeting-{index}")) };
    match admit::create(view, new, guard).await? {
        Created::New(session) => {
            if session.held {
                world.count("in line");
            }
            Ok(session.id)
        }
        Created::Replayed(session) | Created::Duplicate(session) | Created::Conflict(session) => Ok(session.id),
    }
}

fn new_session(world: &World, index: usize, meeting: &plot::Meeting, now: muster_session::Timestamp) -> NewSession {
    let link = format!("http://127.0.0.1/sandbox/{index}");
    let join_url = link.parse().expect("a URL");
    NewSession {
        id: BotId::from_uuid(world.id()),
        tenant: World::tenant(meeting.customer),
        request: json!({"meeting_link": link}),
        meeting: Meeting {
            link,
            platform: "sandbox".to_owned(),
            label: "Sandbox".to_owned(),
            join_url,
            key: format!("sandbox:{index}"),
        },
        bot_name: "Notes".to_owned(),
        callback_url: Some("https://customer.example/hook".parse().expect("a URL")),
        custom_attributes: serde_json::Map::new(),
        leave: LeavePolicy::default(),
        media: MediaPlan::default(),
        deduplication_key: None,
        rejoin: true,
        remote: None,
        overflow: None,
        join_at: meeting.join_in.map(|pause| now + pause),
        transcript_id: TranscriptId::from_uuid(world.id()),
        retention: Duration::from_secs(7 * 86_400),
    }
}

/// Returns when everything is at its end, and checks that it is the right one.
async fn all_at_its_end(world: &Arc<World>, mut customers: JoinSet<()>) {
    while let Some(customer) = customers.join_next().await {
        customer.expect("a customer does not panic");
    }
    loop {
        tokio::time::sleep(LOOK).await;
        if world.elapsed() >= CALM && is_at_its_end(world).await {
            break;
        }
    }
    check_endings(world).await;
}

async fn is_at_its_end(world: &World) -> bool {
    let bots: Vec<BotId> = world.state().sessions.keys().copied().collect();
    for bot in bots {
        let state = world.state().sessions.get(&bot).map(|seen| seen.session.state);
        let pending = world.store.pending_deliveries(bot, 1).await;
        if state != Some(State::Done) || !pending.is_ok_and(|pending| pending.is_empty()) {
            return false;
        }
    }
    world.state().present.is_empty()
}

/// Invariants of the end: nothing lost, everything told, nothing set aside.
async fn check_endings(world: &World) {
    let acknowledged = world.state().acknowledged.clone();
    assert_eq!(acknowledged.len(), world.plot.meetings.len(), "customers insist");
    for (index, bot) in &acknowledged {
        let state = world.state();
        let (Some(seen), received) = (state.sessions.get(bot), state.received.get(bot)) else {
            drop(state);
            return world.violate(|| format!("bot {bot} of meeting {index} was acknowledged and is lost"));
        };
        let (session, told) = (seen.session.clone(), received.map(|r| r.events.clone()).unwrap_or_default());
        drop(state);
        if !told.keys().copied().eq(1..=session.sequence) {
            let got: Vec<_> = told.keys().collect();
            return world
                .violate(|| format!("session {bot}: {} events were made, received: {got:?}", session.sequence));
        }
        let first = told.values().next().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        if !first.contains(&event_id(*bot, 1)) {
            return world.violate(|| format!("session {bot}: the first event has another id: {first}"));
        }
        let reason = session.end.as_ref().map(|end| end.reason);
        if matches!(reason, None | Some(EndReason::NoCapacity | EndReason::Internal)) {
            return world.violate(|| format!("session {bot} ended by {reason:?}: {:?}", session.end));
        }
        world.count("bots");
        if session.lost.is_some() {
            world.count("rejoins");
        }
        if session.attempt > 1 {
            world.count("retried");
        }
    }
    let loads = world.store.loads().await.unwrap_or_default();
    if !loads.is_empty() {
        return world.violate(|| format!("everybody is gone, and places are taken: {loads:?}"));
    }
    for topic in Topic::ALL {
        let dead = world.queue.dead(topic, 10).await.unwrap_or_default();
        if let Some((_, payload, reason)) = dead.first() {
            let job = String::from_utf8_lossy(payload).into_owned();
            return world.violate(|| format!("{} was set aside: {job}: {reason}", topic.as_str()));
        }
    }
}

fn unfinished(world: &World) -> String {
    let state = world.state();
    let open: Vec<String> = state
        .sessions
        .iter()
        .filter(|(_, seen)| seen.session.state != State::Done)
        .map(|(bot, seen)| format!("{bot} is {} since {}", seen.session.state.as_str(), seen.session.since))
        .collect();
    format!("not everything came to its end; open sessions: {open:?}, present: {:?}", state.present.keys())
}
