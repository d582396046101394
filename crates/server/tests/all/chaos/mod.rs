//! A fleet over Redis under a burst of simulated bots, while its processes are killed and frozen.
//!
//! Every process is the real program. What happens when is decided by a seed, and driven by how many bots are done.
//! `make chaos` runs the long form. `MUSTER_CHAOS_SEED`, `MUSTER_CHAOS_BOTS`, `MUSTER_CHAOS_SLOTS` and
//! `MUSTER_CHAOS_MINUTES` change what is tried.

mod crowd;
mod fleet;
mod inbox;
mod judge;
mod random;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crowd::Crowd;
use fleet::{Fleet, Incident};
use inbox::Inbox;
use judge::Verdict;
use random::Random;
use serde_json::json;

/// Nothing becomes done for so long: something is stuck.
const STUCK: Duration = Duration::from_secs(120);
/// Between lines that tell how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Of the short form.
const BOTS: u64 = 500;
/// Bots that a worker has at a time.
const SLOTS: u64 = 24;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = setting("MUSTER_CHAOS_SEED", u64::from(since.subsec_nanos()));
    println!("to run this again: MUSTER_CHAOS_SEED={seed}");
    seed
}

fn size(name: &str, default: u64) -> usize {
    usize::try_from(setting(name, default)).unwrap()
}

/// One burst, with these incidents spread over it.
struct Wave<'a> {
    number: usize,
    bots: usize,
    incidents: &'a [Incident],
    /// After each such part of the bots is done, the next incident.
    parts: usize,
    began: Instant,
}

impl Wave<'_> {
    /// Answers what came of the bots, and which incidents there were.
    async fn run(&self, fleet: &mut Fleet, random: &mut Random) -> (Verdict, Vec<Incident>) {
        let mut suffered = Vec::new();
        let (mut inbox, news) = Inbox::open().await;
        let apis: Vec<String> = fleet.apis.iter().map(|api| api.server.url.clone()).collect();
        let crowd = Crowd::burst(&apis, self.number, self.bots, &inbox.url, random).await;
        println!("wave {}, {}: all created", self.number, self.progress(&inbox));
        let _attending = crowd.attend(&apis, news);
        for (number, incident) in self.incidents.iter().enumerate() {
            let done = self.bots * (number + 1) / self.parts;
            self.until_done(&mut inbox, &crowd, done).await;
            let Some(came_of_it) = fleet.suffer(*incident, random).await else { continue };
            suffered.push(*incident);
            println!("wave {}, {}: {came_of_it}", self.number, self.progress(&inbox));
        }
        self.until_done(&mut inbox, &crowd, self.bots).await;
        let verdict = judge::judge(&crowd, &inbox).await;
        let status = fleet.apis[0].server.get(&format!("/api/v1/bots/{}/status", crowd.bots[0].id)).await;
        assert_eq!((&status["status"], &status["simulated"]), (&json!("Done"), &json!(true)));
        println!("wave {}, {}: {verdict}", self.number, self.progress(&inbox));
        crowd.forget().await;
        (verdict, suffered)
    }

    fn progress(&self, inbox: &Inbox) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        format!("{seconds:.1} s: {} of {} bots done", *inbox.done.borrow(), self.bots)
    }

    /// Waits until so many bots are done.
    async fn until_done(&self, inbox: &mut Inbox, crowd: &Crowd, wanted: usize) {
        let (mut moved, mut told) = (Instant::now(), Instant::now());
        loop {
            let done = *inbox.done.borrow_and_update();
            if done >= wanted {
                return;
            }
            if let Ok(changed) = tokio::time::timeout(PROGRESS, inbox.done.changed()).await {
                changed.unwrap();
                moved = Instant::now();
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                println!("wave {}, {}", self.number, self.progress(inbox));
            }
            if moved.elapsed() > STUCK {
                self.complain(inbox, crowd).await;
            }
        }
    }

    async fn complain(&self, inbox: &Inbox, crowd: &Crowd) -> ! {
        let stuck: Vec<_> = crowd.bots.iter().filter(|bot| !inbox.is_done(&bot.id)).collect();
        for bot in stuck.iter().take(5) {
            println!("{} ({}): webhooks {:?}", bot.name, bot.id, crate::harness::names(&inbox.of(&bot.id)));
        }
        panic!("{} bots are not done, and nothing happened for {STUCK:?}", stuck.len());
    }
}

/// Invariant: whatever is killed or stands still, no bot is lost, none ends twice, and none is twice in its call.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn short() {
    let began = Instant::now();
    let mut random = Random::new(seed());
    let slots = u32::try_from(setting("MUSTER_CHAOS_SLOTS", SLOTS)).unwrap();
    let Some(mut fleet) = Fleet::start(slots).await else { return };
    // Workers first: at the end of a short burst they have no bots left to lose.
    let mut incidents =
        [Incident::WorkerKilled, Incident::WorkerFrozen, Incident::ControlKilled, Incident::RedisRestarted];
    random.shuffle(&mut incidents[..2]);
    random.shuffle(&mut incidents[2..]);
    fleet.assert_called_simulated().await;
    println!("the fleet runs after {:.1} s", began.elapsed().as_secs_f64());
    let (bots, began_wave) = (size("MUSTER_CHAOS_BOTS", BOTS), Instant::now());
    // Early, as webhooks lag behind: most bots are still to come.
    let wave = Wave { number: 1, bots, incidents: &incidents, parts: 16, began: began_wave };
    let (_, suffered) = wave.run(&mut fleet, &mut random).await;
    println!("{}; {:.1} s", counted(&suffered), began.elapsed().as_secs_f64());
    drop(fleet);
    println!("the fleet is gone after {:.1} s", began.elapsed().as_secs_f64());
    assert!(suffered.contains(&Incident::WorkerFrozen), "too few bots: workers had none left to lose");
}

/// The same for minutes, with a thousand bots in every wave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes more than ten minutes: make chaos"]
async fn long() {
    let began = Instant::now();
    let minutes = Duration::from_secs(60 * setting("MUSTER_CHAOS_MINUTES", 10));
    let mut random = Random::new(seed());
    let slots = u32::try_from(setting("MUSTER_CHAOS_SLOTS", SLOTS)).unwrap();
    let mut fleet = Fleet::start(slots).await.expect("a Redis: tools/chaos.sh starts one");
    let (mut all, mut suffered, mut waves) = (Verdict::default(), Vec::new(), 0);
    while waves == 0 || began.elapsed() < minutes {
        let mut incidents = [
            Incident::WorkerKilled,
            Incident::WorkerKilled,
            Incident::WorkerKilled,
            Incident::WorkerFrozen,
            Incident::WorkerFrozen,
            Incident::ControlKilled,
            Incident::ControlKilled,
            Incident::HooksKilled,
            Incident::RedisRestarted,
            Incident::RedisRestarted,
        ];
        random.shuffle(&mut incidents);
        waves += 1;
        let (bots, began) = (size("MUSTER_CHAOS_BOTS", 1_000), Instant::now());
        let wave = Wave { number: waves, bots, incidents: &incidents, parts: 13, began };
        let (verdict, incidents) = wave.run(&mut fleet, &mut random).await;
        all.add(verdict);
        suffered.extend(incidents);
    }
    println!("{waves} waves in {:.0} s: {all}", began.elapsed().as_secs_f64());
    println!("{}", counted(&suffered));
}

/// How often each incident was suffered.
fn counted(suffered: &[Incident]) -> String {
    let count = |incident| suffered.iter().filter(|one| **one == incident).count();
    format!(
        "{} workers killed, {} frozen, {} takeovers of control, {} hooks killed, {} restarts of redis; \
         no bot lost, none ended twice, none twice in its call",
        count(Incident::WorkerKilled),
        count(Incident::WorkerFrozen),
        count(Incident::ControlKilled),
        count(Incident::HooksKilled),
        count(Incident::RedisRestarted)
    )
}
