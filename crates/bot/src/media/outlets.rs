//! Where the audio of a call goes, checked before the call begins.

use std::sync::Arc;

use muster_hooks::client::{GuardedClient, Limits};
use muster_hooks::guard::Policy;
use muster_recording::storage;
use muster_session::EndReason;
use muster_session::protocol::BotSpec;
use muster_transcript::listen::Pace;
use muster_transcript::live::LiveSettings;
use muster_transcript::speech::{self, SpeechToText};
use object_store::ObjectStore;

use crate::call::End;
use crate::live_audio;

/// Everything that is needed to begin at the moment of admission.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) live_audio: Option<live_audio::Settings>,
    pub(super) words: Option<WordsOutlet>,
}

/// For live words.
#[derive(Debug)]
pub(super) struct WordsOutlet {
    pub(super) settings: LiveSettings,
    pub(super) speech: Arc<dyn SpeechToText>,
}

impl Outlets {
    /// Prepares everything and connects nothing. What is wrong with the settings is found here, before anybody is
    /// bothered by a bot that cannot work.
    pub(crate) fn prepare(spec: &BotSpec) -> Result<Self, End> {
        let fail =
            |what: &str, error: &dyn std::fmt::Display| End::new(EndReason::Internal, format!("{what}: {error}"));
        let store = storage::open(&spec.storage).map_err(|error| fail("the storage cannot be used", &error))?;
        let policy = Policy::new(spec.allow_private.iter().map(String::as_str))
            .map_err(|error| fail("the list of allowed private addresses is wrong", &error))?;
        let live_audio = spec.media.live_audio.clone().map(|url| live_audio::Settings {
            bot: spec.bot,
            url,
            policy: policy.clone(),
        });
        let words = words(spec, policy).map_err(|error| fail("live transcription cannot be set up", &error))?;
        Ok(Self { store, live_audio, words })
    }
}

/// For live words, if they are to be posted or recorded.
fn words(spec: &BotSpec, policy: Policy) -> Result<Option<WordsOutlet>, Box<dyn std::error::Error>> {
    let wanted = spec.media.live_transcription.is_some() || spec.media.streaming.is_some();
    let Some(recogniser) = spec.speech.as_ref().filter(|_| wanted) else { return Ok(None) };
    let speech = speech::open(recogniser)?;
    let webhook = match &spec.media.live_transcription {
        Some(url) => Some((url.clone(), GuardedClient::new(policy, Limits::default())?)),
        None => None,
    };
    let settings = LiveSettings {
        bot: spec.bot,
        custom_attributes: spec.custom_attributes.clone(),
        webhook,
        language: language(spec),
        pace: Pace::default(),
    };
    Ok(Some(WordsOutlet { settings, speech }))
}

/// The language that the plan for live words asks for; `auto` asks for none.
fn language(spec: &BotSpec) -> Option<String> {
    let options = &spec.media.streaming.as_ref()?.options;
    options.get("language")?.as_str().filter(|language| *language != "auto").map(str::to_owned)
}
