//! A real `muster serve` as a child process, a webhook receiver, and a client: what end-to-end tests stand on.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) const KEY: &str = "test-key-0123456789";
/// What the server signs its webhooks with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Generous: the machine may be busy. Tests wait for events, not for time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A running server; dropped, it is killed with everything below it.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) data: PathBuf,
    dir: Option<TempDir>,
    pub(crate) http: reqwest::Client,
}

/// The program. What the tests are told by environment is not for it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    command
}

pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Server {
    pub(crate) fn start(extra_config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut server = Self::start_in(&data, extra_config);
        server.dir = Some(dir);
        server
    }

    /// With everything that it and its bots log, however small, in a file; answers the file too.
    pub(crate) fn start_logging(extra_config: &str) -> (Self, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (data, log) = (dir.path().join("data"), dir.path().join("log"));
        let stderr = std::fs::File::create(&log).unwrap();
        let mut server = Self::start_with("all", &data, extra_config, Stdio::from(stderr), "trace");
        server.dir = Some(dir);
        (server, log)
    }

    /// On a data directory that may have been used before.
    pub(crate) fn start_in(data: &Path, extra_config: &str) -> Self {
        Self::start_role("all", data, extra_config)
    }

    /// A process with a part of the work.
    pub(crate) fn start_role(role: &str, data: &Path, extra_config: &str) -> Self {
        let level = std::env::var("MUSTER_LOG").unwrap_or_else(|_| "info".into());
        Self::start_with(role, data, extra_config, Stdio::inherit(), &level)
    }

    /// As [`start_role`](Self::start_role), with its log in a file.
    pub(crate) fn start_role_logging(role: &str, data: &Path, extra_config: &str, log: &Path) -> Self {
        let stderr = std::fs::File::create(log).unwrap();
        Self::start_with(role, data, extra_config, Stdio::from(stderr), "info")
    }

    fn start_with(role: &str, data: &Path, extra_config: &str, stderr: Stdio, level: &str) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let config = data.with_extension("toml");
        // Few cores run many tests at a time. What a bot needs beyond this is measured.
        let small = match extra_config.contains("bot_cpu") {
            true => "",
            false => "bot_cpu = 0.1\nbot_memory = \"100MB\"\n",
        };
        std::fs::write(
            &config,
            format!("[hooks]\nsigning_secret = \"{SECRET}\"\nallow_private = [\"127.0.0.0/8\", \"::1/128\"]\n[worker]\nheartbeat = \"500ms\"\nsegment = \"1s\"\nstop_grace = \"10s\"\n{small}{extra_config}"),
        )
        .unwrap();
        let mut child = command()
            .args(["serve", role, "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--config")
            .arg(&config)
            .env("MUSTER_API_KEY", KEY)
            .env("MUSTER_LOG", level)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the server ended before it listened").unwrap();
            if let Some(url) = line.strip_prefix("Muster is listening on ") {
                break url.trim_end_matches('/').to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url, data: data.to_owned(), dir: None, http: http_client() }
    }

    /// SIGKILL to the server alone, as an out-of-memory kill would do it.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The first of these drains, the second makes running bots leave.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait_exit(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Another hand on the same server, for tasks; dropping it ends nothing.
    pub(crate) fn alike(&self) -> Alike {
        Alike { url: self.url.clone(), http: self.http.clone() }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).header("Authorization", format!("Token {KEY}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn create(&self, body: Value) -> String {
        let (status, answer) = self.call("POST", "/api/v1/bots/create_bot", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        answer["bot_id"].as_str().unwrap().to_owned()
    }

    /// Makes a sandbox room and answers its link.
    pub(crate) async fn room(&self, name: &str, scenario: Value) -> String {
        let (status, answer) = self.call("PUT", &format!("/sandbox/api/rooms/{name}"), Some(scenario)).await;
        assert!(status == 200 || status == 201, "scenario for {name}: {status} {answer}");
        format!("{}/sandbox/{name}", self.url)
    }

    pub(crate) async fn act(&self, room: &str, action: Value) {
        let (status, answer) = self.call("POST", &format!("/sandbox/api/rooms/{room}/actions"), Some(action)).await;
        assert!(status < 300, "{status} {answer}");
    }

    /// What happened in a sandbox room so far.
    pub(crate) async fn room_log(&self, room: &str) -> Vec<Value> {
        let answer = self.get(&format!("/sandbox/api/rooms/{room}/log?after=0")).await;
        answer["entries"].as_array().unwrap().clone()
    }

    /// Waits until the room's log has an entry like this, and answers it.
    pub(crate) async fn logged(&self, room: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut after = 0;
        loop {
            let answer = self.get(&format!("/sandbox/api/rooms/{room}/log?after={after}&wait=5")).await;
            for entry in answer["entries"].as_array().unwrap() {
                if wanted(entry) {
                    return entry.clone();
                }
                after = entry["seq"].as_u64().unwrap();
            }
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what} in room {room}");
        }
    }

    /// The recording of a bot, decoded: 48 kHz mono.
    pub(crate) async fn recording(&self, bot: &str) -> Vec<i16> {
        let answer = self.get(&format!("/api/v1/bots/{bot}/get_audio")).await;
        let url = answer["audio_url"].as_str().unwrap();
        let bytes = self.http.get(url).send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        muster_audio::ogg::decode(&bytes).unwrap()
    }

    pub(crate) fn manifest(&self, bot: &str) -> Value {
        let path = self.data.join(format!("media/recordings/default/{bot}/manifest.json"));
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    /// Processes of this server's bots: `run-bot` children and their browsers.
    pub(crate) fn bot_processes(&self) -> Vec<u32> {
        descendants(self.child.id())
    }
}

/// Where a server is, and a client for it.
#[derive(Clone)]
pub(crate) struct Alike {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        let below = descendants(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in below {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Every process below `root`, by parent links.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some(rest) = stat.rsplit_once(") ").map(|(_, rest)| rest) else { continue };
        let mut fields = rest.split(' ');
        if fields.next() == Some("Z") {
            continue;
        }
        if let Some(parent) = fields.next().and_then(|p| p.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(&below);
        next.extend(below);
    }
    found
}

/// Receives webhooks and lets tests wait for them.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Value>>>,
    changed: watch::Receiver<usize>,
}

#[derive(Clone)]
struct Inbox {
    seen: Arc<Mutex<Vec<Value>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (sender, changed) = watch::channel(0);
        let inbox = Inbox { seen: Arc::clone(&seen), changed: Arc::new(sender) };
        let app = Router::new().route("/hook", post(take)).with_state(inbox);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen, changed }
    }

    /// The webhooks of a bot so far, in order of arrival.
    pub(crate) fn of(&self, bot: &str) -> Vec<Value> {
        let about = |body: &&Value| body["bot_id"] == bot || body["data"]["bot"]["id"] == bot;
        self.seen.lock().unwrap().iter().filter(about).cloned().collect()
    }

    /// Waits until `wanted` holds for the webhooks of a bot.
    pub(crate) async fn until(&self, bot: &str, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let seen = self.of(bot);
            if wanted(&seen) {
                return seen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                panic!("no {what} within {PATIENCE:?}; webhooks so far: {:#?}", names(&seen));
            }
        }
    }

    /// Waits for an event by its specific name.
    pub(crate) async fn event(&self, bot: &str, name: &str) -> Value {
        let seen = self.until(bot, name, |all| all.iter().any(|b| b["bot_event"] == name)).await;
        seen.into_iter().find(|b| b["bot_event"] == name).unwrap()
    }

    /// Waits for `bot.done` and answers everything of the bot.
    pub(crate) async fn done(&self, bot: &str) -> Vec<Value> {
        self.until(bot, "bot.done", |all| all.iter().any(|b| b["bot_event"] == "bot.done")).await
    }
}

async fn take(State(inbox): State<Inbox>, axum::Json(body): axum::Json<Value>) {
    let count = {
        let mut seen = inbox.seen.lock().unwrap();
        seen.push(body);
        seen.len()
    };
    inbox.changed.send_replace(count);
}

/// The specific names of webhooks, in order.
pub(crate) fn names(bodies: &[Value]) -> Vec<String> {
    bodies.iter().map(|b| b["bot_event"].as_str().unwrap_or("?").to_owned()).collect()
}

/// Without the repetitions that a kill between a delivery and its record causes: receivers tell them by their id, and they
/// are the same to the byte.
pub(crate) fn first_deliveries(bodies: Vec<Value>) -> Vec<Value> {
    let mut first: Vec<Value> = Vec::new();
    for body in bodies {
        match first.iter().find(|known| known["event_id"] == body["event_id"]) {
            Some(known) => assert_eq!(known, &body, "a repetition differs"),
            None => first.push(body),
        }
    }
    first
}

/// Asserts what holds for every bot: gap-free sequence, times that never go backwards, one terminal, `bot.done` last.
pub(crate) fn assert_lawful(bodies: &[Value]) {
    let sequences: Vec<u64> = bodies.iter().map(|b| b["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "{:?}", names(bodies));
    let times: Vec<&str> = bodies.iter().map(|b| b["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(bodies.iter().filter(|b| b["event"] == "bot.stopped").count(), 1, "{:?}", names(bodies));
    assert_eq!(bodies.last().unwrap()["bot_event"], "bot.done");
    assert_eq!(bodies.iter().filter(|b| b["bot_event"] == "bot.done").count(), 1);
    for body in bodies {
        assert_eq!(body["custom_attributes"], json!({"case": "e2e"}), "{body}");
    }
}

/// Looks again and again, politely, until it holds; for what announces itself in no other way.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        ticks.tick().await;
    }
}

/// Asks again and again until the server answers with this status.
pub(crate) async fn until_answer(server: &Server, path: &str, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while server.call("GET", path, None).await.0 != status {
        assert!(Instant::now() < deadline, "{path} did not answer {status} within {PATIENCE:?}");
        ticks.tick().await;
    }
}
