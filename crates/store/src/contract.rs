use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_session::event::Event;
use muster_session::job::Job;
use muster_session::{BotId, EndpointId, Fault, Outcome, Session, State, TenantId, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};

use crate::{
    Attempt, Delivery, DeliveryStatus, Document, Endpoint, InboxCount, InboxEntry, InboxPage, InboxQuery, KnownWorker,
    LedgerPage, LedgerQuery, PlaceChange, TenantLoad, WorkerRecord,
};

/// Durable, versioned session records with an outbox.
///
/// # Contract
///
/// 1. An `Ok` from a writing method means that the write survives the death of any process right after.
/// 2. [`create`](Self::create) is atomic over record, idempotency key, deduplication key, events and jobs: of any number
///    of parallel calls with one idempotency key exactly one answers [`Created::New`], the others
///    [`Created::Replayed`] with the winner's record. The idempotency key is looked at before the deduplication key.
/// 3. A deduplication key binds to the meeting key of the record that first used it, per tenant:
///    same key and same meeting is [`Created::Duplicate`], another meeting is [`Created::Conflict`]. Both kinds of key
///    stay bound as long as their record exists.
/// 4. [`commit`](Self::commit) writes record, events and jobs in one step if the stored version equals the record's, and
///    answers [`StoreError::Conflict`] with nothing written otherwise. The new version is the old one plus one. If
///    [`Commit::lease_seen`] is set, the stored lease must end exactly then, too.
/// 5. A read after a successful write sees it.
/// 6. [`renew`](Self::renew) extends leases without changing versions; a lease whose owner or fencing token differs is
///    reported [`Renewed::Lost`] and not touched. One that cannot be extended keeps no other from it, and is an error only if
///    none can.
/// 7. A tenant's reads never see another tenant's records.
/// 8. [`list`](Self::list) answers newest first, each record once over all pages of one cursor chain.
/// 9. The lookups for the control role ([`due`](Self::due), [`lease_expired`](Self::lease_expired),
///    [`overdue`](Self::overdue), [`expired`](Self::expired)) are served by an index, oldest first, at most `limit`.
/// 10. An outbox job stays until [`outbox_done`](Self::outbox_done); a delivery stays pending until it is settled. Neither
///     is lost between a commit and its publication.
/// 11. Pending deliveries of a bot come in order of their sequence.
/// 12. [`delete`](Self::delete) removes the record, its keys, its log and its settled deliveries; pending deliveries stay
///     until settled.
/// 13. [`lead`](Self::lead) answers true to one owner of a name at a time: nobody else until the time that was last asked
///     for is reached. A refusal changes nothing.
/// 14. A worker is known from its first [`beat`](Self::beat) until it is forgotten. What was asked of it by
///     [`drain_worker`](Self::drain_worker) is in the answer of every beat after.
/// 15. [`append_log`](Self::append_log) writes for whoever holds the session's lease. With another fencing token than that of
///     the current lease it answers [`StoreError::Fenced`] and writes nothing; so it does when there is no lease or no record.
/// 16. Each event of a write becomes one pending delivery for each of its [`addresses`](crate::addresses), in the same step.
/// 17. [`put_endpoint`](Self::put_endpoint) writes if the stored version equals the endpoint's (0: there is none of this id),
///     and answers [`StoreError::Conflict`] with nothing written otherwise. The new version is the old one plus one.
/// 18. The key of an inbox entry is taken once, for as long as the entry is there: a [`commit`](Self::commit) or a
///     [`create`](Self::create) with an entry whose key is taken answers [`StoreError::Seen`], whatever else it would answer,
///     and writes nothing at all; and [`receive`](Self::receive) answers false.
/// 19. [`ledger`](Self::ledger) and [`inbox`](Self::inbox) answer a tenant's own, newest first, each entry once over all pages
///     of one cursor chain.
/// 20. A delivery that was [postponed](Self::postpone) is due no sooner than it was postponed to, and no attempt is counted.
/// 21. [`find_remote`](Self::find_remote) finds a session by what its record says of its [`remote`](Session::remote) bot, from
///     the write on that says it, as long as the record is there, even if it says something else by then. Of several sessions
///     it is the first that said it.
/// 22. A write with [`PlaceChange::Take`] takes one of its tenant's places in the same step, and answers
///     [`StoreError::Full`] with nothing written at all if its limit is reached: of any number of parallel writes no more
///     succeed than there are places left. Whatever else a write may be answered is looked at first. [`PlaceChange::Free`]
///     gives one back, of which there are never less than none taken, as does the deletion of a session
///     whose place is counted. The record says whether it is ([`Session::place`]): the store notes it with the write.
/// 23. [`loads`](Self::loads), [`held`](Self::held) and [`held_before`](Self::held_before) answer what is so right after a
///     write, by an index: what they cost grows with what they answer, not with the sessions there are.
/// 24. [`put_document`](Self::put_document) writes if the stored version equals the document's (0: there is none of this
///     name), and answers [`StoreError::Conflict`] with nothing written otherwise. The new version is the old one plus one.
/// 25. [`count_due`](Self::count_due) counts what [`due`](Self::due) finds, without reading it.
#[async_trait]
pub trait SessionStore: Send + Sync + std::fmt::Debug + 'static {
    /// Creates a session (version 1) with the events and jobs of its creation.
    async fn create(&self, commit: Commit, guard: CreateGuard) -> Result<Created, StoreError>;

    /// The record of a bot, whoever owns it. Callers on behalf of a tenant compare `tenant` themselves, or use
    /// [`get_owned`](Self::get_owned).
    async fn get(&self, bot: BotId) -> Result<Option<Session>, StoreError>;

    /// The record of a bot if `tenant` owns it.
    async fn get_owned(&self, tenant: &TenantId, bot: BotId) -> Result<Option<Session>, StoreError>;

    /// The session that owns a transcript, if `tenant` owns it.
    async fn find_transcript(
        &self,
        tenant: &TenantId,
        transcript: muster_session::TranscriptId,
    ) -> Result<Option<Session>, StoreError>;

    /// Compare-and-swap of the record with its events and jobs. Answers the record with its new version.
    async fn commit(&self, commit: Commit) -> Result<Session, StoreError>;

    /// Extends leases in one batch; answers in the order asked.
    async fn renew(
        &self,
        owner: &WorkerId,
        leases: &[LeaseRenewal],
        until: Timestamp,
    ) -> Result<Vec<Renewed>, StoreError>;

    /// The session whose bot is known to a source under this id.
    async fn find_remote(&self, source: &str, id: &str) -> Result<Option<Session>, StoreError>;

    /// A page of a tenant's sessions.
    async fn list(&self, tenant: &TenantId, query: &ListQuery) -> Result<Page, StoreError>;

    /// Scheduled sessions with `join_at <= before`.
    async fn due(&self, before: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// How many scheduled sessions have `join_at <= before`.
    async fn count_due(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Every tenant that has a place taken or a session held, by its id.
    async fn loads(&self) -> Result<Vec<TenantLoad>, StoreError>;

    /// A tenant's sessions that wait in line, the oldest first, and of equal age by id.
    async fn held(&self, tenant: &TenantId, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// How many of a tenant's sessions that wait in line are before this one; none if it does not wait there.
    async fn held_before(&self, tenant: &TenantId, bot: BotId) -> Result<Option<u64>, StoreError>;

    /// Sessions whose lease ran out at or before `now`.
    async fn lease_expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// Sessions whose [`Session::deadline`] is at or before `now`.
    async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// Sessions in a terminal state with `expires_at <= now`.
    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// How many sessions of a tenant (or of all) are in each state.
    async fn count_by_state(&self, tenant: Option<&TenantId>) -> Result<Vec<(State, u64)>, StoreError>;

    /// Removes a record and what hangs on it; true if it was there.
    async fn delete(&self, bot: BotId) -> Result<bool, StoreError>;

    /// Jobs that were committed and not yet marked done, due at or before `now`, oldest first.
    async fn outbox(&self, now: Timestamp, limit: u32) -> Result<Vec<OutboxJob>, StoreError>;

    /// Marks outbox jobs as published; unknown ids are ignored.
    async fn outbox_done(&self, ids: &[u64]) -> Result<(), StoreError>;

    /// Pending deliveries of one bot, in order of sequence.
    async fn pending_deliveries(&self, bot: BotId, limit: u32) -> Result<Vec<Delivery>, StoreError>;

    /// Bots that have a pending delivery due at or before `now`, the longest waiting first.
    async fn bots_with_due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<BotId>, StoreError>;

    /// Records an attempt at a delivery and what becomes of it.
    async fn record_attempt(&self, delivery: u64, attempt: Attempt, status: DeliveryStatus) -> Result<(), StoreError>;

    /// The ledger: deliveries of a bot, oldest first, with their attempts.
    async fn deliveries(&self, bot: BotId) -> Result<Vec<Delivery>, StoreError>;

    /// Makes settled ones of these deliveries pending again, due at `now`, with their failures forgotten; answers how many.
    async fn resend(&self, deliveries: &[u64], now: Timestamp) -> Result<u64, StoreError>;

    /// Makes those of these deliveries that are pending due no sooner than `until`. Others, and unknown ids, are ignored.
    async fn postpone(&self, deliveries: &[u64], until: Timestamp) -> Result<(), StoreError>;

    /// A page of a tenant's deliveries, of all its bots.
    async fn ledger(&self, tenant: &TenantId, query: &LedgerQuery) -> Result<LedgerPage, StoreError>;

    /// Adds pending deliveries of an event that is about no session: one for each of these endpoints that takes it. Once settled
    /// they are gone.
    async fn notify(
        &self,
        tenant: &TenantId,
        event: Event,
        endpoints: &[Endpoint],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes an endpoint by compare-and-swap. Answers it with its new version.
    async fn put_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, StoreError>;

    /// The endpoint with this id, whoever owns it.
    async fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError>;

    /// A tenant's endpoints, oldest first.
    async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError>;

    /// Removes an endpoint of this tenant; true if it was there. Its deliveries stay.
    async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError>;

    /// Keeps a webhook that came in and changes no session; false if its key is taken.
    async fn receive(&self, entry: InboxEntry) -> Result<bool, StoreError>;

    /// The inbox entry with this key.
    async fn received(&self, key: &str) -> Result<Option<InboxEntry>, StoreError>;

    /// A page of a tenant's inbox.
    async fn inbox(&self, tenant: &TenantId, query: &InboxQuery) -> Result<InboxPage, StoreError>;

    /// A tenant's inbox in numbers, by source and outcome; none that is zero.
    async fn inbox_counts(&self, tenant: &TenantId) -> Result<Vec<InboxCount>, StoreError>;

    /// Removes at most `limit` inbox entries, of all tenants, that were received before this; answers how many.
    async fn forget_received(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Appends lines to a bot's log (participants, chat, notes), for reading back in order, under the token that the
    /// session was acquired with. A (kind, key) that is there already is not appended again. A lease that is lost while
    /// very many lines are appended may leave some of them.
    async fn append_log(&self, bot: BotId, fencing: u64, entries: &[LogEntry]) -> Result<(), StoreError>;

    /// A bot's log of one kind, in order, at most `limit` lines.
    async fn log(&self, bot: BotId, kind: &str, limit: u32) -> Result<Vec<LogEntry>, StoreError>;

    /// Stores an API key's hash; replaces one with the same hash.
    async fn put_key(&self, key: &ApiKey) -> Result<(), StoreError>;

    /// The key with this hash.
    async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>, StoreError>;

    /// Every key, oldest first.
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Removes a key; true if it was there.
    async fn delete_key(&self, hash: &str) -> Result<bool, StoreError>;

    /// Takes or keeps the lead called `name` until `until`, if nobody else has it at `now`; true if it did. Whoever asks for
    /// a time that is not after `now` gives it up. Clocks that differ shorten or lengthen a lead by as much, so what a
    /// leader does has to be safe with two of them.
    async fn lead(&self, name: &str, owner: &str, now: Timestamp, until: Timestamp) -> Result<bool, StoreError>;

    /// A worker says that it is there, and how it is; true if it was asked to take no more bots.
    async fn beat(&self, worker: &WorkerRecord) -> Result<bool, StoreError>;

    /// Every worker, in the order of their ids.
    async fn workers(&self) -> Result<Vec<KnownWorker>, StoreError>;

    /// Asks a worker to take no more bots; true if it is known.
    async fn drain_worker(&self, worker: &WorkerId) -> Result<bool, StoreError>;

    /// Forgets a worker; true if it was known.
    async fn forget_worker(&self, worker: &WorkerId) -> Result<bool, StoreError>;

    /// What is kept under this name.
    async fn document(&self, name: &str) -> Result<Option<Document>, StoreError>;

    /// Writes a document by compare-and-swap. Answers it with its new version.
    async fn put_document(&self, document: Document) -> Result<Document, StoreError>;

    /// Cheap probe for readiness: a round trip to the backend.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// One write: a record and what its transition caused.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The record, with the version it was read at.
    pub session: Session,
    /// Webhooks; each becomes a pending delivery for each of its [`addresses`](crate::addresses).
    pub events: Vec<Event>,
    /// The endpoints of the session's tenant.
    pub endpoints: Arc<[Endpoint]>,
    /// The webhook that came in and caused this.
    pub inbox: Option<InboxEntry>,
    /// Jobs, each after a pause.
    pub jobs: Vec<(Job, Duration)>,
    /// The time of the write.
    pub now: Timestamp,
    /// The end of the lease that this write was decided on. A renewal changes no version, so a decision that a lease is
    /// over has to say which one it saw.
    pub lease_seen: Option<Timestamp>,
    /// What it does to the places of the session's tenant.
    pub place: PlaceChange,
}

impl Commit {
    /// From what the machine answered.
    #[must_use]
    pub fn new(session: Session, outcome: Outcome, now: Timestamp) -> Self {
        let Outcome { events, jobs } = outcome;
        let (endpoints, place) = (Arc::default(), PlaceChange::Keep);
        Self { session, events, endpoints, inbox: None, jobs, now, lease_seen: None, place }
    }
}

/// What makes a create safe to repeat.
#[derive(Clone, Debug, Default)]
pub struct CreateGuard {
    /// The `Idempotency-Key` header; scoped to the tenant.
    pub idempotency_key: Option<String>,
}

/// How a create ended.
#[derive(Clone, Debug)]
pub enum Created {
    /// Made.
    New(Session),
    /// The idempotency key was used before: its record, as it is now.
    Replayed(Session),
    /// The deduplication key was used before for the same meeting: its record, as it is now.
    Duplicate(Session),
    /// The deduplication key was used before for another meeting.
    Conflict(Session),
}

/// One lease to extend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The session.
    pub bot: BotId,
    /// The token it was acquired with.
    pub fencing: u64,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Extended.
    Held {
        /// The caller asked the bot to leave: pass it on.
        stop_requested: bool,
    },
    /// Somebody else has it, or it is over: end the bot.
    Lost,
    /// The store did not answer for this one, and did for others. It holds as long as was answered before.
    Unknown,
}

/// A filter over a tenant's sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListQuery {
    /// Only these states; empty means all.
    pub states: Vec<State>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Only this platform label, in any case.
    pub platform: Option<String>,
    /// Every one of these must equal the record's custom attribute.
    pub attributes: Vec<(String, serde_json::Value)>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Page size, 1 to 1,000.
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest first.
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A committed job that waits to be enqueued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxJob {
    /// Its id; a part of the deduplication key when it is enqueued.
    pub id: u64,
    /// The job.
    pub job: Job,
    /// Not before.
    pub due: Timestamp,
}

/// One line of a bot's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// `participant`, `chat`, `note`, `health`, …
    pub kind: String,
    /// Identity within the kind; a repetition is dropped.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// The line.
    pub data: serde_json::Value,
}

/// An API key, known only by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Hex SHA-256 of the key.
    pub hash: String,
    /// Whose requests it makes.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    /// First characters of the key, to recognise it by.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a store did not answer. Variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record changed since it was read: read again and decide again.
    #[error("the record changed since it was read")]
    Conflict,
    /// There is no such record.
    #[error("there is no such record")]
    Missing,
    /// The webhook that was to take effect has done so before: nothing is left to do.
    #[error("the webhook has taken effect before")]
    Seen,
    /// The lease that the write was made under is lost: somebody else runs the session, or nobody. End the bot.
    #[error("the lease is lost")]
    Fenced,
    /// Every place that the tenant may have is taken: let the session wait in line, or refuse it.
    #[error("every place of the tenant is taken: {taken}")]
    Full {
        /// How many are.
        taken: u64,
    },
    /// The cursor was not made by this list.
    #[error("the cursor is not valid")]
    BadCursor,
    /// The backend is out of reach or overloaded: try again later.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What it said.
        detail: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The record, with what belongs to it, is more than the backend takes: the same write never succeeds. Only backends with such
    /// a limit answer it.
    #[error("too large for the store: {detail}")]
    TooLarge {
        /// What is how large, and what would fit.
        detail: String,
    },
    /// A stored value cannot be read: a bug or a damaged file.
    #[error("a stored value cannot be read: {detail}")]
    Corrupt {
        /// What it was.
        detail: String,
    },
}

impl StoreError {
    /// Who can do something about it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadCursor | Self::Missing | Self::Full { .. } | Self::TooLarge { .. } => Fault::Customer,
            Self::Conflict | Self::Seen | Self::Fenced | Self::Unavailable { .. } | Self::Corrupt { .. } => Fault::Us,
        }
    }
}
