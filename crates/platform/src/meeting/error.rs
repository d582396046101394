//! Why a meeting page could not be opened.

use muster_session::EndReason;

use crate::browser::BrowserError;
use crate::pack::PackError;

/// Why [`crate::meeting::MeetingPage::open`] did not open a page.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The pack knows the product's links and nothing else.
    #[error("bots cannot join {label} meetings yet: the platform pack `{id}` has no join steps for this platform yet")]
    NoSteps {
        /// Id of the pack.
        id: String,
        /// The platform.
        label: String,
    },
    /// The browser refuses a selector, an expression or a script of the pack.
    #[error("the platform pack `{id}` is wrong: {problems}")]
    Pack {
        /// Id of the pack.
        id: String,
        /// What is wrong.
        problems: PackError,
    },
    /// The page cannot be loaded.
    #[error("the meeting page could not be loaded: {0}")]
    Unreachable(BrowserError),
    /// The browser or the page is gone.
    #[error("the meeting page could not be opened: {0}")]
    Browser(#[from] BrowserError),
}

impl OpenError {
    /// The reason to end a session with.
    ///
    /// A platform without steps is [`EndReason::PlatformBlocked`]: nothing that the caller or a new attempt could do
    /// would help, and the error's text says that we cannot, not that the platform would not.
    #[must_use]
    pub const fn reason(&self) -> EndReason {
        match self {
            Self::NoSteps { .. } => EndReason::PlatformBlocked,
            Self::Pack { .. } => EndReason::UiChanged,
            Self::Unreachable(BrowserError::Navigation { .. } | BrowserError::Timeout { .. }) => {
                EndReason::ConnectionLost
            }
            Self::Unreachable(_) | Self::Browser(_) => EndReason::BotCrashed,
        }
    }
}
