//! Who is in the call, and whose voice a track carries. Pure.

use std::collections::{BTreeMap, HashMap};

/// Somebody in the call, as the platform names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// Somebody came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) joined: bool,
    pub(crate) person: Person,
}

/// The others in the call, and the live tracks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    here: BTreeMap<String, String>,
    /// Also of those who left: their last words are still on the way.
    names: HashMap<String, String>,
    tracks: BTreeMap<u32, Option<String>>,
}

impl Room {
    /// Takes the whole roster without ourselves; answers what changed, departures first.
    pub(crate) fn roster(&mut self, others: Vec<Person>) -> Vec<Change> {
        let now: BTreeMap<String, String> = others.into_iter().map(|p| (p.id, p.name)).collect();
        let person = |(id, name): (&String, &String)| Person { id: id.clone(), name: name.clone() };
        let left = self.here.iter().filter(|(id, _)| !now.contains_key(*id));
        let mut changes: Vec<Change> = left.map(|p| Change { joined: false, person: person(p) }).collect();
        let came = now.iter().filter(|(id, _)| !self.here.contains_key(*id));
        changes.extend(came.map(|p| Change { joined: true, person: person(p) }));
        self.names.extend(now.iter().map(|(id, name)| (id.clone(), name.clone())));
        self.here = now;
        changes
    }

    /// The others.
    pub(crate) fn people(&self) -> impl Iterator<Item = Person> + '_ {
        self.here.iter().map(|(id, name)| Person { id: id.clone(), name: name.clone() })
    }

    /// Names of the others.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.here.values().map(String::as_str)
    }

    pub(crate) fn others(&self) -> usize {
        self.here.len()
    }

    /// A track began, or turned out to be somebody's.
    pub(crate) fn track_started(&mut self, track: u32, participant: Option<String>) {
        let known = self.tracks.entry(track).or_default();
        if participant.is_some() {
            *known = participant;
        }
    }

    pub(crate) fn track_ended(&mut self, track: u32) {
        self.tracks.remove(&track);
    }

    pub(crate) fn tracks(&self) -> usize {
        self.tracks.len()
    }

    /// The tracks whose owner is known.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (u32, Person)> + '_ {
        self.tracks.keys().filter_map(|track| Some((*track, self.speaker(*track)?)))
    }

    /// Whose track it is, if that is known.
    pub(crate) fn speaker(&self, track: u32) -> Option<Person> {
        let id = self.tracks.get(&track)?.as_ref()?;
        Some(Person { id: id.clone(), name: self.names.get(id).unwrap_or(id).clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, name: &str) -> Person {
        Person { id: id.into(), name: name.into() }
    }

    #[test]
    fn tells_who_came_and_went_once() {
        let mut room = Room::default();
        let (ada, grace) = (person("1", "Ada"), person("2", "Grace"));
        let change = |joined, person: &Person| Change { joined, person: person.clone() };
        assert_eq!(room.roster(vec![ada.clone(), grace.clone()]), [change(true, &ada), change(true, &grace)]);
        assert_eq!(room.roster(vec![grace.clone(), ada.clone()]), []);
        assert_eq!(room.roster(vec![grace.clone(), person("1", "Ada L.")]), [], "a new name is no new person");
        assert_eq!(room.roster(vec![ada.clone()]), [change(false, &grace)]);
        assert_eq!(room.names().collect::<Vec<_>>(), ["Ada"]);
    }

    #[test]
    fn a_track_keeps_its_owner_and_learns_it_late() {
        let mut room = Room::default();
        room.track_started(7, None);
        assert_eq!(room.speaker(7), None);
        room.track_started(7, Some("1".into()));
        assert_eq!(room.speaker(7), Some(person("1", "1")), "a name is not known yet");
        room.roster(vec![person("1", "Ada")]);
        room.track_started(7, None);
        assert_eq!(room.speaker(7), Some(person("1", "Ada")));
        room.roster(vec![]);
        assert_eq!(room.speaker(7), Some(person("1", "Ada")), "last words");
        room.track_ended(7);
        assert_eq!((room.speaker(7), room.tracks()), (None, 0));
    }
}
