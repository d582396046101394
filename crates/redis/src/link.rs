use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, ScriptInvocation, ServerErrorKind, Value, cmd,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Error;

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a command that does not block.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between tries to connect: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A connection that nobody used for so long may have ended unseen: it is tried before it is used.
const IDLE: Duration = Duration::from_secs(1);
/// An answer to that comes within this time.
const PROBE: Duration = Duration::from_secs(1);

/// A connection for commands that do not block, shared by everybody, made when it is needed.
///
/// A command that fails on the way is not tried again: whether the server carried it out is unknown, and callers know
/// better what a repetition costs.
pub struct Link {
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    used: Option<Instant>,
    /// Counts connections, so that the failure of an old one does not end a new one.
    generation: u64,
    /// After a try that failed: why, and until when nobody tries again.
    refused: Option<(Error, Instant)>,
    pause: Duration,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.client.get_connection_info().addr().to_string())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// To this address; does not connect yet.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self { client: Client::open(url)?, state: Mutex::default() })
    }

    /// Milliseconds that this machine's clock is ahead of the server's, negative if it is behind; good to half the time that
    /// a command takes.
    pub async fn clock_ahead_ms(&self) -> Result<i64, Error> {
        self.ahead_ms_of(wall_clock_ms).await
    }

    /// `ours` is the clock that is compared.
    pub(crate) async fn ahead_ms_of(&self, ours: impl Fn() -> i64) -> Result<i64, Error> {
        // The first command may have to wait for the connection.
        let _: Value = self.run(&cmd("TIME")).await?;
        let before = ours();
        let (seconds, micros): (i64, i64) = self.run(&cmd("TIME")).await?;
        Ok(before + (ours() - before) / 2 - (seconds * 1_000 + micros / 1_000))
    }

    /// Runs one command. Dropping the future may leave it carried out or not.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let (generation, mut connection) = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        self.watch(generation, answer).await
    }

    /// Runs a script, by its hash where the server has it. Dropping the future may leave it carried out or not.
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        let (generation, mut connection) = self.connection().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.watch(generation, answer).await
    }

    /// A connection of one's own, for commands that block; `response_timeout` has to be longer than they may.
    pub async fn dedicated(&self, response_timeout: Duration) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Error> {
        // Held while connecting: the others want the same connection.
        let mut state = self.state.lock().await;
        if let Some(mut connection) = state.connection.clone() {
            let idle = state.used.is_some_and(|used| used.elapsed() >= IDLE);
            if !idle || answers(&mut connection).await {
                state.used = Some(Instant::now());
                return Ok((state.generation, connection));
            }
            state.connection = None;
        }
        if let Some((error, until)) = &state.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match self.dedicated(RESPONSE_TIMEOUT).await {
            Ok(connection) => {
                let generation = state.generation + 1;
                let used = Some(Instant::now());
                *state = State { connection: Some(connection.clone()), used, generation, ..State::default() };
                Ok((generation, connection))
            }
            Err(error) => {
                state.pause = next_pause(state.pause);
                state.refused = Some((error.clone(), Instant::now() + state.pause));
                Err(error)
            }
        }
    }

    async fn watch<T>(&self, generation: u64, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &answer
            && is_of_the_connection(error)
        {
            let mut state = self.state.lock().await;
            if state.generation == generation {
                state.connection = None;
            }
        }
        answer
    }
}

/// The pause after one more failed try to connect.
#[must_use]
pub(crate) fn next_pause(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether another connection may fare better.
/// False if it has ended, or does not answer soon: everybody waits meanwhile.
async fn answers(connection: &mut MultiplexedConnection) -> bool {
    let ping = cmd("PING");
    match tokio::time::timeout(PROBE, ping.exec_async(connection)).await {
        Ok(answer) => !answer.is_err_and(|error| is_of_the_connection(&error)),
        Err(_) => false,
    }
}

fn is_of_the_connection(error: &Error) -> bool {
    let demoted = matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    demoted || error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    #[tokio::test]
    async fn a_connection_that_ended_while_nobody_used_it_costs_no_command() {
        let Some(mut server) = Server::start() else { return };
        let link = Link::new(&server.settings().url).unwrap();
        let _: String = link.run(&cmd("PING")).await.unwrap();
        server.restart();
        link.state.lock().await.used = Instant::now().checked_sub(IDLE);
        let _: String = link.run(&cmd("PING")).await.unwrap();
    }
}
