//! Makes one transcript: of the recorded audio, or of the words that were recognised during the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::stream::{self, Stream, StreamExt as _};
use muster_recording::Manifest;
use muster_session::{Session, TranscriptId, TranscriptRecord};
use muster_transcript::document::{TrackAudio, Transcript, from_said, to_meetstream, to_raw, transcribe_tracks};
use muster_transcript::listen::{Listening, Pace};
use muster_transcript::live::Said;
use muster_transcript::speech::{self, Recognised, SpeechToText};
use object_store::{ObjectStoreExt as _, PutPayload};
use serde::Deserialize as _;

use super::MediaSetup;
use crate::recordings;

/// The kind under which a bot notes what was said.
const WORDS: &str = "words";
/// The kind under which a bot notes how much speech became no words.
const WORDS_LOST: &str = "words_lost";
/// Shorter speech may be a noise with no word in it.
const SPOKEN_MS: u64 = 2_000;

/// Why there is no transcript.
#[derive(Debug, thiserror::Error)]
pub(super) enum TranscribeError {
    #[error("no speech-to-text is configured for {provider} (set transcription.url, or a key of the provider)")]
    NoSpeech { provider: String },
    #[error("no words came from the recogniser during the call, although somebody spoke")]
    NoWords,
    #[error("words were lost during the call ({0}), and no speech-to-text is configured to make them of the recording")]
    Incomplete(Missing),
    #[error("{0} ms of what was said are neither in the participants' own audio nor in the mix")]
    NotRecorded(u64),
    #[error("speech to text failed: {0}")]
    Speech(#[from] muster_transcript::speech::Error),
    /// It answered for some of the recording, all of which is sent again at the next try: a few times, and not for hours.
    #[error("speech to text failed: {0}")]
    Partway(muster_transcript::speech::Error),
    #[error("the recording cannot be read: {0}")]
    Recording(#[from] muster_recording::Error),
    #[error("the transcript cannot be stored: {0}")]
    Store(#[from] object_store::Error),
}

impl TranscribeError {
    /// True when another try cannot help.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::NoSpeech { .. } | Self::NoWords | Self::Incomplete(_) | Self::NotRecorded(_) => true,
            Self::Speech(error) | Self::Partway(error) => !error.is_transient(),
            Self::Recording(_) | Self::Store(_) => false,
        }
    }

    /// True when the storage or the recogniser is away, and it is worth to wait for it.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Speech(error) => error.is_transient(),
            Self::Recording(error) => error.is_transient(),
            Self::Store(error) => muster_recording::storage::is_transient(error),
            Self::NoSpeech { .. } | Self::NoWords | Self::Incomplete(_) | Self::NotRecorded(_) | Self::Partway(_) => {
                false
            }
        }
    }
}

/// A recogniser, and whether it answered.
#[derive(Debug)]
struct Heeded {
    speech: Arc<dyn SpeechToText>,
    answered: AtomicBool,
}

impl Heeded {
    fn judge(&self, error: TranscribeError) -> TranscribeError {
        match error {
            TranscribeError::Speech(error) if self.answered.load(Ordering::Relaxed) => TranscribeError::Partway(error),
            other => other,
        }
    }
}

#[async_trait]
impl SpeechToText for Heeded {
    async fn transcribe(&self, pcm16k: &[i16], language: Option<&str>) -> Result<Recognised, speech::Error> {
        let recognised = self.speech.transcribe(pcm16k, language).await;
        self.answered.fetch_or(recognised.is_ok(), Ordering::Relaxed);
        recognised
    }

    fn listen(self: Arc<Self>, language: Option<String>, pace: Pace) -> Listening {
        Arc::clone(&self.speech).listen(language, pace)
    }
}

/// Makes a transcript of a finalised recording and stores its two forms.
pub(super) async fn make(
    setup: &MediaSetup,
    session: &Session,
    record: &TranscriptRecord,
    manifest: &Manifest,
) -> Result<(), TranscribeError> {
    let spec = setup.engines.choose(&session.tenant, &record.plan);
    let engine = spec.as_ref().map(muster_session::protocol::SpeechSpec::name);
    let own = session.transcript().is_some_and(|own| own.id == record.id);
    let live = own && session.media.transcript.is_none();
    tracing::info!(bot = %session.id, transcript = %record.id, provider = record.plan.provider, engine, live, "transcribing");
    let missing = || TranscribeError::NoSpeech { provider: record.plan.provider.clone() };
    let heard =
        if live { of_words(setup, session, manifest, engine.ok_or_else(missing).map(drop)).await? } else { None };
    let transcript = match (heard, spec) {
        (Some(Heard::All(transcript)), _) => transcript,
        (Some(Heard::Not(lost)), None) => return Err(TranscribeError::Incomplete(lost)),
        (None, None) => return Err(missing()),
        (_, Some(_)) if manifest.lost_ms > SPOKEN_MS => return Err(TranscribeError::NotRecorded(manifest.lost_ms)),
        (_, Some(spec)) => {
            let speech = Heeded { speech: speech::open(&spec)?, answered: AtomicBool::new(false) };
            // The language is among the engine's settings already.
            let made = transcribe_tracks(parts(setup, manifest), &speech, None).await;
            made.map_err(|error| speech.judge(error))?
        }
    };
    let started = manifest.started_at.or(session.admitted_at).unwrap_or(session.created_at);
    let paths = recordings::transcript_paths(&session.tenant, session.id, record.id);
    let processed = to_meetstream(&transcript, started);
    let mut raw = to_raw(&transcript, record.id, started);
    if let Some(raw) = raw.as_object_mut() {
        raw.insert("provider".to_owned(), record.plan.provider.clone().into());
        raw.insert("engine".to_owned(), engine.into());
    }
    for (path, value) in [(paths.processed, processed), (paths.raw, raw)] {
        setup.storage.put(&path, PutPayload::from(value.to_string())).await?;
    }
    Ok(())
}

/// Deletes the two forms of a transcript, as far as they are there.
pub(super) async fn discard(
    setup: &MediaSetup,
    session: &Session,
    id: TranscriptId,
) -> Result<(), object_store::Error> {
    let paths = recordings::transcript_paths(&session.tenant, session.id, id);
    for path in [paths.processed, paths.raw] {
        match setup.storage.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What was heard during the call.
enum Heard {
    /// All of it.
    All(Transcript),
    /// Known not to be all.
    Not(Missing),
}

/// What is known to be missing from the words that were noted during a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Speech that became no words.
    ms: u64,
    /// Phrases that cannot be read.
    phrases: u64,
    /// Files of notes that are missing or cannot be read: a bot that was killed leaves one at least.
    files: u64,
}

impl Missing {
    /// True if it may be worth a sentence.
    const fn matters(self) -> bool {
        self.ms > SPOKEN_MS || self.phrases > 0 || self.files > 0
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ms, phrases, files } = self;
        write!(
            f,
            "{ms} ms not recognised, {phrases} phrases not readable, {files} files of notes missing or not readable"
        )
    }
}

/// The words that were noted during the call: the same that were posted, none recognised again.
async fn of_words(
    setup: &MediaSetup,
    session: &Session,
    manifest: &Manifest,
    configured: Result<(), TranscribeError>,
) -> Result<Option<Heard>, TranscribeError> {
    let prefix = recordings::prefix(&session.tenant, session.id);
    let notes = muster_recording::read_notes(&setup.storage, &prefix, WORDS).await?;
    let mut lost = Missing { files: manifest.notes_skipped, ..Missing::default() };
    let mut said = Vec::with_capacity(notes.len());
    for note in notes {
        match Said::deserialize(&note.data) {
            Ok(phrase) => said.push(phrase),
            Err(_) => lost.phrases += 1,
        }
    }
    for note in muster_recording::read_notes(&setup.storage, &prefix, WORDS_LOST).await? {
        lost.ms = lost.ms.saturating_add(note.data["ms"].as_u64().unwrap_or_default());
    }
    if lost.matters() {
        tracing::warn!(bot = %session.id, %lost, "words were lost during the call; the recording is recognised instead");
        return Ok(Some(Heard::Not(lost)));
    }
    if said.is_empty() {
        let spoken_ms: u64 = manifest.speakers.iter().map(|span| span.end_ms.saturating_sub(span.start_ms)).sum();
        configured?;
        if spoken_ms >= SPOKEN_MS {
            return Err(TranscribeError::NoWords);
        }
    }
    let started_at = manifest.started_at.or(session.admitted_at).unwrap_or(session.created_at);
    Ok(Some(Heard::All(from_said(said, started_at.as_millis(), manifest.duration_ms))))
}

/// What every participant said, file by file, each read when it is asked for: their own audio, then the mix where there
/// is none.
fn parts(
    setup: &MediaSetup,
    manifest: &Manifest,
) -> impl Stream<Item = Result<TrackAudio, TranscribeError>> + Send + use<> {
    let mut files = Vec::new();
    for participant in manifest.participants.iter().chain(&manifest.mix_only) {
        let mut own: Vec<_> = participant.streams.iter().flat_map(|stream| stream.segments.iter().cloned()).collect();
        own.sort_by_key(|segment| segment.start_ms);
        files.extend(own.into_iter().map(|segment| (participant.id.clone(), participant.name.clone(), segment)));
    }
    let storage = setup.storage.clone();
    stream::iter(files).then(move |(speaker_id, speaker, segment)| {
        let storage = storage.clone();
        async move {
            let pcm16k = muster_recording::read_audio_16k(&storage, &segment.path).await?;
            Ok(TrackAudio { speaker_id, speaker, start_ms: segment.start_ms, pcm16k })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers pieces that have sound, and is away for the others.
    #[derive(Debug)]
    struct Half;

    #[async_trait]
    impl SpeechToText for Half {
        async fn transcribe(&self, pcm16k: &[i16], _: Option<&str>) -> Result<Recognised, speech::Error> {
            match pcm16k {
                [] => Err(speech::Error::Unavailable { detail: "503".to_owned(), source: None }),
                _ => Ok(Recognised::default()),
            }
        }

        fn listen(self: Arc<Self>, _: Option<String>, _: Pace) -> Listening {
            unreachable!("nobody speaks")
        }
    }

    #[tokio::test]
    async fn who_answers_for_some_of_a_recording_is_not_asked_for_hours_for_all_of_it() {
        let speech = Heeded { speech: Arc::new(Half), answered: AtomicBool::new(false) };
        let away = async || speech.judge(speech.transcribe(&[], None).await.unwrap_err().into());
        assert!(away().await.is_transient() && !away().await.is_final());
        speech.transcribe(&[1], None).await.unwrap();
        let partway = away().await;
        assert!(!partway.is_transient() && !partway.is_final(), "a few tries: {partway:?}");
        let rejected = speech::Error::Rejected { status: 400, detail: String::new() };
        assert!(speech.judge(rejected.into()).is_final());
    }
}
