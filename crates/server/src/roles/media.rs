//! Finalises recordings and makes transcripts, after the call and away from the bot.
//!
//! The work is idempotent and its results are committed one artifact at a time, so a process that dies here only makes
//! the queue hand the job to another.

mod transcribe;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use muster_recording::Finalised;
use muster_session::job::{Job, Topic};
use muster_session::{
    ArtifactKind, ArtifactState, BotId, Input, Session, State, TranscriptId, TranscriptRecord, TranscriptStatus,
};
use object_store::ObjectStore;

use super::jobs::{self, Work};
use super::{ApplyError, Backend};
use crate::engines::Engines;
use crate::recordings;
use crate::supervise::Shutdown;
use transcribe::TranscribeError;

/// How often a job under way is asked whether anybody still waits for it.
const WATCH: Duration = Duration::from_secs(20);

/// Everything this role needs besides the backend.
#[derive(Clone, Debug)]
pub struct MediaSetup {
    /// Where recordings are.
    pub storage: Arc<dyn ObjectStore>,
    /// Speech to text, as far as it is configured.
    pub engines: Arc<Engines>,
    /// Jobs at a time.
    pub concurrency: usize,
}

/// Runs until shutdown; running jobs are finished first.
pub async fn run(backend: Backend, setup: MediaSetup, shutdown: Shutdown) -> anyhow::Result<()> {
    jobs::run(backend, setup, shutdown).await
}

#[async_trait]
impl Work for MediaSetup {
    const TOPIC: Topic = Topic::Media;

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    async fn step(&self, backend: &Backend, job: &Job, last: bool) -> anyhow::Result<()> {
        step(backend, self, job, last).await
    }

    /// What a session owes is settled at its deadline.
    async fn give_up(&self, backend: &Backend, job: &Job, reason: &str) {
        let Job::Transcribe { bot, transcript } = *job else { return };
        let input = Input::SettleTranscript { id: transcript, result: Err(reason.to_owned()) };
        if let Err(error) = backend.apply(bot, input).await {
            tracing::warn!(%bot, %error, "a transcript could not be settled as failed");
        }
    }
}

/// The work of one job. `last` turns failures of the work itself into settled, failed artifacts.
pub async fn step(backend: &Backend, setup: &MediaSetup, job: &Job, last: bool) -> anyhow::Result<()> {
    let Some(session) = backend.store.get(job.bot()).await.context("reading the session")? else { return Ok(()) };
    if !wanted(&session, job) {
        return Ok(());
    }
    let work = async {
        match job {
            Job::Process { bot } => process(backend, setup, *bot, session.clone(), last).await,
            Job::Transcribe { transcript, .. } => {
                transcribe_again(backend, setup, session.clone(), *transcript, last).await
            }
            _ => Ok(()),
        }
    };
    let result = tokio::select! {
        biased;
        result = work => result,
        () = unwanted(backend, job) => {
            tracing::info!(bot = %session.id, "nobody waits for a media job any more; it is stopped");
            Ok(())
        }
    };
    sweep(backend, setup, &session, job).await;
    result
}

/// True while the session waits for the work of a job.
fn wanted(session: &Session, job: &Job) -> bool {
    match job {
        Job::Process { .. } => session.state == State::Processing,
        Job::Transcribe { transcript, .. } => {
            session.transcripts.iter().any(|t| t.id == *transcript && t.status == TranscriptStatus::Processing)
        }
        _ => false,
    }
}

/// Waits until the session does not wait for the work of a job any more.
async fn unwanted(backend: &Backend, job: &Job) {
    loop {
        tokio::time::sleep(WATCH).await;
        match backend.store.get(job.bot()).await {
            Ok(Some(session)) if wanted(&session, job) => {}
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "a session could not be read during its media job"),
        }
    }
}

/// Deletes what was stored of a transcript that came too late: nobody is told of it.
async fn sweep(backend: &Backend, setup: &MediaSetup, before: &Session, job: &Job) {
    let id = match job {
        Job::Transcribe { transcript, .. } => Some(*transcript),
        _ => before.transcript().map(|own| own.id),
    };
    let (Some(id), Ok(now)) = (id, backend.store.get(before.id).await) else { return };
    let record = now.as_ref().and_then(|now| now.transcripts.iter().find(|t| t.id == id));
    if record.is_some_and(|t| matches!(t.status, TranscriptStatus::Success | TranscriptStatus::Processing)) {
        return;
    }
    if let Err(error) = transcribe::discard(setup, before, id).await {
        tracing::warn!(bot = %before.id, transcript = %id, %error, "a transcript that came too late is left behind");
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
    let own = session.transcript().filter(|own| own.status == TranscriptStatus::Processing).cloned();
    if let Some(record) = own {
        let state = match transcribe::make(setup, &session, &record, &manifest).await {
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
    let wanted = |t: &&TranscriptRecord| t.id == id && t.status == TranscriptStatus::Processing;
    let Some(record) = session.transcripts.iter().find(wanted).cloned() else { return Ok(()) };
    let prefix = recordings::prefix(&session.tenant, session.id);
    let made = match muster_recording::load_manifest(&setup.storage, &prefix).await {
        Ok(manifest) => transcribe::make(setup, &session, &record, &manifest).await,
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
