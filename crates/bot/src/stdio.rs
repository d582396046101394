//! The pipes to the supervisor.

use std::io;
use std::os::fd::AsFd;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;

pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Standard input. A pipe is read without a thread: a thread that waits for input would keep the process from ending.
pub(crate) fn input() -> Input {
    let piped = own(io::stdin()).and_then(pipe::Receiver::from_owned_fd);
    match piped {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdin()),
    }
}

/// Standard output.
pub(crate) fn output() -> Output {
    let piped = own(io::stdout()).and_then(pipe::Sender::from_owned_fd);
    match piped {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdout()),
    }
}

fn own(stream: impl AsFd) -> io::Result<std::os::fd::OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}
