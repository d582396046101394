use axum::Json;
use axum::extract::{RawQuery, State};
use muster_session::{Session, State as At, Terminal, Timestamp};
use muster_store::ListQuery;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::error::{ApiError, Message};
use super::super::query::Query;
use super::super::state::ApiState;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;
/// A filter by how the call ended looks through at most this many store pages for one page of answers.
const SCAN_PAGES_MAX: usize = 20;

/// One page of bots.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BotPage {
    /// Newest first.
    bots: Vec<BotItem>,
    has_next_page: bool,
    /// To be sent back as `cursor`.
    next_cursor: Option<String>,
}

/// A bot in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BotItem {
    bot_id: String,
    bot_name: String,
    status: &'static str,
    platform: String,
    meeting_link: String,
    meeting_url: String,
    transcript_id: Option<String>,
    custom_attributes: Map<String, Value>,
    created_at: String,
    join_at: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    end_reason: Option<&'static str>,
    /// Present, and true, if the bot was simulated: a load test.
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

impl From<Session> for BotItem {
    fn from(session: Session) -> Self {
        Self {
            bot_id: session.id.to_string(),
            status: session.wire_status(),
            meeting_link: session.meeting.link.clone(),
            meeting_url: session.meeting.link,
            platform: session.meeting.label,
            transcript_id: session.transcripts.last().map(|t| t.id.to_string()),
            bot_name: session.bot_name,
            custom_attributes: session.custom_attributes,
            created_at: session.created_at.to_rfc3339(),
            join_at: session.join_at.map(Timestamp::to_rfc3339),
            start_time: session.admitted_at.map(Timestamp::to_rfc3339),
            end_time: session.ended_at.map(Timestamp::to_rfc3339),
            end_reason: session.end.map(|end| end.reason.as_str()),
            simulated: session.simulated.then_some(true),
        }
    }
}

/// The tenant's bots, newest first
#[utoipa::path(
    get, path = "/bots", tag = "bots",
    params(
        ("status" = Option<String>, Query, description = "A status in any case. `Active` is every bot that has not left; \
            `Stopped`, `NotAllowed`, `Denied` and `Error` select by how the call ended"),
        ("from" = Option<String>, Query, description = "Created on or after this day (YYYY-MM-DD, UTC) or time"),
        ("to" = Option<String>, Query, description = "Created on or before this day (YYYY-MM-DD, UTC) or before this time"),
        ("platform" = Option<String>, Query, description = "`GMeet`, `Zoom`, `Teams`, … in any case"),
        ("custom_attr[key]" = Option<String>, Query, description = "Equal to this custom attribute, the value read as JSON \
            or else as text; may be repeated"),
        ("cursor" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "1 to 100, default 50"),
    ),
    responses((status = 200, body = BotPage), (status = 400, body = Message))
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
) -> Result<Json<BotPage>, ApiError> {
    let query = Query::parse(raw.as_deref());
    let (states, ended) = status_filter(query.get("status"))?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let wanted = ListQuery {
        states,
        from: query.from()?,
        to: query.to()?,
        platform: query.get("platform").map(platform_label),
        attributes: query.indexed("custom_attr").map(|(key, value)| (key.to_owned(), attribute(value))).collect(),
        cursor: query.get("cursor").map(str::to_owned),
        limit,
    };
    let (sessions, next_cursor) = page(&state, &caller, wanted, ended).await?;
    let bots = sessions.into_iter().map(BotItem::from).collect();
    Ok(Json(BotPage { bots, has_next_page: next_cursor.is_some(), next_cursor }))
}

/// One page; where a kind of end is asked for, as many store pages as it takes to find one that has some.
async fn page(
    state: &ApiState,
    caller: &Caller,
    mut query: ListQuery,
    ended: Option<Terminal>,
) -> Result<(Vec<Session>, Option<String>), ApiError> {
    for _ in 0..SCAN_PAGES_MAX {
        let page = state.store.list(&caller.tenant, &query).await?;
        let mut sessions = page.sessions;
        if let Some(kind) = ended {
            sessions.retain(|session| session.end.as_ref().is_some_and(|end| end.reason.terminal() == kind));
        }
        if !sessions.is_empty() || page.next.is_none() {
            return Ok((sessions, page.next));
        }
        query.cursor = page.next;
    }
    Ok((Vec::new(), query.cursor))
}

/// The states that a status on the wire stands for, and the kind of end it asks for.
fn status_filter(status: Option<&str>) -> Result<(Vec<At>, Option<Terminal>), ApiError> {
    let Some(status) = status else { return Ok((Vec::new(), None)) };
    let ended = match status.to_ascii_lowercase().as_str() {
        "active" => {
            let states = At::ALL.into_iter().filter(|s| s.is_live() || *s == At::Queued).collect();
            return Ok((states, None));
        }
        "stopped" => Some(Terminal::Stopped),
        "notallowed" => Some(Terminal::NotAllowed),
        "denied" => Some(Terminal::Denied),
        "error" | "failed" => Some(Terminal::Failed),
        _ => None,
    };
    let matching = |state: &At| match ended {
        Some(_) => state.is_terminal(),
        None => state.wire_status().eq_ignore_ascii_case(status),
    };
    let states: Vec<At> = At::ALL.into_iter().filter(matching).collect();
    if states.is_empty() {
        let got: String = status.chars().take(40).collect();
        return Err(ApiError::bad_request(format!(
            "status: expected one of Scheduled, Joining, InWaitingRoom, InMeeting, Recording, Leaving, MediaProcessing, \
             Done, MediaExpired, Active, Stopped, NotAllowed, Denied, Error, got {got:?}"
        )));
    }
    Ok((states, ended))
}

/// Other names that clients have for the platforms.
fn platform_label(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "google_meet" | "meet" => "GMeet".to_owned(),
        "microsoft_teams" => "Teams".to_owned(),
        _ => name.to_owned(),
    }
}

fn attribute(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_status_in_any_case() {
        for state in At::ALL {
            let (states, ended) = status_filter(Some(&state.wire_status().to_ascii_uppercase())).unwrap();
            assert!(states.contains(&state), "{state:?}");
            assert_eq!(ended, None);
        }
        assert_eq!(status_filter(Some("FAILED")).unwrap().1, Some(Terminal::Failed));
        assert!(status_filter(Some("Asleep")).is_err());
    }
}
