//! How far this machine's clock is from that of a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;

/// `Date` counts whole seconds, cut off: the middle of the one that it names.
const HALF_A_SECOND_MS: i64 = 500;
const UNKNOWN: i64 = i64::MIN;

/// Notes what the answers of a service say of its clock. An interceptor for the configuration of a client; clones share
/// what they note.
#[derive(Clone, Debug)]
pub struct ServiceClock(Arc<AtomicI64>);

impl Default for ServiceClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl ServiceClock {
    /// Milliseconds that this machine's clock was ahead at the last answer, negative if it was behind; good to half a
    /// second and the way of the answer. None before the first answer that says the time.
    #[must_use]
    pub fn ahead_ms(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "note the service's clock"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(ahead) = context.response().and_then(ahead_ms) {
            self.0.store(ahead, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// For an answer that has just come.
pub(crate) fn ahead_ms(answer: &HttpResponse) -> Option<i64> {
    let said = DateTime::from_str(answer.headers().get("date")?, Format::HttpDate).ok()?.to_millis().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(now).ok().map(|now| now - said - HALF_A_SECOND_MS)
}

/// In words, after "the clock is".
pub(crate) fn words(ahead_ms: Option<i64>) -> String {
    let Some(ahead) = ahead_ms else { return "wrong".to_owned() };
    let side = if ahead < 0 { "behind" } else { "ahead" };
    format!("{} s {side}", ahead.unsigned_abs() / 1_000)
}
