//! One webhook and its session.

use std::sync::Arc;

use muster_hooks::inbound::{Kind, Meaning, Reading, Source};
use muster_session::{BotId, EndReason, Input, Observation, Session, State, TenantId, Terminal};
use muster_store::{InboxEntry, InboxOutcome, StoreError};
use serde_json::Value;

use super::InboundSetup;
use super::held::Held;
use super::words::Words;
use crate::inbound::Envelope;
use crate::roles::{Backend, Observed};

/// So much of a body is kept in the inbox.
const KEPT_BYTES: usize = 16 * 1024;

/// A webhook in hand.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) envelope: Envelope,
    pub(super) reading: Reading,
    /// The message it is in.
    pub(super) held: Arc<Held>,
}

impl Webhook {
    /// What it is about, as far as that can be told without a look. What means nothing need not wait for anything: Zoom says so of
    /// everybody in a meeting.
    pub(super) fn lane(&self) -> String {
        match (&self.reading.meaning, self.ours(), &self.reading.theirs) {
            (Meaning::Nothing, ..) | (_, None, None) => self.key(),
            (_, Some(bot), _) => bot.to_string(),
            (_, None, Some(theirs)) => format!("{}:{theirs}", self.envelope.source),
        }
    }

    /// Our id of the bot: the address it was sent to says it, or the sender echoes it.
    fn ours(&self) -> Option<BotId> {
        self.envelope.bot.or(self.reading.ours)
    }

    fn key(&self) -> String {
        format!("{}:{}", self.envelope.source, self.reading.id)
    }

    /// Makes it take effect, unless it has.
    pub(super) async fn apply(&self, backend: &Backend, setup: &InboundSetup, words: &Words) -> Result<(), StoreError> {
        let session = match self.session(backend, setup).await? {
            Ok(session) => session,
            Err(why) => {
                let outcome = match self.reading.meaning {
                    Meaning::Nothing => InboxOutcome::Unknown,
                    Meaning::Observed(_) | Meaning::Words => InboxOutcome::NoSession,
                };
                return self.keep(backend, setup, None, outcome, why).await;
            }
        };
        match &self.reading.meaning {
            Meaning::Nothing => self.keep(backend, setup, Some(&session), InboxOutcome::Unknown, "").await,
            Meaning::Words => {
                self.pass_on(words, &session);
                Ok(())
            }
            Meaning::Observed(observation) => self.observe(backend, setup, &session, observation).await,
        }
    }

    /// The session it is about, if its source has a say in it; otherwise why there is none.
    async fn session(
        &self,
        backend: &Backend,
        setup: &InboundSetup,
    ) -> Result<Result<Session, &'static str>, StoreError> {
        let source = &self.envelope.source;
        let found = match (self.ours(), &self.reading.theirs) {
            (Some(bot), _) => backend.store.get(bot).await?,
            (None, Some(theirs)) => backend.store.find_remote(source, theirs).await?,
            (None, None) => return Ok(Err("it names no bot")),
        };
        let Some(session) = found else { return Ok(Err("there is no session of this bot")) };
        let Some(remote) = session.remote.as_ref().filter(|remote| remote.source == *source) else {
            return Ok(Err("the bot is not run by this source"));
        };
        // Whoever has the secret of one tenant's source has no say in another's sessions. An address of ours names its bot.
        let owner = setup.sources.get(source).map(|source| &source.tenant);
        if self.envelope.bot.is_none() && !remote.ours && owner != Some(&session.tenant) {
            return Ok(Err("the bot is another tenant's"));
        }
        // Whoever may choose what is echoed to us must not speak for somebody else's bot.
        let other = |theirs: &String| remote.bot.as_ref().is_some_and(|known| known != theirs);
        match self.reading.theirs.as_ref().is_some_and(other) {
            true => Ok(Err("the bot has another id at this source")),
            false => Ok(Ok(session)),
        }
    }

    async fn observe(
        &self,
        backend: &Backend,
        setup: &InboundSetup,
        session: &Session,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let source = setup.sources.get(&self.envelope.source);
        if self.is_of_an_earlier_meeting(source.map(Source::kind), session) {
            return self.keep(backend, setup, Some(session), InboxOutcome::Late, "its bot has not joined yet").await;
        }
        let at = self.reading.at.unwrap_or(self.envelope.received_at);
        let input = |observation| Input::Observe { observation, at };
        let mut inputs = vec![input(observation.clone())];
        if let Observation::Ended { reason, .. } = observation
            && source.is_some_and(|source| is_last(source.kind(), *reason))
        {
            inputs.push(input(Observation::Done));
        }
        let entry = self.entry(&session.tenant, Some(session.id), InboxOutcome::Applied, "");
        match backend.observe(session.id, &inputs, entry).await? {
            Observed::Applied | Observed::Seen => Ok(()),
            Observed::Late(rejected) => {
                let why = rejected.to_string();
                self.keep(backend, setup, Some(session), InboxOutcome::Late, &why).await
            }
            Observed::Missing => {
                let why = "there is no session of this bot any more";
                self.keep(backend, setup, None, InboxOutcome::NoSession, why).await
            }
        }
    }

    /// Zoom says of a meeting that it ended, and the next one in the same room has the same id: a bot whose time is yet to come
    /// was not in this one.
    fn is_of_an_earlier_meeting(&self, kind: Option<&Kind>, session: &Session) -> bool {
        kind == Some(&Kind::Zoom) && self.ours().is_none() && session.state == State::Scheduled
    }

    async fn keep(
        &self,
        backend: &Backend,
        setup: &InboundSetup,
        session: Option<&Session>,
        outcome: InboxOutcome,
        why: &str,
    ) -> Result<(), StoreError> {
        let owner = setup.sources.get(&self.envelope.source).map(|source| &source.tenant);
        // Without a source it would not have been read.
        let Some(tenant) = session.map(|session| &session.tenant).or(owner) else { return Ok(()) };
        let mut entry = self.entry(tenant, session.map(|session| session.id), outcome, why);
        if session.is_none() && self.envelope.bot.is_some() {
            // It is about a session of somebody's who is not known any more.
            entry.body.clear();
        }
        backend.store.receive(entry).await.map(drop)
    }

    fn entry(&self, tenant: &TenantId, bot: Option<BotId>, outcome: InboxOutcome, why: &str) -> InboxEntry {
        let mut body = String::from_utf8_lossy(&self.envelope.body).into_owned();
        body.truncate(body.floor_char_boundary(KEPT_BYTES));
        InboxEntry {
            key: self.key(),
            tenant: tenant.clone(),
            source: self.envelope.source.clone(),
            event: self.reading.event.clone(),
            outcome,
            bot,
            received_at: self.envelope.received_at,
            produced_at: self.reading.at,
            detail: why.to_owned(),
            body,
        }
    }

    /// Live words go on to their receiver as they would from a bot of ours: at once or not at all, and not into the ledger.
    fn pass_on(&self, words: &Words, session: &Session) {
        let Some(url) = &session.media.live_transcription else { return };
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&self.envelope.body) else { return };
        body.insert("bot_id".to_owned(), session.id.to_string().into());
        body.insert("custom_attributes".to_owned(), Value::Object(session.custom_attributes.clone()));
        words.pass_on(session.id, url.clone(), Value::Object(body));
    }
}

/// After such an end a service has nothing more to say: Zoom tells of meetings and not of recordings, and of what failed nothing
/// comes of.
fn is_last(kind: &Kind, reason: EndReason) -> bool {
    match kind {
        Kind::Zoom => true,
        Kind::Recall | Kind::Attendee | Kind::Vexa => reason.terminal() == Terminal::Failed,
        Kind::MeetStream | Kind::Svix | Kind::Standard | Kind::Generic(_) => false,
    }
}
