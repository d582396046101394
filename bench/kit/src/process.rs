//! Other programs: started, spoken with by lines, and ended with us.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longest wait for a line.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it; what it says on standard error goes to ours.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let input = child.stdin.take().context("its input")?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok(Self { name: name.to_owned(), child, input, lines })
    }

    /// This program in another part.
    pub fn own(part: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
        command.args(part);
        Ok(command)
    }

    /// The first line that `wanted` makes something of.
    pub async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        loop {
            let next = timeout(PATIENCE, self.lines.next_line()).await;
            let next = next.with_context(|| format!("{} says nothing", self.name))??;
            let Some(line) = next else { bail!("{} ended: {}", self.name, self.child.wait().await?) };
            if let Some(found) = wanted(&line) {
                return Ok(found);
            }
        }
    }

    /// Waits for exactly this line.
    pub async fn says(&mut self, text: &str) -> Result<()> {
        self.line(|line| (line == text).then_some(())).await
    }

    /// Says to go on.
    pub async fn go(&mut self) -> Result<()> {
        self.input.write_all(b"go\n").await.with_context(|| format!("telling {} to begin", self.name))
    }

    /// Every line until it ends.
    pub async fn rest(mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = self.lines.next_line().await? {
            lines.push(line);
        }
        let status = self.child.wait().await?;
        ensure!(status.success(), "{} failed: {status}", self.name);
        Ok(lines)
    }

    /// Its number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("ending {}", self.name))
    }
}

/// For the part that is such a process: says that it is ready and waits for the word.
pub async fn ready() -> Result<()> {
    println!("ready");
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await.context("waiting for the word to begin")?;
    Ok(())
}
