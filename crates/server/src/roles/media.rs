//! Finalises recordings and makes transcripts, after the call and away from the bot.
//!
//! The work is idempotent and its results are committed one artifact at a time, so a process that dies here only makes
//! the queue hand the job to another.

mod patience;
mod transcribe;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use muster_recording::{Finalised, Manifest};
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
use patience::{Patience, Verdict};
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

/// The work of one job. `last` turns failures of the work itself into settled, failed artifacts. A job that cannot be done
/// because the storage or a recogniser is away is asked for again, for as long as somebody waits for it.
pub async fn step(backend: &Backend, setup: &MediaSetup, job: &Job, last: bool) -> anyhow::Result<()> {
    let Some(session) = backend.store.get(job.bot()).await.context("reading the session")? else { return Ok(()) };
    if !wanted(&session, job) {
        return Ok(());
    }
    let work = async {
        match job {
            Job::Process { .. } => process(backend, setup, job, session.clone(), last).await,
            Job::Transcribe { transcript, .. } => {
                transcribe_again(backend, setup, job, session.clone(), *transcript, last).await
            }
            _ => Ok(None),
        }
    };
    let result = tokio::select! {
        biased;
        result = work => result,
        () = unwanted(backend, job) => {
            tracing::info!(bot = %session.id, "nobody waits for a media job any more; it is stopped");
            Ok(None)
        }
    };
    let result = match result {
        Ok(Some(pause)) => come_back(backend, job, pause).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    sweep(backend, setup, &session, job).await;
    result
}

async fn come_back(backend: &Backend, job: &Job, pause: Duration) -> anyhow::Result<()> {
    let name = match job {
        Job::Transcribe { transcript, .. } => format!("transcribe:{transcript}"),
        _ => format!("process:{}", job.bot()),
    };
    jobs::come_back(backend, job, &name, pause).await.context("asking for another try")
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

/// Answers after which pause it is to be tried again, if what it needs is away.
async fn process(
    backend: &Backend,
    setup: &MediaSetup,
    job: &Job,
    session: Session,
    last: bool,
) -> anyhow::Result<Option<Duration>> {
    let bot = session.id;
    let patience = Patience::of(&session, job);
    let made = match recording(setup, &session).await {
        Ok(manifest) => Ok(manifest),
        Err(muster_recording::Error::Empty) => Err("nothing was recorded".to_owned()),
        Err(error) => match patience.verdict(error.is_transient(), last, backend.clock.now()) {
            Verdict::Wait(pause) => {
                tracing::warn!(%bot, %error, "a recording cannot be finalised yet; trying again");
                return Ok(Some(pause));
            }
            Verdict::Again => return Err(error).context("finalising the recording"),
            Verdict::GiveUp => Err(format!("the recording could not be finalised: {error}")),
        },
    };
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(message) => {
            for kind in [ArtifactKind::Manifest, ArtifactKind::Audio, ArtifactKind::Transcript] {
                put(backend, bot, kind, ArtifactState::Failed { message: message.clone() }).await?;
            }
            return Ok(None);
        }
    };
    put(backend, bot, ArtifactKind::Manifest, ArtifactState::Ready).await?;
    put(backend, bot, ArtifactKind::Audio, ArtifactState::Ready).await?;
    let own = session.transcript().filter(|own| own.status == TranscriptStatus::Processing).cloned();
    if let Some(record) = own {
        let state = match transcribe::make(setup, &session, &record, &manifest).await {
            Ok(()) => ArtifactState::Ready,
            Err(error) => match patience.verdict(error.is_transient(), last || error.is_final(), backend.clock.now()) {
                Verdict::Wait(pause) => {
                    tracing::warn!(%bot, %error, "a transcript cannot be made yet; trying again");
                    return Ok(Some(pause));
                }
                Verdict::Again => return Err(error).context("transcribing"),
                Verdict::GiveUp => ArtifactState::Failed { message: error.to_string() },
            },
        };
        put(backend, bot, ArtifactKind::Transcript, state).await?;
    }
    Ok(None)
}

/// The recording as one, made unless it was: a transcript may be waited for long after, and a call is long.
async fn recording(setup: &MediaSetup, session: &Session) -> Result<Manifest, muster_recording::Error> {
    let prefix = recordings::prefix(&session.tenant, session.id);
    let ready = |kind| session.artifacts.iter().any(|a| a.kind == kind && a.state == ArtifactState::Ready);
    if ready(ArtifactKind::Manifest) && ready(ArtifactKind::Audio) {
        return muster_recording::load_manifest(&setup.storage, &prefix).await;
    }
    let Finalised { manifest, .. } = muster_recording::finalise(&setup.storage, &prefix).await?;
    Ok(manifest)
}

/// Settles one artifact. One that is settled already, or not owed, stays as it is.
async fn put(backend: &Backend, bot: BotId, kind: ArtifactKind, state: ArtifactState) -> anyhow::Result<()> {
    match backend.apply(bot, Input::Settle { kind, state }).await {
        Ok(_) | Err(ApplyError::Rejected(_) | ApplyError::Missing) => Ok(()),
        Err(error) => Err(error).context("settling an artifact"),
    }
}

/// Answers after which pause it is to be tried again, if what it needs is away.
async fn transcribe_again(
    backend: &Backend,
    setup: &MediaSetup,
    job: &Job,
    session: Session,
    id: TranscriptId,
    last: bool,
) -> anyhow::Result<Option<Duration>> {
    let wanted = |t: &&TranscriptRecord| t.id == id && t.status == TranscriptStatus::Processing;
    let Some(record) = session.transcripts.iter().find(wanted).cloned() else { return Ok(None) };
    let patience = Patience::of(&session, job);
    let prefix = recordings::prefix(&session.tenant, session.id);
    let made = match muster_recording::load_manifest(&setup.storage, &prefix).await {
        Ok(manifest) => transcribe::make(setup, &session, &record, &manifest).await,
        Err(error) => Err(TranscribeError::Recording(error)),
    };
    let result = match made {
        Ok(()) => Ok(()),
        Err(error) => match patience.verdict(error.is_transient(), last || error.is_final(), backend.clock.now()) {
            Verdict::Wait(pause) => {
                tracing::warn!(bot = %session.id, transcript = %id, %error, "a transcript cannot be made yet; trying again");
                return Ok(Some(pause));
            }
            Verdict::Again => return Err(error).context("transcribing"),
            Verdict::GiveUp => Err(error.to_string()),
        },
    };
    match backend.apply(session.id, Input::SettleTranscript { id, result }).await {
        Ok(_) | Err(ApplyError::Rejected(_) | ApplyError::Missing) => Ok(None),
        Err(error) => Err(error).context("settling a transcript"),
    }
}
