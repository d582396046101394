//! Makes one transcript: of the recorded audio, or of the words that were recognised during the call.

use futures_util::stream::{self, Stream, StreamExt as _};
use muster_recording::Manifest;
use muster_session::{Session, TranscriptId, TranscriptRecord};
use muster_transcript::document::{TrackAudio, Transcript, from_said, to_meetstream, to_raw, transcribe_tracks};
use muster_transcript::live::Said;
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
            Self::Speech(error) => !error.is_transient(),
            Self::Recording(_) | Self::Store(_) => false,
        }
    }

    /// True when the storage or the recogniser is away, and it is worth to wait for it.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Speech(error) => error.is_transient(),
            Self::Recording(error) => error.is_transient(),
            Self::Store(error) => muster_recording::storage::is_transient(error),
            Self::NoSpeech { .. } | Self::NoWords | Self::Incomplete(_) | Self::NotRecorded(_) => false,
        }
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
            let speech = muster_transcript::speech::open(&spec)?;
            // The language is among the engine's settings already.
            transcribe_tracks(parts(setup, manifest), speech.as_ref(), None).await?
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
