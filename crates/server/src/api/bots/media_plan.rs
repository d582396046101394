//! What is to be captured, transcribed and sent where.

use std::time::Duration;

use muster_session::{MediaPlan, ParticipantHook, TranscriptPlan};
use serde_json::Value;

use super::super::fields::{Fields, Problems};
use super::request::Rules;

/// Providers of a transcript after the call.
const POST_CALL: [&str; 5] = ["deepgram", "assemblyai", "sarvam", "jigsawstack", "meetstream"];
/// Providers of live words.
const STREAMING: [&str; 5] =
    ["deepgram_streaming", "assemblyai_streaming", "jigsawstack_streaming", "meetstream_streaming", "meeting_captions"];
/// Longest retention that a request can ask for: ten years.
const RETENTION_HOURS_MAX: u32 = 87_600;
const REALTIME_ENDPOINTS_MAX: usize = 20;
const EVENTS: [&str; 2] = ["participant_events.join", "participant_events.leave"];

/// What `recording_config` and the `live_…` fields ask for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) media: MediaPlan,
    pub(super) retention: Option<Duration>,
}

/// Of a bot that runs `elsewhere`, speech is made into words there.
pub(super) fn read(request: &Fields<'_>, rules: &Rules<'_>, elsewhere: bool, problems: &mut Problems) -> Plan {
    let mut plan = Plan::default();
    // One stream per participant is always kept: transcripts are labelled by it.
    request.boolean("audio_separate_streams", problems);
    request.boolean("video_separate_streams", problems);
    if let Some(config) = request.object("recording_config", problems) {
        config.boolean("audio_separate_streams", problems);
        config.boolean("video_separate_streams", problems);
        config.choice("video_layout", &["speaker_view", "grid_view"], problems);
        plan.retention = retention(&config, problems);
        plan.media.participants = endpoints(&config, rules, problems);
        if let Some(transcript) = config.object("transcript", problems) {
            transcript.require("provider", "an object with one provider key", problems);
            let known = [&POST_CALL[..], &STREAMING[..]].concat();
            match provider(&transcript, &known, problems) {
                Some(found) if STREAMING.contains(&found.provider.as_str()) => plan.media.streaming = Some(found),
                found => plan.media.transcript = found,
            }
        }
    }
    if let Some(live) = request.object("live_audio_required", problems) {
        live.require("websocket_url", "a wss:// URL", problems);
        plan.media.live_audio = live.url("websocket_url", &["ws", "wss"], rules.guard, problems);
    }
    live_words(request, rules, elsewhere, &mut plan.media, problems);
    plan
}

fn live_words(
    request: &Fields<'_>,
    rules: &Rules<'_>,
    elsewhere: bool,
    media: &mut MediaPlan,
    problems: &mut Problems,
) {
    let Some(live) = request.object("live_transcription_required", problems) else { return };
    live.require("webhook_url", "an https:// URL", problems);
    media.live_transcription = live.url("webhook_url", &["http", "https"], rules.guard, problems);
    let Some(streaming) = &media.streaming else {
        let allowed = STREAMING.join(", ");
        problems.add(
            "live_transcription_required",
            format_args!("needs a streaming provider in recording_config.transcript.provider (one of {allowed})"),
        );
        return;
    };
    if !elsewhere && rules.engines.choose(rules.tenant, streaming).is_none() {
        // A transcript that cannot be made fails with an event that says so. Live words would just never come, so they
        // are refused here.
        problems.add(
            "live_transcription_required",
            format_args!(
                "this server has no speech-to-text configured for {} (transcription.url), so no live words can be sent",
                streaming.provider
            ),
        );
    }
}

/// The one key of `provider`, which must be among `known`.
fn provider(transcript: &Fields<'_>, known: &[&str], problems: &mut Problems) -> Option<TranscriptPlan> {
    let provider = transcript.object("provider", problems)?;
    let path = transcript.path("provider");
    let keys: Vec<&String> = provider.map().keys().collect();
    let [name] = keys[..] else {
        problems.add(&path, format_args!("expected exactly one provider key, got {}", keys.len()));
        return None;
    };
    if !known.contains(&name.as_str()) {
        let name: String = name.chars().take(40).collect();
        problems.add(&path, format_args!("expected one of {}, got {name:?}", known.join(", ")));
        return None;
    }
    let options = match provider.value(name) {
        None => Value::Object(serde_json::Map::new()),
        Some(Value::Object(options)) => Value::Object(options.clone()),
        Some(_) => {
            problems.add(&provider.path(name), "expected an object of options");
            return None;
        }
    };
    Some(TranscriptPlan { provider: name.clone(), options })
}

/// The provider of `POST transcribe`.
pub(in crate::api) fn post_call_provider(request: &Fields<'_>, problems: &mut Problems) -> Option<TranscriptPlan> {
    request.require("provider", "an object with one provider key", problems);
    provider(request, &POST_CALL, problems)
}

fn retention(config: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let retention = config.object("retention", problems)?;
    retention.choice("type", &["timed"], problems);
    retention.require("hours", "a number of hours", problems);
    let hours = retention.integer("hours", &(1..=RETENTION_HOURS_MAX), problems)?;
    Some(Duration::from_secs(u64::from(hours) * 3_600))
}

/// Who is told of people who come and go.
fn endpoints(config: &Fields<'_>, rules: &Rules<'_>, problems: &mut Problems) -> Vec<ParticipantHook> {
    let mut hooks = Vec::new();
    let items = config.array("realtime_endpoints", REALTIME_ENDPOINTS_MAX, problems).unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        let path = config.path(&format!("realtime_endpoints[{index}]"));
        let Some(endpoint) = Fields::at(path, item, problems) else { continue };
        endpoint.choice("type", &["webhook"], problems);
        endpoint.require("url", "an https:// URL", problems);
        let url = endpoint.url("url", &["http", "https"], rules.guard, problems);
        let events = endpoint.array("events", EVENTS.len(), problems).unwrap_or_default();
        if events.iter().any(|event| !event.as_str().is_some_and(|name| EVENTS.contains(&name))) {
            problems.add(&endpoint.path("events"), format_args!("expected only {}", EVENTS.join(", ")));
        }
        let [joins, leaves] = EVENTS.map(|name| events.is_empty() || events.iter().any(|event| event == name));
        hooks.extend(url.map(|url| ParticipantHook { url, joins, leaves }));
    }
    hooks
}
