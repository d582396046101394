//! The OpenAPI document, made from the handlers. `docs/openapi.json` is its checked-in copy.

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};

pub(crate) mod requests;
pub(crate) mod responses;

const SCHEME: &str = "token";

const DESCRIPTION: &str = "Meeting bots over HTTP. The paths, bodies and status codes are those of MeetStream's API, so \
its clients run unchanged with another base URL. Every error body is `{\"message\"}`; every answer carries \
`x-request-id` (yours, if you send one). 429 and 503 carry `Retry-After`. **507 on create is a success**: the replay of an \
idempotent call. Endpoints tagged `extensions` are Muster's own.";

/// What is true of the whole API; the routes add themselves.
pub(crate) fn base() -> OpenApi {
    let mut api = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Muster")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .build(),
        )
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .build();
    let header = ApiKeyValue::with_description("Authorization", "`Token <key>`; a `Bearer` is not accepted");
    api.components.get_or_insert_default().add_security_scheme(SCHEME, SecurityScheme::ApiKey(ApiKey::Header(header)));
    api
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "extensions", responses((status = 200)), security(()))]
pub(crate) async fn document() -> Json<OpenApi> {
    Json(super::openapi_document())
}
