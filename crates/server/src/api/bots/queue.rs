//! Where a bot is that waits to be run.

use muster_fleet::fair::Outlook;
use muster_session::{Session, State as At};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::super::rate::seconds;
use super::super::state::ApiState;

/// Where a bot is that waits to be run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuePlace {
    /// `place` while the bot waits in line, for a call to end or the fleet to grow; `worker` once it is on its way.
    waits_for: &'static str,
    /// 1 is next.
    position: u64,
    /// Bots that come first, of this tenant and of others, if nobody comes or goes; of one that waits for a worker, at most.
    ahead: u64,
    /// Until it is this bot's turn, at a guess, by how long calls have lasted; null while there are no workers.
    eta_seconds: Option<u64>,
}

impl QueuePlace {
    /// None for a bot that does not wait, or not for our workers.
    pub(super) async fn of(state: &ApiState, session: &Session) -> Result<Option<Self>, ApiError> {
        if session.state != At::Queued || session.remote.is_some() {
            return Ok(None);
        }
        let tenant = &session.tenant;
        let before = match session.held {
            true => state.store.held_before(tenant, session.id).await?,
            false => None,
        };
        let (waits_for, Outlook { ahead, eta }) = state
            .line
            .ask(|standing, learned| match before {
                Some(before) => ("place", standing.line.outlook(tenant, before, standing.running, learned.stay())),
                None => ("worker", standing.line.outlook_queued(standing.running, learned.stay())),
            })
            .await?;
        Ok(Some(Self { waits_for, position: ahead + 1, ahead, eta_seconds: eta.map(seconds) }))
    }
}
