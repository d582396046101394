//! From evidence to statements: which rule decides, whether it held for long enough, and what is said. Pure: no page
//! and no clock.

use std::time::{Duration, Instant};

use muster_session::EndReason;

use crate::pack::{Evidence, Seen, Shown};

/// What the evidence amounts to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Lobby,
    Admitted,
    Over { reason: EndReason, message: String },
    Note(String),
}

/// Weighs the evidence of one visit.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Vec<Evidence>,
    /// For each rule, since when it has held without a break.
    since: Vec<Option<Instant>>,
    seen: Option<Seen>,
    said: Option<Shown>,
    over: bool,
    leaving: bool,
    out: bool,
    /// A step that could not be done, until it is clear what that means.
    failure: Option<String>,
}

impl Judge {
    pub(super) fn new(rules: &[Evidence]) -> Self {
        Self {
            since: vec![None; rules.len()],
            rules: rules.to_vec(),
            seen: None,
            said: None,
            over: false,
            leaving: false,
            out: false,
            failure: None,
        }
    }

    /// These rules hold now, and no others.
    pub(super) fn observe(&mut self, now: Instant, holds: &[usize]) {
        for (index, since) in self.since.iter_mut().enumerate() {
            *since = if holds.contains(&index) { since.or(Some(now)) } else { None };
        }
    }

    /// A step that the way in needs could not be done.
    pub(super) fn step_failed(&mut self, message: String) {
        self.failure = Some(message);
    }

    /// From now on, being out is what we want.
    pub(super) fn leaving(&mut self) {
        self.leaving = true;
        self.failure = None;
    }

    /// The page showed that we are out of the call.
    pub(super) fn is_out(&self) -> bool {
        self.out
    }

    /// The end was decided elsewhere.
    pub(super) fn close(&mut self) {
        self.over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// What is to be said now. Ask again until there is nothing, and again at [`Judge::next_at`].
    pub(super) fn verdict(&mut self, now: Instant) -> Option<Verdict> {
        if self.over {
            return None;
        }
        match self.foremost() {
            Some((index, due)) if due <= now => {
                let state = self.rules[index].state;
                if self.said != Some(state) {
                    self.said = Some(state);
                    return self.say(index);
                }
            }
            // Something is about to be established: that decides what a failed step means.
            Some(_) => return None,
            None => {}
        }
        let failure = self.failure.take()?;
        if self.seen.is_some() {
            return Some(Verdict::Note(failure));
        }
        self.over = true;
        Some(Verdict::Over { reason: EndReason::UiChanged, message: failure })
    }

    /// When the evidence is to be weighed again although nothing changes.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.over {
            return None;
        }
        self.foremost().map(|(_, due)| due).filter(|due| *due > now)
    }

    /// The rule that decides, and when it has held for long enough. One that is still too young keeps weaker ones quiet:
    /// a page between two states has not shown either.
    fn foremost(&self) -> Option<(usize, Instant)> {
        let holding = self.rules.iter().zip(&self.since).enumerate().filter_map(|(index, (rule, since))| {
            let since = (*since)?;
            let is_late_enough = rule.after.is_none_or(|after| self.seen >= Some(after));
            let is_early_enough = rule.before.is_none_or(|before| self.seen < Some(before));
            (is_late_enough && is_early_enough)
                .then(|| (index, rule.priority, since + Duration::from_millis(rule.debounce_ms)))
        });
        // The first of equals: `max_by_key` would take the last.
        holding.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _, due)| (index, due))
    }

    fn say(&mut self, index: usize) -> Option<Verdict> {
        let rule = &self.rules[index];
        let Some(reason) = rule.state.end() else {
            return Some(if rule.state == Shown::Lobby {
                self.seen = self.seen.max(Some(Seen::Lobby));
                Verdict::Lobby
            } else {
                self.seen = Some(Seen::Admitted);
                Verdict::Admitted
            });
        };
        self.over = true;
        if self.leaving {
            self.out = true;
            return None;
        }
        let words = match rule.state {
            Shown::Left => "The page left the call by itself",
            _ => reason.message(),
        };
        Some(Verdict::Over { reason, message: rule.message.clone().unwrap_or_else(|| words.to_owned()) })
    }
}

#[cfg(test)]
mod tests;
