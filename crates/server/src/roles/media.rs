//! Finalises recordings and makes transcripts, after the call and away from the bot.
//!
//! The work is idempotent and its results are committed one artifact at a time, so a process that dies here only makes
//! the queue hand the job to another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_queue::JobDelivery;
use muster_recording::{Finalised, Manifest};
use muster_session::job::{Job, Topic};
use muster_session::{ArtifactKind, ArtifactState, BotId, Input, Session, State, TranscriptId, TranscriptRecord};
use muster_transcript::document::{TrackAudio, Transcript, to_meetstream, to_raw, transcribe_tracks};
use muster_transcript::speech::SpeechToText;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{ApplyError, Backend};
use crate::recordings;
use crate::supervise::Shutdown;

/// The job is held for this long at a time while the work goes on.
const LEASE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(20);
/// Pause before another try at what failed.
const RETRY: Duration = Duration::from_secs(5);
/// After this many receives a failure is final.
const MAX_RECEIVES: u32 = 4;

/// Everything this role needs besides the backend.
#[derive(Clone, Debug)]
pub struct MediaSetup {
    /// Where recordings are.
    pub storage: Arc<dyn ObjectStore>,
    /// Speech to text, if configured.
    pub speech: Option<Arc<dyn SpeechToText>>,
    /// Jobs at a time.
    pub concurrency: usize,
}

/// Runs until shutdown; running jobs are finished first.
pub async fn run(backend: Backend, setup: MediaSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(setup.concurrency));
    let mut jobs = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = slots.clone().acquire_owned() => permit.context("the slots are never closed")?,
            () = shutdown.ended() => break,
        };
        while jobs.try_join_next().is_some() {}
        let received = tokio::select! {
            received = backend.queue.receive(Topic::Media, 1, LEASE, WAIT) => received.context("receiving media jobs")?,
            () = shutdown.ended() => break,
        };
        let Some(delivery) = received.into_iter().next() else { continue };
        let (backend, setup) = (backend.clone(), setup.clone());
        jobs.spawn(async move {
            settle(&backend, &setup, delivery).await;
            drop(permit);
        });
    }
    while jobs.join_next().await.is_some() {}
    Ok(())
}

/// Does one job while keeping its message, then settles the message.
async fn settle(backend: &Backend, setup: &MediaSetup, delivery: JobDelivery) {
    let bot = delivery.job.bot();
    if delivery.receives > MAX_RECEIVES {
        return set_aside(backend, &delivery).await;
    }
    let last = delivery.receives >= MAX_RECEIVES;
    let work = step(backend, setup, &delivery.job, last);
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(LEASE / 3);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => if let Err(error) = backend.queue.extend(&delivery.receipt, LEASE).await {
                tracing::warn!(%bot, %error, "could not extend a media job");
            }
        }
    };
    let settled = match result {
        Ok(()) => backend.queue.ack(&delivery.receipt).await,
        Err(error) if last => {
            tracing::error!(%bot, error = format!("{error:#}"), "a media job failed for good");
            backend.queue.dead_letter(&delivery.receipt, &format!("{error:#}")).await
        }
        Err(error) => {
            tracing::warn!(%bot, error = format!("{error:#}"), "a media job failed; it will be tried again");
            backend.queue.release(&delivery.receipt, RETRY).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%bot, %error, "a media job could not be settled; it will come again");
    }
}

/// A job that never came back from its last try ends the process that does it. The session's deadline settles what it owed.
async fn set_aside(backend: &Backend, delivery: &JobDelivery) {
    let reason = "the process ended each time this was tried";
    if let Job::Transcribe { bot, transcript } = delivery.job {
        let input = Input::SettleTranscript { id: transcript, result: Err(reason.to_owned()) };
        if let Err(error) = backend.apply(bot, input).await {
            tracing::warn!(%bot, %error, "a transcript could not be settled as failed");
        }
    }
    if let Err(error) = backend.queue.dead_letter(&delivery.receipt, reason).await {
        tracing::warn!(%error, "a media job could not be set aside; it will come again");
    }
}

/// The work of one job. `last` turns failures of the work itself into settled, failed artifacts.
pub async fn step(backend: &Backend, setup: &MediaSetup, job: &Job, last: bool) -> anyhow::Result<()> {
    let Some(session) = backend.store.get(job.bot()).await.context("reading the session")? else { return Ok(()) };
    match job {
        Job::Process { bot } if session.state == State::Processing => {
            process(backend, setup, *bot, session, last).await
        }
        Job::Transcribe { transcript, .. } => transcribe_again(backend, setup, session, *transcript, last).await,
        _ => Ok(()),
    }
}

async fn process(
    backend: &Backend,
    setup: &MediaSetup,
    bot: BotId,
    session: Session,
    last: bool,
) -> anyhow::Result<()> {
    let prefix = recordings::prefix(&session.tenant, bot);
    let finalised = match muster_recording::finalise(&setup.storage, &prefix).await {
        Ok(finalised) => Some(finalised),
        Err(muster_recording::Error::Empty) => None,
        Err(error) if last => {
            let state = ArtifactState::Failed { message: format!("the recording could not be finalised: {error}") };
            for kind in [ArtifactKind::Manifest, ArtifactKind::Audio, ArtifactKind::Transcript] {
                put(backend, bot, kind, state.clone()).await?;
            }
            return Ok(());
        }
        Err(error) => return Err(error).context("finalising the recording"),
    };
    let Some(Finalised { manifest, .. }) = finalised else {
        let state = ArtifactState::Failed { message: "nothing was recorded".to_owned() };
        for kind in [ArtifactKind::Manifest, ArtifactKind::Audio, ArtifactKind::Transcript] {
            put(backend, bot, kind, state.clone()).await?;
        }
        return Ok(());
    };
    put(backend, bot, ArtifactKind::Manifest, ArtifactState::Ready).await?;
    put(backend, bot, ArtifactKind::Audio, ArtifactState::Ready).await?;
    if let Some(record) = session.transcript().cloned() {
        let state = match transcribe(setup, &session, &record, &manifest).await {
            Ok(()) => ArtifactState::Ready,
            Err(error) if last || error.is_final() => ArtifactState::Failed { message: error.to_string() },
            Err(error) => return Err(error).context("transcribing"),
        };
        put(backend, bot, ArtifactKind::Transcript, state).await?;
    }
    Ok(())
}

/// Settles one artifact. One that is settled already, or not owed, stays as it is.
async fn put(backend: &Backend, bot: BotId, kind: ArtifactKind, state: ArtifactState) -> anyhow::Result<()> {
    match backend.apply(bot, Input::Settle { kind, state }).await {
        Ok(_) | Err(ApplyError::Rejected(_) | ApplyError::Missing) => Ok(()),
        Err(error) => Err(error).context("settling an artifact"),
    }
}

async fn transcribe_again(
    backend: &Backend,
    setup: &MediaSetup,
    session: Session,
    id: TranscriptId,
    last: bool,
) -> anyhow::Result<()> {
    let Some(record) = session.transcripts.iter().find(|t| t.id == id).cloned() else { return Ok(()) };
    let prefix = recordings::prefix(&session.tenant, session.id);
    let made = match muster_recording::load_manifest(&setup.storage, &prefix).await {
        Ok(manifest) => transcribe(setup, &session, &record, &manifest).await,
        Err(error) => Err(TranscribeError::Recording(error)),
    };
    let result = match made {
        Ok(()) => Ok(()),
        Err(error) if last || error.is_final() => Err(error.to_string()),
        Err(error) => return Err(error).context("transcribing"),
    };
    match backend.apply(session.id, Input::SettleTranscript { id, result }).await {
        Ok(_) | Err(ApplyError::Rejected(_) | ApplyError::Missing) => Ok(()),
        Err(error) => Err(error).context("settling a transcript"),
    }
}

/// Why there is no transcript.
#[derive(Debug, thiserror::Error)]
enum TranscribeError {
    #[error("no speech-to-text server is configured (set transcription.url)")]
    NoSpeech,
    #[error("speech to text failed: {0}")]
    Speech(#[from] muster_transcript::speech::Error),
    #[error("the recording cannot be read: {0}")]
    Recording(#[from] muster_recording::Error),
    #[error("the transcript cannot be stored: {0}")]
    Store(#[from] object_store::Error),
}

impl TranscribeError {
    /// True when another try cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::NoSpeech => true,
            Self::Speech(error) => !error.is_transient(),
            Self::Recording(_) | Self::Store(_) => false,
        }
    }
}

async fn transcribe(
    setup: &MediaSetup,
    session: &Session,
    record: &TranscriptRecord,
    manifest: &Manifest,
) -> Result<(), TranscribeError> {
    let speech = setup.speech.as_ref().ok_or(TranscribeError::NoSpeech)?;
    let mut tracks = Vec::new();
    for participant in &manifest.participants {
        for segment in participant.streams.iter().flat_map(|stream| &stream.segments) {
            let pcm16k = muster_recording::read_audio_16k(&setup.storage, &segment.path).await?;
            tracks.push(TrackAudio {
                speaker_id: participant.id.clone(),
                speaker: participant.name.clone(),
                start_ms: segment.start_ms,
                pcm16k,
            });
        }
    }
    let language = record.plan.options.get("language").and_then(serde_json::Value::as_str).filter(|l| *l != "auto");
    let transcript: Transcript = transcribe_tracks(tracks, speech.as_ref(), language).await?;
    let started = session.admitted_at.unwrap_or(session.created_at);
    let started = manifest.started_at.unwrap_or(started);
    let paths = recordings::transcript_paths(&session.tenant, session.id, record.id);
    let processed = to_meetstream(&transcript, started);
    let raw = to_raw(&transcript, record.id, started);
    for (path, value) in [(paths.processed, processed), (paths.raw, raw)] {
        setup.storage.put(&path, PutPayload::from(value.to_string())).await?;
    }
    Ok(())
}
