//! What workers take, how they end, and that an upgrade of all of them loses nobody.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fleet::Shared;
use crate::harness::{PATIENCE, Receiver, Server, assert_lawful, names};

/// A meeting with somebody in it.
async fn meeting(api: &Server, name: &str, lobby: &str) -> String {
    let people = json!([{"id": "ada", "name": "Ada", "joins_at": 0}]);
    api.room(name, json!({"lobby": {"mode": lobby}, "participants": people})).await
}

async fn bot(api: &Server, hook: &Receiver, link: &str) -> String {
    api.create(json!({"meeting_link": link, "callback_url": hook.url, "custom_attributes": {"case": "e2e"}})).await
}

/// One with these keys of `[worker]`, too.
fn start_worker(shared: &Shared, name: &str, worker: &str) -> Server {
    shared.process_with("worker", name, &format!("lease = \"3s\"\n{worker}"))
}

/// Asks until what a worker says of itself is this.
async fn said(api: &Server, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let answer = api.get("/api/v1/workers").await;
        let workers = answer["workers"].as_array().unwrap().clone();
        if holds(&workers) {
            return workers;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}: {answer:#}");
    }
}

async fn exited(mut worker: Server) -> ExitStatus {
    tokio::task::spawn_blocking(move || worker.wait_exit()).await.unwrap()
}

fn stopped(seen: &[Value]) -> &Value {
    seen.iter().find(|body| body["event"] == "bot.stopped").unwrap()
}

fn attempts(seen: &[Value]) -> usize {
    seen.iter().filter(|body| body["bot_event"] == "bot.joining").count()
}

/// A worker takes what fits, and leaves the rest to others: here one bot of a browser needs every core.
#[tokio::test]
async fn what_does_not_fit_waits_for_another_worker() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let cores = std::thread::available_parallelism().unwrap();
    let full = format!("bot_cpu = {cores}\nbot_memory = \"100MB\"\n");
    let _first = start_worker(&shared, "worker-1", &full);
    let mut bots = Vec::new();
    for room in ["fits", "waits"] {
        let link = meeting(&api, room, "open").await;
        bots.push(bot(&api, &hook, &link).await);
        if bots.len() == 1 {
            hook.event(&bots[0], "bot.inmeeting").await;
        }
    }
    let workers = said(&api, "a full worker", |all| all.len() == 1 && all[0]["room"] == 0).await;
    assert_eq!((&workers[0]["limit"], &workers[0]["running"]), (&json!("cpu"), &json!(1)));
    assert_eq!(workers[0]["bots"][0]["kind"], "sandbox/audio");
    assert!(workers[0]["launch_ms"].as_u64().is_some() && workers[0]["idle_since"].is_null());
    assert!(!names(&hook.of(&bots[1])).contains(&"bot.joining".to_owned()), "it waits");
    let _second = start_worker(&shared, "worker-2", &full);
    hook.event(&bots[1], "bot.inmeeting").await;
    for (room, bot) in ["fits", "waits"].iter().zip(&bots) {
        api.act(room, json!({"do": "end"})).await;
        let seen = hook.done(bot).await;
        assert_lawful(&seen);
        assert_eq!(attempts(&seen), 1, "what waits costs no attempt");
    }
    // Nobody has a bot any more, and everybody has room.
    said(&api, "room again", |all| {
        all.len() == 2 && all.iter().all(|one| one["room"] == 1 && one["idle_since"].is_string())
    })
    .await;
}

/// A bot that takes more memory than a bot may is ended before the machine is in trouble, and what it recorded is kept.
#[tokio::test]
async fn a_bot_over_its_budget_is_ended_and_keeps_its_recording() {
    let dir = tempfile::tempdir().unwrap();
    let (grow, browser) = (dir.path().join("grow"), dir.path().join("browser"));
    let chromium = muster_platform::browser::find_executable(None).unwrap();
    // Beside the browser, in the bot's process group, something that takes 1.2 GB when it is told to, and keeps it.
    let script = format!(
        "#!/bin/bash\n(until [ -e {grow} ]; do sleep 0.1; done; head -c 1200000000 /dev/zero | tail -c 1200000000 | sleep 600) 3>&- 4>&- >/dev/null 2>&1 &\nexec {chromium} \"$@\"\n",
        grow = grow.display(),
        chromium = chromium.display()
    );
    std::fs::write(&browser, script).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("bot_memory_limit = \"1GB\"\n[browser]\nexecutable = \"{}\"\n", browser.display());
    let server = Server::start(&config);
    let hook = Receiver::start().await;
    let people =
        json!([{"id": "ada", "name": "Ada", "joins_at": 0, "speaks": [{"at": 0.2, "tone_hz": 440, "ms": 60000}]}]);
    let link = server.room("greedy", json!({"participants": people})).await;
    let bot = bot(&server, &hook, &link).await;
    hook.event(&bot, "bot.recording").await;
    // Something to keep: more than one segment.
    let segments = server.data.join(format!("media/recordings/default/{bot}"));
    crate::harness::eventually("two segments", || files(&segments) >= 2).await;
    std::fs::write(&grow, "").unwrap();
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let stopped = stopped(&seen);
    assert_eq!(stopped["reason"], "over_budget", "{stopped:#}");
    assert!(stopped["message"].as_str().unwrap().contains("MB of worker.bot_memory_limit"), "{stopped:#}");
    assert_eq!(attempts(&seen), 1, "it would only do it again");
    assert!(server.recording(&bot).await.len() > 48_000, "at least a second");
    assert!(server.bot_processes().is_empty());
}

fn files(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Who was not let in yet when its worker ends goes to another one; who was leaves with the worker's reason.
#[tokio::test]
async fn at_the_second_signal_unstarted_sessions_are_handed_back_and_calls_leave() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let first = start_worker(&shared, "worker-1", "simulated = true\n");
    let (open, lobby) = (meeting(&api, "open", "open").await, meeting(&api, "lobby", "hold").await);
    let (inside, outside) = (bot(&api, &hook, &open).await, bot(&api, &hook, &lobby).await);
    hook.event(&inside, "bot.recording").await;
    hook.event(&outside, "bot.in_waiting_room").await;
    first.terminate();
    said(&api, "a worker that drains", |all| all[0]["status"] == "draining" && all[0]["room"] == 0).await;
    assert_eq!(names(&hook.of(&inside)).last().map(String::as_str), Some("bot.recording"), "its call goes on");
    first.terminate();
    assert!(exited(first).await.success());
    let seen = hook.done(&inside).await;
    assert_lawful(&seen);
    assert_eq!(stopped(&seen)["reason"], "worker_shutdown");
    assert!(api.get("/api/v1/workers").await["workers"].as_array().unwrap().is_empty());
    let _second = start_worker(&shared, "worker-2", "simulated = true\n");
    hook.until(&outside, "second wait in the lobby", |all| {
        all.iter().filter(|body| body["bot_event"] == "bot.in_waiting_room").count() == 2
    })
    .await;
    api.act("lobby", json!({"do": "admit"})).await;
    hook.event(&outside, "bot.inmeeting").await;
    api.act("lobby", json!({"do": "end"})).await;
    let seen = hook.done(&outside).await;
    assert_lawful(&seen);
    assert_eq!((&stopped(&seen)["reason"], attempts(&seen)), (&json!("host_ended"), 2), "it set out twice");
    assert!(seen.iter().all(|body| body["attempt"] == 1), "which counts once: {seen:#?}");
}

/// Upgrades of the only worker before anybody is let in.
const BEFORE_ADMISSION: usize = 4;

/// Invariant: a rolling upgrade loses no bot that is on its way in, and costs it no attempt, however often that happens.
#[tokio::test]
async fn rolling_upgrades_hand_back_who_is_being_launched_or_in_a_lobby() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let config = "simulated = true\nmax_concurrent_bots = 20\nstop_deadline = \"1s\"\n";
    let start = |number: usize| start_worker(&shared, &format!("worker-{number}"), config);
    let (mut worker, mut bots): (Server, Vec<(String, String)>) = (start(0), Vec::new());
    for upgrade in 1..=BEFORE_ADMISSION {
        // Some are in the lobby, for the first time or again, and some are anywhere on the way there.
        for (_, bot) in &bots {
            in_lobby(&api, bot).await;
        }
        for which in ["lobby", "launch-1", "launch-2", "launch-3"] {
            let room = format!("{which}-{upgrade}");
            let bot = bot(&api, &hook, &meeting(&api, &room, "hold").await).await;
            if which == "lobby" {
                in_lobby(&api, &bot).await;
            }
            bots.push((room, bot));
        }
        let old = std::mem::replace(&mut worker, start(upgrade));
        old.terminate();
        assert!(exited(old).await.success());
    }
    let mut most = 0;
    for (room, bot) in bots {
        in_lobby(&api, &bot).await;
        api.act(&room, json!({"do": "admit"})).await;
        hook.event(&bot, "bot.recording").await;
        api.act(&room, json!({"do": "end"})).await;
        let seen = hook.done(&bot).await;
        assert_lawful(&seen);
        assert_eq!(stopped(&seen)["reason"], "host_ended", "{room}: {:#?}", names(&seen));
        let counted = |body: &Value| body["attempt"].as_u64().unwrap();
        assert_eq!(seen.iter().map(counted).max(), Some(1), "{room}: {seen:#?}");
        most = most.max(attempts(&seen));
    }
    println!("a bot set out up to {most} times");
    assert!(most > 3, "more often than a bot has attempts");
}

/// Asks until the bot waits to be let in.
async fn in_lobby(api: &Server, bot: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let answer = api.get(&format!("/api/v1/bots/{bot}/status")).await;
        if answer["status"] == "InWaitingRoom" {
            return;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {bot} in the lobby: {answer}");
    }
}

/// Invariant: a drain never ends a call before its deadline, and ends it then.
#[tokio::test]
async fn a_drain_waits_for_calls_until_its_deadline() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let worker = start_worker(&shared, "worker-1", "simulated = true\ndrain_deadline = \"4s\"\n");
    let link = meeting(&api, "long", "open").await;
    let bot = bot(&api, &hook, &link).await;
    hook.event(&bot, "bot.recording").await;
    let drained = Instant::now();
    worker.terminate();
    hook.until(&bot, "bot.stopped", |all| all.iter().any(|body| body["event"] == "bot.stopped")).await;
    assert!(drained.elapsed() >= Duration::from_secs(4), "ended after {:?}", drained.elapsed());
    assert!(exited(worker).await.success());
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    assert_eq!(stopped(&seen)["reason"], "worker_shutdown");
}

/// No worker is needed for nothing, and fewer are decided on at once, on a machine whose cores others use as well.
const CONTROL: &str = "lease = \"3s\"\n[autoscale]\nmin_workers = 0\nevery = \"500ms\"\ncooldown = \"1s\"\ncpu_in = 99\ncpu_out = 100\nmemory_in = 99\nmemory_out = 100\n";

/// A worker of a job ends by itself: when it had nothing to do and is not wanted, and after it was drained.
#[tokio::test]
async fn a_worker_without_a_bot_ends_if_it_is_to() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    // Nobody has decided how many are wanted.
    assert!(exited(start_worker(&shared, "worker-0", "simulated = true\nexit_when_idle = \"1s\"\n")).await.success());
    let control = shared.process_with("control", "control", CONTROL);
    let _hooks = shared.process("hooks", "hooks");
    // It finds its bot when it starts, so that it is idle after the call only.
    let link = meeting(&api, "short", "open").await;
    let bot = bot(&api, &hook, &link).await;
    let worker = start_worker(&shared, "worker-1", "simulated = true\nexit_when_idle = \"4s\"\n");
    hook.event(&bot, "bot.recording").await;
    api.act("short", json!({"do": "end"})).await;
    assert_lawful(&hook.done(&bot).await);
    assert!(exited(worker).await.success());
    assert!(api.get("/api/v1/workers").await["workers"].as_array().unwrap().is_empty());
    drop(control);
    let worker = start_worker(&shared, "worker-2", "simulated = true\nexit_when_idle = \"1h\"\n");
    let known = said(&api, "another worker", |all| all.len() == 1).await;
    let path = format!("/api/v1/workers/{}/drain", known[0]["worker_id"].as_str().unwrap());
    assert_eq!(api.call("POST", &path, None).await.0, 200);
    assert!(exited(worker).await.success());
}

/// Calls at a time in the upgrade.
const CALLS: usize = 8;
const UPGRADED: usize = 4;

/// Invariant: a rolling upgrade of workers under load loses no call: every one ends as it would have, at its first attempt.
#[tokio::test]
async fn a_rolling_upgrade_under_load_loses_no_call() {
    let Some(shared) = Shared::redis() else { return };
    let hook = Receiver::start().await;
    let api = shared.process("api", "api");
    let _others = (shared.process("control", "control"), shared.process("hooks", "hooks"));
    let config = "simulated = true\nmax_concurrent_bots = 6\n";
    let start = |number: usize| start_worker(&shared, &format!("worker-{number}"), config);
    let mut workers: VecDeque<Server> = (0..2).map(start).collect();
    let (upgraded, done) = watch::channel(false);
    let upgrade = async {
        for number in 0..UPGRADED {
            workers.push_back(start(2 + number));
            let old = workers.pop_front().unwrap();
            old.terminate();
            // It has calls, which end while others begin elsewhere.
            assert!(exited(old).await.success());
        }
        upgraded.send_replace(true);
    };
    let load = async {
        let mut running: VecDeque<(String, String)> = VecDeque::new();
        let mut ended = Vec::new();
        let mut number = 0;
        while !*done.borrow() || number < 3 * CALLS {
            let room = format!("upgrade-{number}");
            let bot = bot(&api, &hook, &meeting(&api, &room, "open").await).await;
            hook.event(&bot, "bot.recording").await;
            running.push_back((room, bot));
            if running.len() >= CALLS
                && let Some((room, bot)) = running.pop_front()
            {
                api.act(&room, json!({"do": "end"})).await;
                ended.push(bot);
            }
            number += 1;
        }
        for (room, bot) in running {
            api.act(&room, json!({"do": "end"})).await;
            ended.push(bot);
        }
        ended
    };
    let ((), ended) = tokio::join!(upgrade, load);
    println!("{} calls over {UPGRADED} upgrades", ended.len());
    for bot in ended {
        let seen = hook.done(&bot).await;
        assert_lawful(&seen);
        assert_eq!((&stopped(&seen)["reason"], attempts(&seen)), (&json!("host_ended"), 1), "{:#?}", names(&seen));
    }
}
