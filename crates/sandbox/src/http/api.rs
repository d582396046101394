//! Scripting meetings over HTTP. Described for its users in `docs/sandbox.md`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Shared;
use super::answer::Failure;
use crate::engine::Command;
use crate::room::state::RoomState;
use crate::scenario::validate::{Invalid, Problem};
use crate::scenario::{Action, Scenario, is_id};
use crate::speech::{self, Script};

/// Seconds that a request for the log may wait.
const MAX_WAIT: f64 = 60.0;

type Answer<T> = Result<T, Failure>;
type Body = Result<Bytes, BytesRejection>;

/// `GET /sandbox/api/rooms`
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Answer<Json<Value>> {
    let rooms = shared.engine.ask(|reply| Command::List { reply }).await?;
    Ok(Json(json!({"rooms": rooms})))
}

/// `GET /sandbox/api/rooms/{room}`
pub(super) async fn state(State(shared): State<Arc<Shared>>, Path(room): Path<String>) -> Answer<Json<RoomState>> {
    let state = shared.engine.ask(|reply| Command::State { room: room.clone(), reply }).await?;
    state.map(Json).ok_or_else(|| Failure::no_room(&room))
}

/// `PUT /sandbox/api/rooms/{room}`: 201 if the room is new, 200 if it takes the place of another.
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    body: Body,
) -> Answer<(StatusCode, Json<Value>)> {
    if !is_id(&room) {
        return Err(Failure::bad("room: must have 1 to 64 letters, digits, '-' or '_'"));
    }
    let scenario: Scenario = parse(body, "scenario")?;
    let script = prepare(&shared, move |dir| Script::prepare(scenario, dir)).await??;
    let script = Box::new(script);
    let new = shared.engine.ask(|reply| Command::Put { room: room.clone(), script, reply }).await??;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({"name": room, "path": format!("/sandbox/{room}")}))))
}

/// `DELETE /sandbox/api/rooms/{room}`: ends the meeting and forgets it.
pub(super) async fn delete(State(shared): State<Arc<Shared>>, Path(room): Path<String>) -> Answer<StatusCode> {
    let there = shared.engine.ask(|reply| Command::Delete { room: room.clone(), reply }).await?;
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(Failure::no_room(&room)) }
}

/// `POST /sandbox/api/rooms/{room}/actions`
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    body: Body,
) -> Answer<Json<Value>> {
    let action: Action = parse(body, "action")?;
    action.validate()?;
    let speech = match action.sound() {
        None => None,
        Some(sound) => {
            Some(Arc::new(prepare(&shared, move |dir| speech::render(&sound, dir)).await?.map_err(|bad| {
                Failure::from(Invalid(vec![Problem { field: bad.field.to_owned(), message: bad.message }]))
            })?))
        }
    };
    let done = json!({"done": action.name()});
    let acted = shared.engine.ask(|reply| Command::Act { room: room.clone(), action, speech, reply }).await?;
    acted.map(|()| Json(done)).map_err(|why| Failure::not_done(why, &room))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogQuery {
    after: u64,
    wait: f64,
}

/// `GET /sandbox/api/rooms/{room}/log`: entries after a number, waiting for the first of them if there is none yet.
pub(super) async fn log(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Answer<Json<Value>> {
    let Query(LogQuery { after, wait }) = query.map_err(|error| Failure::bad(error.body_text()))?;
    if !(0.0..=MAX_WAIT).contains(&wait) {
        return Err(Failure::bad(format!("wait: must be between 0 and {MAX_WAIT} seconds")));
    }
    let log = shared.engine.ask(|reply| Command::Log { room: room.clone(), reply }).await?;
    let log = log.ok_or_else(|| Failure::no_room(&room))?;
    let wait = Duration::from_secs_f64(wait);
    let entries = tokio::time::timeout(wait, log.wait_after(after)).await.unwrap_or_default();
    Ok(Json(json!({"entries": entries})))
}

fn parse<T: DeserializeOwned>(body: Body, what: &str) -> Answer<T> {
    let bytes =
        body.map_err(|error| Failure::new(error.status(), format!("the body cannot be read: {}", error.body_text())))?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::bad(format!("the {what} is not valid: {error}")))
}

/// Makes sounds, which blocks, away from the tasks that must not.
async fn prepare<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(Option<&std::path::Path>) -> T + Send + 'static,
) -> Answer<T> {
    let failed = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "making the sounds failed");
    let _permit = shared.rendering.acquire().await.map_err(|_| Failure::from(crate::engine::Stopped))?;
    let dir = shared.scenario_dir.clone();
    tokio::task::spawn_blocking(move || work(dir.as_deref())).await.map_err(failed)
}
