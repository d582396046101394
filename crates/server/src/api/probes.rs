//! Is the process alive, and can it serve?

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster_queue::JobQueue;
use muster_session::job::Topic;
use muster_store::SessionStore;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;
use crate::supervise::Shutdown;

/// What readiness depends on, in every role.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) queue: JobQueue,
    pub(crate) shutdown: Shutdown,
}

impl FromRef<ApiState> for Probed {
    fn from_ref(state: &ApiState) -> Self {
        Self { store: Arc::clone(&state.store), queue: state.queue.clone(), shutdown: state.shutdown.clone() }
    }
}

/// Whether requests should be sent here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    message: &'static str,
    /// The session store answers.
    store: bool,
    /// The queue answers.
    queue: bool,
    /// The process is shutting down and takes no new work.
    draining: bool,
}

/// Liveness: 200 as long as the process answers at all
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200)), security(()))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// Readiness: 503 while a backend is out of reach or the process drains
#[utoipa::path(
    get, path = "/readyz", tag = "probes",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)), security(())
)]
pub(crate) async fn readyz(State(state): State<Probed>) -> Response {
    let (store, queue) = tokio::join!(state.store.ping(), state.queue.depth(Topic::Jobs));
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready: store");
    }
    if let Err(error) = &queue {
        tracing::warn!(%error, "not ready: queue");
    }
    let (store, queue, draining) = (store.is_ok(), queue.is_ok(), state.shutdown.is_draining());
    let message = match (store, queue, draining) {
        (false, ..) => "The session store is out of reach",
        (_, false, _) => "The queue is out of reach",
        (.., true) => "Shutting down",
        _ => "Ready",
    };
    let ready = store && queue && !draining;
    let body = Json(Readiness { ready, message, store, queue, draining });
    if ready {
        body.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], body).into_response()
    }
}
