//! Whose voice a track is, as recordings label it.

use std::borrow::Cow;
use std::collections::HashMap;

use muster_recording::TrackId;

use crate::room::Person;

/// Labels of tracks. A track has one from its first frame on: a placeholder until its owner is known.
#[derive(Debug)]
pub(super) struct Voices {
    attempt: u32,
    labels: HashMap<u32, Label>,
}

#[derive(Debug)]
struct Label {
    id: TrackId,
    known: bool,
}

impl Voices {
    pub(super) fn new(attempt: u32) -> Self {
        Self { attempt, labels: HashMap::new() }
    }

    /// The owner of a track. Answers the placeholder that the track had before, if it was heard under one.
    pub(super) fn learn(&mut self, track: u32, owner: &Person) -> Option<TrackId> {
        if self.labels.get(&track).is_some_and(|label| label.known && is(&label.id, owner)) {
            return None;
        }
        let label = Label { id: TrackId::new(&owner.id, &owner.name), known: true };
        self.labels.insert(track, label).filter(|before| !before.known).map(|before| before.id)
    }

    pub(super) fn label(&mut self, track: u32) -> &TrackId {
        let attempt = self.attempt;
        let placeholder = || Label { id: placeholder(attempt, track), known: false };
        &self.labels.entry(track).or_insert_with(placeholder).id
    }

    /// Everybody's samples by label: tracks of one owner are added up.
    pub(super) fn gather<'a>(&mut self, tracks: &[(u32, &'a [i16])]) -> Vec<(TrackId, Cow<'a, [i16]>)> {
        let mut voices: Vec<(TrackId, Cow<'a, [i16]>)> = Vec::with_capacity(tracks.len());
        for (track, pcm) in tracks {
            let label = self.label(*track);
            match voices.iter_mut().find(|(id, _)| id.id() == label.id()) {
                Some((_, sum)) => {
                    sum.to_mut().iter_mut().zip(*pcm).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
                }
                None => voices.push((label.clone(), Cow::Borrowed(pcm))),
            }
        }
        voices
    }
}

/// Unique over the attempts of a bot, whose recordings become one.
fn placeholder(attempt: u32, track: u32) -> TrackId {
    TrackId::new(&format!("unknown-{attempt}-{track}"), &format!("Unknown {track}"))
}

fn is(id: &TrackId, person: &Person) -> bool {
    *id == TrackId::new(&person.id, &person.name)
}

/// A label as a person, for live listeners.
pub(super) fn person(id: &TrackId) -> Person {
    Person { id: id.id().to_owned(), name: id.name().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada(name: &str) -> Person {
        Person { id: "ada".into(), name: name.into() }
    }

    #[test]
    fn a_track_that_was_heard_early_tells_its_placeholder_once() {
        let mut voices = Voices::new(2);
        assert_eq!(voices.label(7).id(), "unknown-2-7");
        let before = voices.learn(7, &ada("ada")).unwrap();
        assert_eq!(before.id(), "unknown-2-7");
        assert_eq!(voices.learn(7, &ada("ada")), None);
        assert_eq!(voices.learn(7, &ada("Ada L.")), None, "a name is no new owner");
        assert_eq!(*voices.label(7), TrackId::new("ada", "Ada L."));
        assert_eq!(voices.learn(8, &ada("Ada L.")), None, "never heard without an owner");
    }

    #[test]
    fn tracks_of_one_owner_are_one_voice() {
        let mut voices = Voices::new(1);
        voices.learn(1, &ada("Ada"));
        voices.learn(3, &ada("Ada"));
        let heard = voices.gather(&[(1, &[30_000, 5]), (2, &[1, 1]), (3, &[30_000, -6])]);
        let heard: Vec<(&str, &[i16])> = heard.iter().map(|(id, pcm)| (id.id(), &pcm[..])).collect();
        assert_eq!(heard, [("ada", &[i16::MAX, -1][..]), ("unknown-1-2", &[1, 1])]);
    }
}
