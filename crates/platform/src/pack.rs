//! Platform packs: everything that is particular to one meeting product, as data.
//!
//! A pack is a TOML file. It says which links it takes, which steps lead into a call, what on the page is evidence of
//! which state, where the roster and the chat are, how a sound track finds its speaker, and how to leave. The built-in
//! packs are part of the program; [`Packs::load_dir`] adds an operator's own or replaces a built-in one. The format is
//! described in `docs/packs.md`.

mod check;
mod file;
mod set;

use std::fmt;

use regex::Regex;

pub use file::{Action, Attribute, Chat, Evidence, Field, Roster, Seen, Shown, Step, TrackOwner};
pub use set::{LoadError, Packs};

use crate::link::template::Template;

/// One meeting product.
#[derive(Debug)]
pub struct Pack {
    file: file::PackFile,
    rules: Vec<LinkRule>,
}

/// A link rule, ready to use.
#[derive(Debug)]
pub(crate) struct LinkRule {
    pub(crate) pattern: Regex,
    pub(crate) then: LinkThen,
}

/// What a link rule does with a link that it matches.
#[derive(Debug)]
pub(crate) enum LinkThen {
    /// This is a meeting.
    Join {
        join_url: Template,
        key: Template,
        /// Query parameters to keep, with what their values must look like.
        keep_query: Vec<(String, Regex)>,
    },
    /// The real link is inside; look at that one.
    Rewrite(Template),
    /// Nobody can join this; say why.
    Refuse(String),
}

impl Pack {
    /// Reads a pack from its TOML text.
    ///
    /// # Errors
    ///
    /// [`PackError::Syntax`] if it is no TOML, has an unknown key or a value of the wrong kind; [`PackError::Invalid`]
    /// with every other mistake, each with the path of its key.
    pub fn parse(source: &str) -> Result<Self, PackError> {
        let file: file::PackFile =
            toml::from_str(source).map_err(|error| PackError::Syntax(error.to_string().trim_end().to_owned()))?;
        let rules = check::check(&file)?;
        Ok(Self { file, rules })
    }

    /// Its name in stored sessions: `sandbox`, `google_meet`, …
    #[must_use]
    pub fn id(&self) -> &str {
        &self.file.id
    }

    /// What MeetStream clients call the platform.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.file.label
    }

    /// When somebody last held it against the real page (`YYYY-MM-DD`).
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.file.seen
    }

    /// A link that it takes, to show to people.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.file.example
    }

    /// The steps into a call; empty if the pack only knows links.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.file.steps
    }

    /// The steps out of a call.
    #[must_use]
    pub fn leave(&self) -> &[Step] {
        &self.file.leave
    }

    /// What shows which state.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.file.evidence
    }

    /// Where to read who is there.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.file.roster.as_ref()
    }

    /// Where to read messages.
    #[must_use]
    pub fn chat(&self) -> Option<&Chat> {
        self.file.chat.as_ref()
    }

    /// How a track finds its speaker.
    #[must_use]
    pub fn tracks(&self) -> &TrackOwner {
        &self.file.tracks
    }

    pub(crate) fn link_rules(&self) -> &[LinkRule] {
        &self.rules
    }
}

/// Why a pack cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PackError {
    /// No TOML, an unknown key, or a value of the wrong kind. The text has the line and the allowed values.
    Syntax(String),
    /// Everything else that is wrong with it; at least one.
    Invalid(Vec<Problem>),
}

/// One mistake in a pack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where, such as `evidence[2].selector`.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(text) => f.write_str(text),
            Self::Invalid(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for PackError {}

#[cfg(test)]
mod tests;
