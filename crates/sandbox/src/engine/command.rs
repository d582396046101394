//! What the engine is asked, and how.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::log::Log;
use crate::room::state::{RoomState, RoomSummary};
use crate::room::{Connection, Entered};
use crate::scenario::Action;
use crate::speech::{Script, Speech};
use crate::wire::ClientMessage;

/// The engine has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// A room was not made: there are as many as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyRooms(pub(crate) usize);

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    NoRoom,
    /// There was nothing to act on.
    Conflict(String),
}

type Reply<T> = oneshot::Sender<T>;

#[derive(Debug)]
pub(crate) enum Command {
    /// Makes or replaces a room; true if it is new.
    Put {
        room: String,
        script: Box<Script>,
        reply: Reply<Result<bool, TooManyRooms>>,
    },
    Delete {
        room: String,
        reply: Reply<bool>,
    },
    List {
        reply: Reply<Vec<RoomSummary>>,
    },
    State {
        room: String,
        reply: Reply<Option<RoomState>>,
    },
    Log {
        room: String,
        reply: Reply<Option<Arc<Log>>>,
    },
    Act {
        room: String,
        action: Action,
        speech: Option<Arc<Speech>>,
        reply: Reply<Result<(), NotDone>>,
    },
    Enter {
        room: String,
        name: String,
        resume: Option<String>,
        connection: Connection,
        reply: Reply<Entered>,
    },
    Heard {
        room: String,
        guest: String,
        connection: u64,
        message: ClientMessage,
    },
    Gone {
        room: String,
        guest: String,
        connection: u64,
    },
    ShutDown,
}

/// The way to the engine.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Asks something that is answered.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }

    pub(crate) async fn tell(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    pub(crate) async fn shut_down(&self) {
        // If it has stopped already, that is what is wanted.
        let _ = self.tell(Command::ShutDown).await;
    }
}
