//! Bots that wait for their time.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use muster_session::{Input, Outcome, Session, State as At, Timestamp};
use muster_store::{ListQuery, PlaceChange, StoreError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::auth::{Caller, OwnBot};
use super::body;
use super::bots::request::{BOT_NAME_CHARS_MAX, attributes};
use super::error::{ApiError, Message};
use super::fields::{Fields, Problems};
use super::openapi::requests::ChangeScheduled;
use super::query::Query;
use super::state::ApiState;
use crate::roles::admit::{self, Own};
use crate::roles::line::InLine;
use crate::roles::nudge::News;

const LIMIT: u32 = 100;
/// So far ahead that no scheduler looks there.
const OUT_OF_REACH: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Races with the scheduler are rare and short.
const CONFLICT_RETRIES: u32 = 8;

/// Bots that wait for their time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduledBots {
    scheduled_bots: Vec<ScheduledBot>,
}

/// A bot that waits for its time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduledBot {
    bot_id: String,
    platform: String,
    /// Always `Scheduled`.
    status: &'static str,
    scheduled_join_time: Option<String>,
    bot_username: String,
    meeting_link: String,
    custom_attributes: Map<String, Value>,
}

impl From<Session> for ScheduledBot {
    fn from(session: Session) -> Self {
        Self {
            bot_id: session.id.to_string(),
            status: session.wire_status(),
            scheduled_join_time: session.join_at.map(Timestamp::to_rfc3339),
            platform: session.meeting.label,
            bot_username: session.bot_name,
            meeting_link: session.meeting.link,
            custom_attributes: session.custom_attributes,
        }
    }
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    message: String,
    bot_id: String,
    updated_fields: Vec<&'static str>,
    /// The time of joining is another.
    schedule_updated: bool,
}

/// A scheduled bot was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    message: String,
    bot_id: String,
}

/// The tenant's scheduled bots, newest first
#[utoipa::path(
    get, path = "/calendar/scheduled_bots", tag = "scheduled bots",
    params(("limit" = Option<u32>, Query, description = "1 to 100, default 100")),
    responses((status = 200, body = ScheduledBots), (status = 400, body = Message))
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
) -> Result<Json<ScheduledBots>, ApiError> {
    let limit = Query::parse(raw.as_deref()).limit(LIMIT, LIMIT)?;
    let query = ListQuery { states: vec![At::Scheduled], limit, ..ListQuery::default() };
    let page = state.store.list(&caller.tenant, &query).await?;
    Ok(Json(ScheduledBots { scheduled_bots: page.sessions.into_iter().map(ScheduledBot::from).collect() }))
}

/// Changes a scheduled bot
///
/// A time that is past means at once: the bot waits in line if there is no place for it, or, where the tenant's bots do not wait,
/// the answer is 429 and nothing is changed. 404 once the bot is on its way.
#[utoipa::path(
    patch, path = "/calendar/scheduled_bots/{bot_id}", tag = "scheduled bots", params(("bot_id" = String, Path)),
    request_body = ChangeScheduled,
    responses(
        (status = 200, body = Changed), (status = 400, body = Message), (status = 404, body = Message),
        (status = 413, description = "The body is larger than 64 KiB", body = Message), (status = 429, body = Message),
    )
)]
pub(crate) async fn change(
    State(state): State<ApiState>,
    OwnBot(session): OwnBot,
    body: Body,
) -> Result<Json<Changed>, ApiError> {
    let request = body::read_kept_json(body).await?;
    let change = Change::parse(&request).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    let bot = session.id;
    rewrite(&state, session, |session, now, hold| {
        match session.join_at.is_some_and(|at| at.since(now) >= OUT_OF_REACH / 2) {
            true => Err(being_removed()),
            false => change.apply(session, now, hold),
        }
    })
    .await?;
    Ok(Json(Changed {
        message: "The scheduled bot was changed".into(),
        bot_id: bot.to_string(),
        updated_fields: change.updated_fields(),
        schedule_updated: change.join_at.is_some(),
    }))
}

/// Removes a scheduled bot
///
/// It will not join and nothing of it is kept; no webhook says so. 404 once the bot is on its way: then `remove_bot`
/// makes it leave.
#[utoipa::path(
    delete, path = "/calendar/scheduled_bots/{bot_id}", tag = "scheduled bots", params(("bot_id" = String, Path)),
    responses((status = 200, body = Removed), (status = 404, body = Message))
)]
pub(crate) async fn remove(State(state): State<ApiState>, OwnBot(session): OwnBot) -> Result<Json<Removed>, ApiError> {
    let bot = session.id;
    // Out of the scheduler's reach first, in a write that it cannot race; only then is the record removed.
    rewrite(&state, session, |session, now, _| {
        session.apply(Input::Reschedule { join_at: now + OUT_OF_REACH }, now).map_err(|_| on_its_way())
    })
    .await?;
    state.store.delete(bot).await?;
    tracing::info!(%bot, "scheduled bot removed");
    Ok(Json(Removed { message: "The scheduled bot was removed".into(), bot_id: bot.to_string() }))
}

fn on_its_way() -> ApiError {
    ApiError::not_found("There is no such scheduled bot: it has joined already or never was scheduled")
}

/// What is left to do is the removal of its record: it must not come back meanwhile.
fn being_removed() -> ApiError {
    ApiError::not_found("There is no such scheduled bot: it is being removed")
}

/// Compare-and-swap of a scheduled session, again from the start when somebody else wrote in between. The edit is told whether
/// to let the bot wait in line, if it makes it set out.
async fn rewrite(
    state: &ApiState,
    mut session: Session,
    edit: impl Fn(&mut Session, Timestamp, bool) -> Result<Outcome, ApiError>,
) -> Result<(), ApiError> {
    let (tenant, bot, backend) = (session.tenant.clone(), session.id, state.backend());
    let mut in_line: Option<InLine> = None;
    for _ in 0..CONFLICT_RETRIES {
        if session.state != At::Scheduled {
            return Err(on_its_way());
        }
        let now = state.clock.now();
        let outcome = edit(&mut session, now, in_line.is_some())?;
        let mut commit = backend.commit_of(false, session, outcome, now).await?;
        if commit.place != PlaceChange::Keep {
            let own = Own::ask(&state.line, &tenant).await?;
            commit.place = PlaceChange::Take { limit: Some(own.at_once) };
        }
        let (news, place) = (News::of(&commit), commit.place);
        match state.store.commit(commit).await {
            Ok(session) => {
                backend.nudge.say(news);
                if place != PlaceChange::Keep {
                    state.line.sent(&tenant);
                }
                if let Some(in_line) = in_line.filter(|_| session.held) {
                    in_line.written();
                }
                return Ok(());
            }
            Err(error @ (StoreError::Conflict | StoreError::Full { .. })) => {
                if let StoreError::Full { taken } = error {
                    in_line = Some(admit::line_up(&state.line, &tenant, |own| own.refusal(taken)).await?);
                }
                session = state.store.get_owned(&tenant, bot).await?.ok_or_else(on_its_way)?;
            }
            Err(StoreError::Missing) => return Err(on_its_way()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// A valid change.
#[derive(Debug)]
struct Change {
    join_at: Option<Timestamp>,
    bot_username: Option<String>,
    custom_attributes: Option<Map<String, Value>>,
}

impl Change {
    fn parse(request: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
        let p = &mut problems;
        let change = Self {
            join_at: fields.time("scheduled_join_time", p),
            bot_username: fields.text("bot_username", BOT_NAME_CHARS_MAX, p).map(|name| name.trim().to_owned()),
            custom_attributes: fields.value("custom_attributes").map(|_| attributes(&fields, p)),
        };
        let given = ["scheduled_join_time", "bot_username", "custom_attributes"].map(|key| fields.value(key).is_some());
        if given == [false; 3] {
            p.add("scheduled_join_time", "required: expected a time such as 2026-01-31T09:00:00Z");
        }
        problems.none_or(change)
    }

    fn updated_fields(&self) -> Vec<&'static str> {
        let given = [
            ("scheduled_join_time", self.join_at.is_some()),
            ("bot_username", self.bot_username.is_some()),
            ("custom_attributes", self.custom_attributes.is_some()),
        ];
        given.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }

    fn apply(&self, session: &mut Session, now: Timestamp, hold: bool) -> Result<Outcome, ApiError> {
        if let Some(name) = &self.bot_username {
            session.bot_name.clone_from(name);
        }
        if let Some(attributes) = &self.custom_attributes {
            session.custom_attributes.clone_from(attributes);
        }
        match self.join_at {
            Some(join_at) if hold && join_at <= now => session.apply(Input::Hold, now).map_err(|_| on_its_way()),
            Some(join_at) => session.apply(Input::Reschedule { join_at }, now).map_err(|_| on_its_way()),
            None => {
                session.updated_at = now;
                Ok(Outcome::default())
            }
        }
    }
}
