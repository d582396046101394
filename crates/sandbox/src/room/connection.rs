//! A room's end of a guest's signalling socket.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::wire::ServerMessage;

/// Messages that may wait for a slow page.
const WAITING: usize = 1_024;

/// The way to one page. Dropping it closes the socket after what was sent before.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Tells the connections of one guest apart.
    pub(crate) id: u64,
    /// The page wants sound.
    pub(crate) media: bool,
    messages: mpsc::Sender<ServerMessage>,
    hopeless: CancellationToken,
}

/// The socket's end of a [`Connection`].
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What to send; closed when the room has nothing more to say.
    pub(crate) messages: mpsc::Receiver<ServerMessage>,
    /// The page is too slow: the socket is to be closed at once.
    pub(crate) hopeless: CancellationToken,
}

impl Connection {
    pub(crate) fn new(id: u64) -> (Self, Outgoing) {
        let (sender, messages) = mpsc::channel(WAITING);
        let hopeless = CancellationToken::new();
        (Self { id, media: true, messages: sender, hopeless: hopeless.clone() }, Outgoing { messages, hopeless })
    }

    /// Queues a message. A page that takes none of them for too long loses the connection: with a gap in what it was
    /// told, it would show a meeting that does not exist.
    pub(crate) fn send(&self, message: ServerMessage) {
        if self.messages.try_send(message).is_err() {
            self.hopeless.cancel();
        }
    }
}

/// What became of somebody who came to a room's door.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It is the guest with this id.
    As(String),
    /// It has been told why, or its network is cut.
    Refused,
}
