//! The HTTP API.
//!
//! Paths, bodies and status codes follow MeetStream's API, oddities included, so that its clients run unchanged. A
//! handler parses, calls one function of the domain and maps the result:
//!
//! - [`bots`]: create, list, look, remove, fetch; [`bots::request`] is the pure reader of the create request.
//! - `transcripts`, `scheduled`: the other two families of the reference.
//! - `webhooks`: endpoints, ledger and inbox of a tenant.
//! - `media_links`: signed links to stored objects.
//! - `inbound`: webhooks that come in.
//! - `keys`, `workers`, `fleet`, `scaling`, `dead_letters`: for the operator.
//! - `probes`, `openapi`: for machines.
//!
//! Three things hold for every answer: it carries `x-request-id`, an error is `{"message"}`, and nothing of another
//! tenant can be told from nothing at all. Every request under a key is counted, and its answer says so ([`Rates`]).

mod auth;
mod body;
pub mod bots;
mod dead_letters;
mod error;
mod fields;
mod fleet;
mod inbound;
mod keys;
mod media_links;
mod openapi;
mod probes;
mod query;
mod rate;
mod request_id;
mod scaling;
mod scheduled;
mod state;
mod transcripts;
mod webhooks;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use muster_queue::JobQueue;
use muster_store::SessionStore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use fields::Problems;
pub use rate::Rates;
pub use state::ApiState;

use crate::inbound::Door;
use crate::supervise::Shutdown;
use error::ApiError;

/// Every route of the server's API, below `/api/v1`, `/media`, `/healthz` and `/readyz`.
pub fn router(state: ApiState) -> Router {
    let (router, _) = routes().split_for_parts();
    let (door, _) = door().split_for_parts();
    router
        .with_state(state.clone())
        .merge(door.with_state(Arc::clone(&state.door)))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(state.clock, rate::layer))
        .layer(axum::middleware::from_fn(request_id::layer))
}

/// Where webhooks come in.
fn door() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(inbound::receive))
}

/// `/healthz` and `/readyz` alone, for a process without the API.
pub fn probes_router(store: Arc<dyn SessionStore>, queue: JobQueue, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/healthz", axum::routing::get(probes::healthz))
        .route("/readyz", axum::routing::get(probes::readyz))
        .fallback(no_such_route)
        .layer(axum::middleware::from_fn(request_id::layer))
        .with_state(probes::Probed { store, queue, shutdown })
}

/// The OpenAPI document of [`router`].
#[must_use]
pub fn openapi_document() -> OpenApi {
    let mut document = routes().into_openapi();
    document.merge(door().into_openapi());
    document
}

fn routes() -> OpenApiRouter<ApiState> {
    let bots = OpenApiRouter::new()
        .routes(routes!(bots::create::create_bot))
        .routes(routes!(bots::list::list))
        .routes(routes!(bots::show::status))
        .routes(routes!(bots::show::detail))
        .routes(routes!(bots::show::summary))
        .routes(routes!(bots::remove::remove_bot))
        .routes(routes!(bots::remove::delete));
    let data = OpenApiRouter::new()
        .routes(routes!(bots::artifacts::get_audio))
        .routes(routes!(bots::artifacts::get_video))
        .routes(routes!(bots::artifacts::get_screenshots))
        .routes(routes!(bots::streams::get_audio_streams))
        .routes(routes!(bots::streams::get_recording_streams))
        .routes(routes!(bots::people::get_participants))
        .routes(routes!(bots::people::get_chats))
        .routes(routes!(bots::speakers::get_speaker_timeline))
        .routes(routes!(transcripts::get_transcript))
        .routes(routes!(transcripts::transcriptions))
        .routes(routes!(transcripts::transcribe));
    let rest = OpenApiRouter::new()
        .routes(routes!(bots::live::send_message))
        .routes(routes!(bots::live::send_image))
        .routes(routes!(bots::live::pause_recording))
        .routes(routes!(bots::live::resume_recording))
        .routes(routes!(bots::ledger::events))
        .routes(routes!(bots::ledger::replay))
        .routes(routes!(scheduled::list))
        .routes(routes!(scheduled::change, scheduled::remove))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::requeue))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::remove))
        .routes(routes!(workers::list))
        .routes(routes!(workers::costs))
        .routes(routes!(workers::drain))
        .routes(routes!(scaling::scaling))
        .routes(routes!(fleet::line))
        .routes(routes!(openapi::document));
    let webhooks = OpenApiRouter::new()
        .routes(routes!(webhooks::endpoints::list, webhooks::endpoints::create))
        .routes(routes!(webhooks::endpoints::show, webhooks::endpoints::change, webhooks::endpoints::remove))
        .routes(routes!(webhooks::endpoints::rotate_secret))
        .routes(routes!(webhooks::endpoints::test))
        .routes(routes!(webhooks::ledger::list))
        .routes(routes!(webhooks::ledger::show))
        .routes(routes!(webhooks::replay::replay))
        .routes(routes!(webhooks::inbox::list))
        .routes(routes!(webhooks::inbox::show));
    OpenApiRouter::with_openapi(openapi::base())
        .nest("/api/v1", bots.merge(data).merge(webhooks).merge(rest))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .merge(media_routes())
}

/// A wildcard is written differently for the router and for the document.
fn media_routes() -> OpenApiRouter<ApiState> {
    use utoipa::Path as _;
    let mut routes = OpenApiRouter::new().route("/media/{*path}", axum::routing::get(media_links::media));
    let paths = &mut routes.get_openapi_mut().paths;
    paths.add_path_operation(
        media_links::__path_media::path(),
        media_links::__path_media::methods(),
        media_links::__path_media::operation(),
    );
    routes
}

async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::not_found(format!("There is no {method} {path}"))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))
}
