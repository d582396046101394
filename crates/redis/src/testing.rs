//! For the tests of the backends: a server from the environment, keys that are gone with the test, and a server of a test's
//! own that can be killed.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection, cmd};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Settings;

/// Names the server that tests may use.
pub const URL_VARIABLE: &str = "MUSTER_TEST_REDIS_URL";
/// With it, a missing server is a failure and not a skipped test.
const REQUIRED_VARIABLE: &str = "MUSTER_REQUIRE_SERVERS";
/// How many ports are tried.
const TRIES: u32 = 5;
/// A server that has not answered by then will not.
const START: Duration = Duration::from_secs(30);

/// A prefix of a test's own on the server from the environment. Its keys go with it.
#[derive(Debug)]
pub struct Prefix {
    settings: Settings,
}

impl Prefix {
    /// None, after saying so, if there is no server. Panics instead if this run requires its servers.
    #[must_use]
    pub fn new() -> Option<Self> {
        let Ok(url) = std::env::var(URL_VARIABLE) else {
            let required = std::env::var_os(REQUIRED_VARIABLE).is_some();
            assert!(!required, "{URL_VARIABLE} is not set, and this run requires its servers");
            eprintln!("skipped: {URL_VARIABLE} is not set");
            return None;
        };
        let prefix = format!("test-{}", Uuid::new_v4().simple());
        Some(Self { settings: Settings { url, prefix, allow_volatile: true } })
    }

    /// How to open what is under it.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A connection to look with, or to spoil things. Blocks.
    #[must_use]
    pub fn connection(&self) -> Connection {
        connect(&self.settings.url).expect("the server answers")
    }

    /// The name of every key under it. Blocks.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.find_keys(&mut self.connection()).expect("the server answers")
    }

    fn find_keys(&self, connection: &mut Connection) -> redis::RedisResult<Vec<String>> {
        let pattern = format!("{{{}*", self.settings.prefix);
        cmd("SCAN").cursor_arg(0).arg("MATCH").arg(pattern).arg("COUNT").arg(1_000).clone().iter(connection)?.collect()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // The test has ended one way or the other; what is left here harms nobody.
        let Ok(mut connection) = connect(&self.settings.url) else { return };
        let Ok(keys) = self.find_keys(&mut connection) else { return };
        for key in keys {
            // One by one: in a cluster, a command is about one slot.
            let _: redis::RedisResult<u64> = cmd("UNLINK").arg(key).query(&mut connection);
        }
    }
}

fn connect(url: &str) -> redis::RedisResult<Connection> {
    Client::open(url)?.get_connection_with_timeout(START)
}

/// A server of a test's own, with a file that is written before every acknowledgement. Killed at the end.
#[derive(Debug)]
pub struct Server {
    port: u16,
    directory: TempDir,
    process: Option<Child>,
}

impl Server {
    /// Starts one; none, after saying so, if it is not installed. Panics instead if this run requires its servers. Blocks.
    #[must_use]
    pub fn start() -> Option<Self> {
        // Asked for by the same variable: who tests with a server has the program.
        Prefix::new()?;
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self { port: 0, directory, process: None };
        for _ in 0..TRIES {
            // Free now; somebody else may be faster.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            server.port = listener.local_addr().expect("it is bound").port();
            drop(listener);
            if server.run() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    /// Where it listens, now and after every restart.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { url: format!("redis://127.0.0.1:{}/", self.port), prefix: "muster".into(), allow_volatile: false }
    }

    /// A connection to look with, or to spoil things. Blocks.
    #[must_use]
    pub fn connection(&self) -> Connection {
        connect(&self.settings().url).expect("the server answers")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it ends");
        }
    }

    /// Starts it over what it left, and waits until it takes commands. Blocks.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server ended before it was ready");
    }

    /// True once it takes commands, false if it ends before.
    fn run(&mut self) -> bool {
        let mut process = spawn(self.port, self.directory.path());
        let output = process.stdout.take().expect("piped");
        self.process = Some(process);
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let ready = lines.any(|line| line.contains("Ready to accept connections"));
        // Or it would stand still when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        if !ready {
            self.kill();
        }
        ready
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, directory: &Path) -> Child {
    let port = port.to_string();
    Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--daemonize", "no", "--logfile", ""])
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
