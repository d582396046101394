//! Sending webhooks again: those of one event, of one bot, or of a time.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use muster_session::{BotId, EndpointId, TenantId, Timestamp};
use muster_store::{Delivery, DeliveryState, LedgerQuery};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::body;
use super::super::bots::ledger::send_again;
use super::super::error::{ApiError, Message};
use super::super::fields::{Fields, Problems};
use super::super::openapi::requests::ReplayWebhooks;
use super::super::state::ApiState;
use super::ledger::of_event;

/// Deliveries that one call looks at.
const BATCH: u32 = 1_000;
/// Longest text that can be an id or a cursor.
const MAX_ID_CHARS: usize = 200;

/// Webhooks that are to be sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedWebhooks {
    /// Webhooks that are pending again. Those that still were are not counted.
    replayed: u64,
    /// There may be more: the same request with this as `cursor` goes on.
    next_cursor: Option<String>,
}

/// Sends webhooks again, with the same bodies and ids
///
/// At most 1,000 in one call; `next_cursor` goes on.
#[utoipa::path(
    post, path = "/webhooks/replay", tag = "webhooks", request_body = ReplayWebhooks,
    responses((status = 200, body = ReplayedWebhooks), (status = 400, body = Message), (status = 404, body = Message))
)]
pub(crate) async fn replay(
    State(state): State<ApiState>,
    caller: Caller,
    body: Body,
) -> Result<Json<ReplayedWebhooks>, ApiError> {
    let request = body::read_json(body).await?;
    let wanted = Wanted::parse(&request).map_err(|problems| ApiError::bad_request(problems.to_string()))?;
    let (mut deliveries, next_cursor) = wanted.find(&state, &caller.tenant).await?;
    deliveries.retain(|delivery| wanted.takes(delivery));
    let replayed = send_again(&state, deliveries).await?;
    tracing::info!(tenant = %caller.tenant, replayed, "webhooks are sent again");
    Ok(Json(ReplayedWebhooks { replayed, next_cursor }))
}

/// A valid request.
#[derive(Debug, PartialEq)]
struct Wanted {
    of: Of,
    endpoint: Option<EndpointId>,
    /// None: settled, whichever way.
    state: Option<DeliveryState>,
    cursor: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Of {
    Event(String),
    Bot(BotId),
    Time { from: Timestamp, to: Option<Timestamp> },
}

impl Wanted {
    fn parse(request: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let Some(fields) = Fields::root(request, &mut problems) else { return Err(problems) };
        let p = &mut problems;
        let event = fields.text("event_id", MAX_ID_CHARS, p);
        let bot = fields.parsed("bot_id", "the id of a bot", p);
        let (from, to) = (fields.time("from", p), fields.time("to", p));
        let endpoint = fields.parsed("endpoint_id", "the id of a webhook endpoint", p);
        let state = fields.choice("state", &["failed", "delivered", "settled"], p);
        let cursor = fields.text("cursor", MAX_ID_CHARS, p).map(str::to_owned);
        let given = ["event_id", "bot_id", "from"].map(|key| fields.value(key).is_some());
        if given.iter().filter(|given| **given).count() != 1 {
            p.add("event_id, bot_id, from", "expected exactly one of them");
        }
        if fields.value("to").is_some() && fields.value("from").is_none() {
            p.add("to", "expected a from with it");
        }
        let of = match (event, bot, from) {
            (Some(event), ..) => Of::Event(event.to_owned()),
            (None, Some(bot), _) => Of::Bot(bot),
            (None, None, Some(from)) => Of::Time { from, to },
            (None, None, None) => return Err(problems),
        };
        let state = match (state, &of) {
            (Some("failed"), _) | (None, Of::Time { .. }) => Some(DeliveryState::Failed),
            (Some("delivered"), _) => Some(DeliveryState::Delivered),
            (Some(_), _) | (None, Of::Event(_) | Of::Bot(_)) => None,
        };
        problems.none_or(Self { of, endpoint, state, cursor })
    }

    fn takes(&self, delivery: &Delivery) -> bool {
        let state = delivery.status.state();
        self.state.is_none_or(|wanted| state == wanted) && self.endpoint.is_none_or(|id| delivery.endpoint == Some(id))
    }

    /// What is to be looked at, and where to go on.
    async fn find(&self, state: &ApiState, tenant: &TenantId) -> Result<(Vec<Delivery>, Option<String>), ApiError> {
        match &self.of {
            Of::Event(id) => self.batch(of_event(state, tenant, id).await?),
            Of::Bot(bot) => {
                let mut found = state.store.deliveries(*bot).await?;
                found.retain(|delivery| delivery.tenant == *tenant);
                if found.is_empty() && state.store.get_owned(tenant, *bot).await?.is_none() {
                    return Err(ApiError::no_such_bot());
                }
                self.batch(found)
            }
            Of::Time { from, to } => {
                let query = LedgerQuery {
                    state: self.state,
                    endpoint: self.endpoint,
                    event: None,
                    from: Some(*from),
                    to: *to,
                    cursor: self.cursor.clone(),
                    limit: BATCH,
                };
                let page = state.store.ledger(tenant, &query).await?;
                Ok((page.deliveries, page.next))
            }
        }
    }

    /// Those after the cursor, in the order of their ids.
    fn batch(&self, mut found: Vec<Delivery>) -> Result<(Vec<Delivery>, Option<String>), ApiError> {
        let after: Option<u64> = self
            .cursor
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| ApiError::bad_request("cursor: expected the next_cursor of this replay"))?;
        found.retain(|delivery| self.takes(delivery) && after.is_none_or(|after| delivery.id > after));
        found.sort_by_key(|delivery| delivery.id);
        let more = found.len() > BATCH as usize;
        found.truncate(BATCH as usize);
        let next = found.last().filter(|_| more).map(|last| last.id.to_string());
        Ok((found, next))
    }
}
