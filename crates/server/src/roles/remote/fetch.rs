//! What a bot brought, from the service's storage to ours.

use std::time::Duration;

use muster_session::{ArtifactKind, ArtifactState, Input, Session, TranscriptStatus};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use serde_json::Value;

use super::client::Trouble;
use super::{FETCH, RemoteSetup, applied};
use crate::recordings;
use crate::roles::Backend;

/// Longest download of a recording.
pub(super) const LONGEST: Duration = Duration::from_secs(1_800);
/// Largest recording that is fetched.
const RECORDING_BYTES_MAX: u64 = 8 << 30;

impl RemoteSetup {
    /// Fetches what is ready and settles it; answers when to look again if something is not.
    pub(super) async fn fetch(
        &self,
        backend: &Backend,
        session: &Session,
        there: &str,
    ) -> anyhow::Result<Option<Duration>> {
        let details = match self.client.details(there).await {
            Ok(details) => details,
            Err(trouble) => {
                tracing::warn!(bot = %session.id, %trouble, "the service does not say what a bot brought; trying again");
                return Ok(Some(FETCH));
            }
        };
        if is_running(&details)
            && let Err(error) = self.client.remove(there).await
        {
            tracing::warn!(bot = %session.id, %error, "a bot that was given up may still be in its call");
        }
        let mut waiting = false;
        for kind in [ArtifactKind::Audio, ArtifactKind::Transcript] {
            let owed = |a: &muster_session::Artifact| a.kind == kind && a.state == ArtifactState::Pending;
            if !session.artifacts.iter().any(owed) {
                continue;
            }
            let fetched = match state(&details, kind) {
                There::Ready if kind == ArtifactKind::Audio => match self.at_work.downloads.try_acquire() {
                    Ok(_download) => self.audio(session, there).await,
                    Err(_) => {
                        waiting = true;
                        continue;
                    }
                },
                There::Ready => self.transcript(session, &details).await,
                There::Never(why) => Err(Trouble::Refused(why)),
                There::NotYet => {
                    waiting = true;
                    continue;
                }
            };
            let state = match fetched {
                Ok(()) => ArtifactState::Ready,
                Err(Trouble::Refused(message)) => ArtifactState::Failed { message },
                Err(Trouble::Later { why, .. }) => {
                    tracing::warn!(bot = %session.id, ?kind, why, "what a bot brought cannot be fetched; trying again");
                    waiting = true;
                    continue;
                }
            };
            applied(backend.apply(session.id, Input::Settle { kind, state }).await)?;
        }
        Ok(waiting.then_some(FETCH))
    }

    async fn audio(&self, session: &Session, there: &str) -> Result<(), Trouble> {
        let url = self.client.audio_url(there).await?;
        let own = url.origin() == self.client.base().origin();
        let answer = self.client.download(&url, own, &self.guard).await?;
        let path = recordings::fetched_audio(&session.tenant, session.id, &url, answer.content_type());
        self.store(answer, &path).await
    }

    async fn store(&self, mut answer: super::client::Download, path: &Path) -> Result<(), Trouble> {
        let failed = |error: object_store::Error| Trouble::Later { why: error.to_string(), after: None };
        let upload = self.storage.put_multipart(path).await.map_err(failed)?;
        let mut upload = WriteMultipart::new(upload);
        let mut bytes = 0_u64;
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(trouble) => {
                    let _ = upload.abort().await;
                    return Err(trouble);
                }
            };
            bytes += chunk.len() as u64;
            if bytes > RECORDING_BYTES_MAX {
                let _ = upload.abort().await;
                return Err(Trouble::Refused("its recording is too large".to_owned()));
            }
            upload.wait_for_capacity(4).await.map_err(failed)?;
            upload.write(&chunk);
        }
        upload.finish().await.map_err(failed)?;
        Ok(())
    }

    async fn transcript(&self, session: &Session, details: &Value) -> Result<(), Trouble> {
        let Some(own) = session.transcript().filter(|own| own.status == TranscriptStatus::Processing) else {
            return Ok(());
        };
        let Some(id) = details["transcript_id"].as_str() else {
            return Err(Trouble::Refused("the service names no transcript".to_owned()));
        };
        let paths = recordings::transcript_paths(&session.tenant, session.id, own.id);
        for (path, raw) in [(paths.processed, false), (paths.raw, true)] {
            let mut transcript = self.client.transcript(id, raw).await?;
            if let Some(raw) = transcript.as_object_mut() {
                raw.insert("id".to_owned(), own.id.to_string().into());
            }
            let put = self.storage.put(&path, PutPayload::from(transcript.to_string())).await;
            put.map_err(|error| Trouble::Later { why: error.to_string(), after: None })?;
        }
        Ok(())
    }
}

/// What the service says of an artifact.
#[derive(Debug, PartialEq)]
enum There {
    Ready,
    NotYet,
    Never(String),
}

fn state(details: &Value, kind: ArtifactKind) -> There {
    let (name, what) = match kind {
        ArtifactKind::Transcript => ("TranscriptStatus", "transcript"),
        ArtifactKind::Audio | ArtifactKind::Manifest => ("AudioStatus", "recording"),
    };
    let said = details[name].as_str().unwrap_or_default().to_ascii_lowercase();
    let over = matches!(status(details).as_str(), "done" | "mediaexpired");
    match said.as_str() {
        "success" | "completed" => There::Ready,
        "failed" | "error" => There::Never(format!("the service could not make the {what}")),
        _ if over => There::Never(format!("the service has no {what}")),
        _ => There::NotYet,
    }
}

pub(super) fn is_running(details: &Value) -> bool {
    matches!(status(details).as_str(), "joining" | "inwaitingroom" | "inmeeting" | "recording")
}

fn status(details: &Value) -> String {
    details["Status"].as_str().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_artifact_is_there_not_yet_or_never() {
        let of = |details: Value| state(&details, ArtifactKind::Audio);
        assert_eq!(of(json!({"Status": "MediaProcessing", "AudioStatus": "Success"})), There::Ready);
        assert_eq!(of(json!({"Status": "MediaProcessing", "AudioStatus": null})), There::NotYet);
        assert!(matches!(of(json!({"Status": "Done", "AudioStatus": "Failed"})), There::Never(_)));
        assert!(matches!(of(json!({"Status": "Done"})), There::Never(_)));
        let transcript = json!({"Status": "Done", "AudioStatus": "Success", "TranscriptStatus": "None"});
        assert!(matches!(state(&transcript, ArtifactKind::Transcript), There::Never(_)));
    }
}
