//! `[hooks]` and `[tenants.NAME.hooks]`: webhooks, and which addresses a customer may name.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_session::TenantId;

use super::reader::Reader;

/// `[hooks]`. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct HooksConfig {
    /// CIDR ranges that customer URLs may reach although they are private.
    pub allow_private: Vec<String>,
    /// Sign webhooks to addresses of bots' own, if set: the newest first, separated by blanks.
    pub signing_secret: Option<String>,
    /// `[tenants.NAME.hooks]`: the same for one tenant.
    pub tenant_secrets: BTreeMap<TenantId, String>,
    /// Longest wait for a receiver.
    pub timeout: Duration,
    /// Attempts at a time that have not taken a second yet.
    pub concurrency: u32,
    /// An endpoint that fails for so long is disabled.
    pub disable_after: Duration,
}

impl std::fmt::Debug for HooksConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HooksConfig")
            .field("allow_private", &self.allow_private)
            .field("tenants", &self.tenant_secrets.keys())
            .finish_non_exhaustive()
    }
}

impl HooksConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            allow_private: r.list("hooks.allow_private", "CIDR ranges that customer URLs may reach although they are private, such as 127.0.0.0/8."),
            signing_secret: r.secret("hooks.signing_secret", "Signs webhooks that go to a `callback_url` (Standard Webhooks, whsec_…). Several, separated by blanks: the newest first, then those that are being rotated out. Endpoints have secrets of their own."),
            timeout: r.duration("hooks.timeout", "10s", "1s", "1m", "Longest wait for a webhook receiver."),
            concurrency: r.integer("hooks.concurrency", 256, 1, 4_096, "Webhook attempts at a time, a quarter of them to one host at most. Those that have taken more than a second are not counted; of these there can be four times as many."),
            disable_after: r.duration("hooks.disable_after", "5d", "1h", "30d", "An endpoint that no webhook has reached for so long is disabled, and the tenant's other endpoints are told."),
            tenant_secrets: tenants(r),
        }
    }

    pub(super) fn cross_check(&self, r: &mut Reader<'_>) {
        for range in &self.allow_private {
            if let Err(error) = muster_hooks::guard::Policy::new([range.as_str()]) {
                r.problem(format!("hooks.allow_private: {error}"));
            }
        }
    }
}

fn tenants(r: &mut Reader<'_>) -> BTreeMap<TenantId, String> {
    r.document(
        "tenants.NAME.hooks.signing_secret",
        "For the tenant NAME, instead of hooks.signing_secret, so that it does not know what signs the webhooks of others.",
    );
    let mut tenants = BTreeMap::new();
    for name in r.tenants("hooks") {
        if let Some(secret) = r.secret_of(["tenants", &name, "hooks", "signing_secret"]) {
            tenants.insert(TenantId::new(name), secret);
        }
    }
    tenants
}
