//! What a bot process is told.

use muster_hooks::guard::is_loopback;
use muster_session::Session;
use muster_session::leave::LeavePolicy;
use muster_session::protocol::{BotSpec, SpeechSpec};

use super::WorkerSetup;

/// Of this session. None without a pack for its platform.
pub(super) fn spec(setup: &WorkerSetup, session: &Session) -> Option<BotSpec> {
    let pack = setup.packs.source(&session.meeting.platform)?.to_owned();
    let loopback = is_loopback(&session.meeting.join_url);
    let streaming = session.media.streaming.as_ref();
    let speech = streaming.and_then(|plan| setup.engines.choose(&session.tenant, plan));
    if let Some(plan) = streaming {
        let engine = speech.as_ref().map_or("none", SpeechSpec::name);
        tracing::info!(bot = %session.id, provider = plan.provider, engine, "live words");
    }
    Some(BotSpec {
        bot: session.id,
        tenant: session.tenant.clone(),
        attempt: session.attempt,
        meeting: session.meeting.clone(),
        bot_name: session.bot_name.clone(),
        leave: what_is_left(session),
        media: session.media.clone(),
        custom_attributes: session.custom_attributes.clone(),
        pack,
        storage: setup.storage.clone(),
        segment_seconds: u32::try_from(setup.config.segment.as_secs()).unwrap_or(5).max(1),
        browser: muster_session::protocol::BrowserSpec {
            executable: setup.browser.executable.clone(),
            extra_args: setup.browser.extra_args.clone(),
            allow_loopback: loopback,
            profile_root: Some(setup.profile_root.clone()),
        },
        speech,
        allow_private: setup.allow_private.clone(),
        join_timeout_ms: u64::try_from(setup.config.join_timeout.as_millis()).unwrap_or(u64::MAX),
        capture_timeout_ms: u64::try_from(setup.config.capture_timeout.as_millis()).unwrap_or(u64::MAX),
        held_until: session.lease_until().filter(|_| setup.shared),
        simulated: setup.config.simulated,
    })
}

/// The leave rules, with the longest stay less by what a bot that comes back has used of it.
fn what_is_left(session: &Session) -> LeavePolicy {
    let mut leave = session.leave.clone();
    if let Some(admitted) = session.admitted_at {
        let used = u32::try_from(session.since.since(admitted).as_secs()).unwrap_or(u32::MAX);
        leave.in_call_recording_timeout = leave.in_call_recording_timeout.saturating_sub(used).max(1);
    }
    leave
}
