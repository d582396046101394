//! Bots as supervised processes.
//!
//! [`Launcher::launch`] starts a program in a process group of its own, hands it its [`BotSpec`] over standard input and
//! returns a [`BotHandle`] once the first report says that it is ready. From then on reports come out of the handle and
//! commands go in. However the bot ends — by itself, asked to, or killed — nothing of it stays: not its children, not
//! those that left its process group, not its directory. [`sweep_strays`] does the same for bots of a supervisor that
//! died.
//!
//! What a bot *does* is not known here; that is the program's business.
//!
//! [`BotSpec`]: muster_session::protocol::BotSpec

mod confine;
mod escalate;
mod group;
mod handle;
mod home;
mod launch;
pub mod limits;
pub mod machine;
pub mod measure;
mod output;
mod supervise;

pub use confine::Confinement;
pub use escalate::Phase;
pub use group::ProcessTable;
pub use handle::{BotHandle, EndedBy, Exit, OutOfMemory, Status};
pub use home::sweep_strays;
pub use launch::{LaunchError, Launcher};
