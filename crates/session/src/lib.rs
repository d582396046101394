//! The pure core of Muster.
//!
//! Everything that is *decided* about a bot is decided here, as functions of (state, input, now): what state comes
//! next, which webhooks that causes, who is at fault, whether to try again, when to leave and when a session is stuck.
//! There is no tokio, no I/O and no clock in this crate; callers pass the time in. Production, tests and planning
//! therefore share one policy.
//!
//! The walk of one session: [`Session::create`] makes it, [`Session::apply`] takes one [`Input`] at a time and answers
//! with an [`Outcome`] (webhook [`event::Event`]s and [`job::Job`]s) that the caller commits together with the record
//! in one store write.

pub mod event;
pub mod id;
pub mod job;
pub mod leave;
mod machine;
pub mod protocol;
pub mod reason;
mod record;
mod remote;
pub mod retry;
mod state;
mod time;

pub use id::{BotId, EndpointId, TenantId, TranscriptId, WorkerId};
pub use machine::{Input, Outcome, Rejected};
pub use reason::{EndReason, Fault, Terminal};
pub use record::{
    Artifact, ArtifactKind, ArtifactState, End, Lease, MediaPlan, Meeting, NewSession, ParticipantHook, Session,
    TimelineEntry, TranscriptPlan, TranscriptRecord, TranscriptStatus,
};
pub use remote::{Looked, Observation, Remote, Unheard};
pub use state::State;
pub use time::Timestamp;
