//! The terminal event, and what is owed after it.

use std::time::Duration;

use super::{Outcome, Rejected};
use crate::event::Draft;
use crate::job::Job;
use crate::{
    Artifact, ArtifactKind, ArtifactState, End, EndReason, Session, State, Terminal, Timestamp, TranscriptId,
    TranscriptRecord, TranscriptStatus,
};

impl Session {
    /// The one terminal event. Whoever ran the bot loses the session here: the token moves on.
    pub(super) fn terminate(
        &mut self,
        reason: EndReason,
        message: String,
        out: &mut Outcome,
        at: Timestamp,
        now: Timestamp,
    ) {
        let (reason, message) = self.verdict(reason, message);
        let end = self.end.get_or_insert(End { reason, message, at }).clone();
        let terminal = end.reason.terminal();
        self.lease = None;
        self.held = false;
        self.fencing += 1;
        self.ended_at = Some(at);
        let kept = self.expires_at.since(self.join_at.unwrap_or(self.created_at));
        self.expires_at = self.expires_at.max(at + kept);
        self.enter(State::Processing, now);
        let name = match terminal {
            Terminal::Stopped | Terminal::Kicked => "Stopped",
            Terminal::NotAllowed => "BotNotAllowed",
            Terminal::Denied => "BotRejected",
            Terminal::Failed => "Error",
        };
        self.note(name, end.message.clone(), at);
        let mut draft =
            Draft::new("bot.stopped", Some(terminal.bot_status()), end.message).code(terminal.status_code());
        draft.bot_event = terminal.bot_event();
        draft.reason = Some(end.reason);
        self.emit(out, draft, at);
        if self.was_admitted() {
            let kinds = match self.remote {
                None => [ArtifactKind::Manifest].into_iter().chain(self.owed_by_remote()).collect(),
                Some(_) => self.owed_by_remote(),
            };
            self.artifacts = kinds.into_iter().map(|kind| Artifact { kind, state: ArtifactState::Pending }).collect();
            match self.remote {
                None => out.jobs.push((Job::Process { bot: self.id }, Duration::ZERO)),
                Some(_) => self.tend(out),
            }
            // Pending, all of them: none is refused.
            let _ = self.settle_heard(out, now);
        } else {
            let failure = self.end.as_ref().map(|end| end.message.clone()).unwrap_or_default();
            self.fail_own_transcript(&failure);
            self.finish(out, now);
            self.tend(out);
        }
    }

    fn fail_own_transcript(&mut self, failure: &str) {
        if let Some(record) = self.own_transcript_mut() {
            record.settle(Some(failure.to_owned()));
        }
    }

    pub(super) fn settle(
        &mut self,
        kind: ArtifactKind,
        state: ArtifactState,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let pending = |a: &&mut Artifact| a.kind == kind && a.state == ArtifactState::Pending;
        let Some(artifact) = self.artifacts.iter_mut().find(pending) else {
            return Err(Rejected::NotNow { input: "settle", state: self.state });
        };
        artifact.state = state.clone();
        let failure = match state {
            ArtifactState::Pending => return Err(Rejected::NotNow { input: "settle", state: self.state }),
            ArtifactState::Ready => None,
            ArtifactState::Failed { message } => Some(message),
        };
        let ok = failure.is_none();
        let (step, draft) = match kind {
            ArtifactKind::Manifest if ok => (
                None,
                Draft::new("manifest.completed", None, "Recording manifest written")
                    .with("status", "success")
                    .with("manifest_status", "Success"),
            ),
            ArtifactKind::Manifest => (
                None,
                Draft::new("manifest.skipped", None, failure.unwrap_or_default())
                    .with("status", "skipped")
                    .with("manifest_status", "Skipped"),
            ),
            ArtifactKind::Audio => (
                Some("AudioProcessing"),
                Draft::new("audio.processed", None, failure.unwrap_or_else(|| "Audio processed".to_owned()))
                    .code(if ok { 200 } else { 500 })
                    .with("status", if ok { "success" } else { "error" })
                    .with("audio_status", if ok { "Success" } else { "Failed" }),
            ),
            ArtifactKind::Transcript => {
                if let Some(record) = self.own_transcript_mut() {
                    record.settle(failure.clone());
                }
                (ok.then_some("TranscriptionReady"), transcript_draft(failure))
            }
        };
        if let Some(step) = step {
            self.note(step, draft.message.clone(), now);
        }
        self.emit(out, draft, now);
        if self.artifacts.iter().all(|a| a.state != ArtifactState::Pending) {
            self.finish(out, now);
        }
        Ok(())
    }

    pub(super) fn settle_transcript(
        &mut self,
        id: TranscriptId,
        result: &Result<(), String>,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let (state, own) = (self.state, self.own_count());
        let pending = |t: &&mut TranscriptRecord| t.id == id && t.status == TranscriptStatus::Processing;
        // The bot's own is an artifact: it is settled as one.
        let Some(record) = self.transcripts.iter_mut().skip(own).find(pending) else {
            return Err(Rejected::NotNow { input: "settle_transcript", state });
        };
        record.settle(result.as_ref().err().cloned());
        // Its one event goes to the address given with the request, and to nobody if there was none.
        if let Some(url) = record.callback_url.clone() {
            let mut draft = transcript_draft(result.as_ref().err().cloned());
            draft.with_attributes = false;
            self.emit(out, draft, now);
            if let Some(event) = out.events.last_mut() {
                event.to = Some(url);
            }
        }
        Ok(())
    }

    /// Settles as failed what was asked for after the call and is not there yet.
    pub(super) fn give_up_transcripts(
        &mut self,
        why: &str,
        which: impl Fn(&TranscriptRecord) -> bool,
        out: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let waiting = |t: &&TranscriptRecord| t.status == TranscriptStatus::Processing && which(t);
        let ids: Vec<TranscriptId> = self.added_transcripts().filter(waiting).map(|t| t.id).collect();
        for id in ids {
            self.settle_transcript(id, &Err(why.to_owned()), out, now)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Outcome, now: Timestamp) {
        self.enter(State::Done, now);
        let failed = self.artifacts.iter().any(|a| matches!(a.state, ArtifactState::Failed { .. }));
        let terminal = self.end.as_ref().map_or(Terminal::Failed, |end| end.reason.terminal());
        let code = if failed { 500 } else { terminal.status_code() };
        self.note("Done", "All artifacts are settled", now);
        let mut draft = Draft::new("bot.done", Some("Done"), "All artifacts are settled").code(code);
        draft.reason = self.end.as_ref().map(|end| end.reason);
        self.emit(out, draft, now);
    }
}

fn transcript_draft(failure: Option<String>) -> Draft {
    match failure {
        None => Draft::new("transcription.processed", None, "Transcription processed")
            .with("status", "success")
            .with("transcript_status", "Success"),
        Some(message) => Draft::new("transcription.failed", None, message)
            .code(500)
            .with("status", "error")
            .with("transcript_status", "Failed"),
    }
}
