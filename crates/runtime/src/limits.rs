//! Limits of this process that its bots inherit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for anything; more only slows down programs that close every possible descriptor.
const WANTED: u64 = 1 << 20;

/// Open files per process. `u64::MAX` stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The soft limit as it was.
    pub before: u64,
    /// The soft limit now.
    pub now: u64,
    /// The hard limit: how far it can be raised without privileges.
    pub hard: u64,
}

/// Raises the soft limit of open files to the hard limit, or to about a million if that is less. Never lowers it; a
/// refusal leaves it as it is.
pub fn raise_descriptor_limit() -> DescriptorLimit {
    let limit = getrlimit(Resource::Nofile);
    let (before, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let wanted = hard.min(WANTED);
    if wanted > before {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, wanted, "the descriptor limit could not be raised");
        }
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    DescriptorLimit { before, now, hard }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered_and_reaches_what_is_allowed() {
        let limit = raise_descriptor_limit();
        assert!(limit.now >= limit.before && limit.now >= limit.hard.min(WANTED), "{limit:?}");
        assert_eq!(raise_descriptor_limit(), DescriptorLimit { before: limit.now, ..limit });
    }
}
