//! What is served below `/sandbox`: pages for people and bots, the signalling socket of the pages, and the API that
//! scripts meetings.

mod answer;
mod api;
mod page;
mod rate;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::engine::Handle;

/// Bytes of a scenario or an action: a few WAV files, written in base64.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Scenarios whose sounds are made at the same time; each takes a core.
const MAX_RENDERING: usize = 2;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    engine: Handle,
    scenario_dir: Option<PathBuf>,
    rendering: Semaphore,
    /// Numbers the signalling sockets.
    sockets: AtomicU64,
}

impl Shared {
    pub(crate) fn new(engine: Handle, scenario_dir: Option<PathBuf>) -> Self {
        Self { engine, scenario_dir, rendering: Semaphore::new(MAX_RENDERING), sockets: AtomicU64::new(1) }
    }

    fn next_socket(&self) -> u64 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }
}

/// All routes. Names of rooms have no dots, and nothing of ours has three parts unless it is below `api`, so no room
/// can hide a route.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let rooms = Router::new()
        .route("/sandbox/api/rooms", get(api::list))
        .route("/sandbox/api/rooms/{room}", get(api::state).put(api::put).delete(api::delete))
        .route("/sandbox/api/rooms/{room}/log", get(api::log))
        .route("/sandbox/api/rooms/{room}/actions", post(api::act))
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(answer::guard));
    Router::new()
        .route("/sandbox", get(page::index))
        .route("/sandbox/", get(page::index))
        .route("/sandbox/{room}", get(page::room))
        .route("/sandbox/{room}/", get(page::room))
        .route("/sandbox/{room}/ws", get(socket::open))
        .route("/sandbox/api/assets/{file}", get(page::asset))
        .merge(rooms)
        .with_state(shared)
}
