//! Meetings of our own, to be scripted: a real page, real WebRTC in the browser, a room and signalling on our side, and
//! virtual participants who speak given audio without a browser.
//!
//! The walk of one guest: the page of `http` opens a signalling socket and says hello; the `engine`, one task that
//! owns everything, puts it into a `room`, where the [`scenario`] decides about lobby, speech and faults; once admitted
//! it gets a `peer`, a sans-I/O WebRTC endpoint, which sends it everybody's audio, one stream per participant. What
//! happened, and exactly when, is in the room's `log`.
//!
//! This crate is a meeting product like any other: it knows nothing about bots.

mod config;
mod engine;
mod http;
mod log;
mod peer;
mod room;
pub mod scenario;
mod speech;
mod wire;

use std::sync::Arc;

use tokio::task::JoinHandle;

pub use config::{SandboxConfig, SandboxError};
pub use log::{LogEntry, LogEvent};
pub use room::state::{GuestState, ParticipantState, RoomState, RoomSummary};

/// A running sandbox. Dropping it ends all of its meetings.
#[derive(Debug)]
pub struct Sandbox {
    engine: engine::Handle,
    task: Option<JoinHandle<()>>,
    shared: Arc<http::Shared>,
}

impl Sandbox {
    /// Binds the media sockets and starts the task that owns all rooms.
    ///
    /// # Errors
    /// [`SandboxError`] if an address cannot be bound or the host's addresses cannot be listed.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let net = engine::net::Net::bind(&config.all_media_addrs()?, config.media_port).await?;
        let (handle, engine) = engine::Engine::new(&config, net);
        let task = tokio::spawn(engine.run());
        let shared = Arc::new(http::Shared::new(handle.clone(), config.scenario_dir));
        Ok(Self { engine: handle, task: Some(task), shared })
    }

    /// The routes below `/sandbox`, to be merged into a server's own.
    pub fn router(&self) -> axum::Router {
        http::router(self.shared.clone())
    }

    /// Ends all meetings and waits until the sockets are closed.
    pub async fn shutdown(mut self) {
        self.engine.shut_down().await;
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!("the sandbox had panicked");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
