//! Who is asking.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use muster_session::{BotId, Session, State, TenantId};

use super::error::ApiError;
use super::rate::Counted;
use super::state::ApiState;
use crate::keys;

/// The tenant of the request's API key. `Authorization: Token <key>` and nothing else: a `Bearer` is no key at all
/// (401), a wrong key is refused (403).
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let key = token(parts).ok_or_else(|| {
            ApiError::new(StatusCode::UNAUTHORIZED, "No API key: send the header `Authorization: Token <key>`")
        })?;
        Self::with_key(key, parts, state).await
    }
}

impl Caller {
    async fn with_key(key: &str, parts: &Parts, state: &ApiState) -> Result<Self, ApiError> {
        let known = match key.len() {
            0..=keys::MAX_BYTES => state.store.key_by_hash(&keys::hash(key)).await?,
            _ => None,
        };
        let Some(known) = known else {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "The API key is not valid"));
        };
        if let Some(counted) = parts.extensions.get::<Counted>() {
            counted.count(&state.rates, &known.tenant)?;
        }
        Ok(Self { tenant: known.tenant })
    }
}

/// Whoever runs this installation: a key of the tenant `default`, which the first start makes. Other tenants' keys are refused
/// (403): workers are common to all of them, and so are keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

impl FromRequestParts<ApiState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Self::judge(&caller)
    }
}

impl Operator {
    fn judge(caller: &Caller) -> Result<Self, ApiError> {
        if caller.tenant.as_str() != keys::DEFAULT_TENANT {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "This is for the operator: a key of the tenant `default`",
            ));
        }
        Ok(Self)
    }
}

/// The operator, or a program of theirs that sends the key in a header of its own, as KEDA does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurer;

/// What KEDA's `metrics-api` calls it unless it is told otherwise.
const KEY_HEADER: &str = "x-api-key";

impl FromRequestParts<ApiState> for Measurer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let key = parts.headers.get(KEY_HEADER).and_then(|key| key.to_str().ok());
        match key.map(str::trim).filter(|key| !key.is_empty()) {
            Some(key) => Operator::judge(&Caller::with_key(key, parts, state).await?)?,
            None => Operator::from_request_parts(parts, state).await?,
        };
        Ok(Self)
    }
}

fn token(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = header.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("token") && !key.is_empty()).then_some(key)
}

/// The caller and the bot of the path, which is the caller's own: another tenant's bot is as unknown as no bot.
#[derive(Debug)]
pub(crate) struct OwnBot(pub(crate) Session);

impl FromRequestParts<ApiState> for OwnBot {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::no_such_bot())?;
        let id: BotId = id.parse().map_err(|_| ApiError::no_such_bot())?;
        let session = state.store.get_owned(&caller.tenant, id).await?;
        session.map(Self).ok_or_else(ApiError::no_such_bot)
    }
}

impl OwnBot {
    /// The session, if what was captured of it is still there.
    pub(crate) fn with_media(self) -> Result<Session, ApiError> {
        match self.0.state {
            State::MediaExpired => Err(ApiError::gone("The data of this bot was deleted")),
            _ => Ok(self.0),
        }
    }
}
