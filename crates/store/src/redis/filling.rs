//! A page that is filled a part at a time, so that no script looks at more than a part.

use crate::codec::PAGE_MAX;

/// How many entries a script looks at where most of them may not be wanted.
const LOOK: usize = 100;

/// The entries so far, newest first, and where to look on.
pub(super) struct Filling<T> {
    limit: usize,
    look: usize,
    /// The newest end of what was not looked at; none if nothing is left.
    newest: Option<String>,
    found: Vec<(String, T)>,
}

impl<T> Filling<T> {
    /// Of at most `limit` entries below `newest`. If they are `filtered`, others are looked at too.
    pub(super) fn new(limit: u32, filtered: bool, newest: String) -> Self {
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        // One too many: that is how it is known that there is a next page.
        let look = if filtered { LOOK.max(limit + 1) } else { limit + 1 };
        Self { limit, look, newest: Some(newest), found: Vec::new() }
    }

    /// How many to look at, and below what; none if the page is full or there is no more.
    pub(super) fn next_look(&self) -> Option<(usize, &str)> {
        let newest = self.newest.as_deref().filter(|_| self.found.len() <= self.limit)?;
        Some((self.look, newest))
    }

    /// Adds an entry, the oldest so far, at this place.
    pub(super) fn add(&mut self, place: String, entry: T) {
        self.found.push((place, entry));
    }

    /// Down to this place was looked; if it is empty, to the end.
    pub(super) fn looked(&mut self, seen: &str) {
        self.newest = (!seen.is_empty()).then(|| format!("({seen}"));
    }

    /// The page, and the place of its last entry if there is a next page.
    pub(super) fn into_page(mut self) -> (Vec<T>, Option<String>) {
        let more = self.found.len() > self.limit;
        self.found.truncate(self.limit);
        let last = self.found.last().filter(|_| more).map(|(place, _)| place.clone());
        (self.found.into_iter().map(|(_, entry)| entry).collect(), last)
    }
}
