//! The servers that are measured with: Redis, and ours.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;

/// The API key of our servers.
pub const KEY: &str = "bench-key";

/// A Redis of one's own, with an append-only file that reaches the disk every second.
#[derive(Debug)]
pub struct Redis {
    /// On 127.0.0.1.
    pub port: u16,
    // Ended before its directory goes.
    _process: Process,
    _dir: TempDir,
}

impl Redis {
    /// Starts it and waits until it answers.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
        // A rewrite of the file in the middle would hit whoever is measured then.
        command.args(["--auto-aof-rewrite-percentage", "0", "--logfile", ""]);
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(dir.path());
        let mut process = Process::start("redis-server", &mut command)?;
        process.line(|line| line.contains("Ready to accept connections").then_some(())).await?;
        Ok(Self { port, _process: process, _dir: dir })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

/// A port of 127.0.0.1 that nobody listens at.
pub fn free_port() -> Result<u16> {
    let probe = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(probe.local_addr()?.port())
}

/// `muster serve ROLE` in a process of its own; its address.
pub async fn muster(role: &str, data: &Path, settings: &[(&str, &str)]) -> Result<(Process, String)> {
    let mut command = Process::own(&["serve", role])?;
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    command.env("MUSTER_API_KEY", KEY).envs(settings.iter().copied());
    // Its log is written, as it would be, and not looked at.
    let log = std::fs::File::create(data.join(format!("{role}.log")))?;
    command.stderr(log);
    let mut process = Process::start(&format!("muster serve {role}"), &mut command)?;
    let address = process.line(|line| Some(line.strip_prefix("Muster is listening on http://")?.to_owned())).await?;
    Ok((process, address.trim_end_matches('/').to_owned()))
}
