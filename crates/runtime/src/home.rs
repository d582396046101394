//! A bot's own directory: its temporary files and browser profiles, and a record of its process for a later supervisor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_session::BotId;
use serde::{Deserialize, Serialize};

use crate::group::{Group, Proc};

const RECORD: &str = "process.json";
/// How long strays and leftovers are fought.
pub(crate) const CLEAR_DEADLINE: Duration = Duration::from_secs(5);

/// `<state_dir>/<bot>.<nonce>/`. The name is also the bot's mark, so a directory without a record is enough to find
/// its processes.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    mark: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    pid: i32,
    start: u64,
    /// Numbers and start times mean nothing after a reboot.
    boot: String,
}

impl Home {
    pub(crate) fn create(state_dir: &Path, bot: BotId) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::create_dir_all(state_dir)?;
        let mark = format!("{bot}.{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let dir = state_dir.join(&mark);
        std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self { dir, mark })
    }

    fn of_earlier_run(dir: PathBuf) -> Option<Self> {
        let mark = dir.file_name()?.to_str()?.to_owned();
        let (bot, nonce) = mark.split_once('.')?;
        let ours = bot.parse::<BotId>().is_ok() && nonce.len() == 12;
        ours.then_some(Self { dir, mark })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn write_record(&self, leader: Proc) -> io::Result<()> {
        let record = Record { pid: leader.pid, start: leader.start, boot: boot_id() };
        std::fs::write(self.dir.join(RECORD), serde_json::to_vec(&record)?)
    }

    fn leader(&self) -> Option<Proc> {
        let bytes = std::fs::read(self.dir.join(RECORD)).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.boot == boot_id()).then_some(Proc { pid: record.pid, start: record.start })
    }

    /// Removes everything. Blocks.
    pub(crate) fn remove(&self) {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(dir = %self.dir.display(), %error, "a bot's directory could not be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Ends what an earlier supervisor with this `state_dir` left running and removes its bots' directories; answers how many
/// bots there were. To be called before the first launch: it cannot tell its own bots from strays.
pub async fn sweep_strays(state_dir: &Path) -> io::Result<usize> {
    let state_dir = state_dir.to_owned();
    tokio::task::spawn_blocking(move || sweep(&state_dir)).await.map_err(io::Error::other)?
}

fn sweep(state_dir: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(state_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut swept = 0;
    for entry in entries {
        let Some(home) = Home::of_earlier_run(entry?.path()) else { continue };
        let cleared = Group::new(home.leader(), home.mark.clone()).clear(Duration::ZERO, CLEAR_DEADLINE);
        tracing::info!(bot = home.mark, killed = ?cleared.killed, "swept a bot of an earlier run");
        if cleared.empty {
            home.remove();
        } else {
            tracing::error!(bot = home.mark, "processes of an earlier run cannot be ended; kept for the next sweep");
        }
        swept += 1;
    }
    Ok(swept)
}
