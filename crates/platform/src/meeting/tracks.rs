//! Whose voice a track carries. Pure.

use std::collections::{BTreeMap, HashSet};

use regex::Regex;

use super::event::PageEvent;
use crate::pack::TrackOwner;

#[derive(Debug)]
struct Track {
    stream_ids: Vec<String>,
    track_id: String,
    owner: Option<String>,
}

/// The live tracks, with what is known of their owners.
#[derive(Debug)]
pub(super) struct Tracks {
    by_stream_id: bool,
    pattern: Option<Regex>,
    live: BTreeMap<u32, Track>,
    /// Everybody who was ever in the roster: the last words of those who left are still on the way.
    people: HashSet<String>,
    owners: BTreeMap<String, String>,
}

impl Tracks {
    pub(super) fn new(rule: &TrackOwner) -> Self {
        let pattern = match rule {
            TrackOwner::StreamId { pattern } => pattern.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
            _ => None,
        };
        Self {
            by_stream_id: matches!(rule, TrackOwner::StreamId { .. }),
            pattern,
            live: BTreeMap::new(),
            people: HashSet::new(),
            owners: BTreeMap::new(),
        }
    }

    pub(super) fn started(&mut self, track: u32, stream_ids: Vec<String>, track_id: String) -> PageEvent {
        let mut new = Track { stream_ids, track_id, owner: None };
        new.owner = self.owner(&new);
        let event = PageEvent::TrackStarted { track, participant: new.owner.clone() };
        self.live.insert(track, new);
        event
    }

    pub(super) fn ended(&mut self, track: u32) -> Option<PageEvent> {
        self.live.remove(&track).map(|_| PageEvent::TrackEnded { track })
    }

    /// The document with all of them is gone.
    pub(super) fn all_ended(&mut self) -> Vec<PageEvent> {
        std::mem::take(&mut self.live).into_keys().map(|track| PageEvent::TrackEnded { track }).collect()
    }

    /// Takes what the page says; answers the tracks whose owner became known or is another one.
    pub(super) fn learn<'a>(
        &mut self,
        people: impl IntoIterator<Item = &'a str>,
        owners: &BTreeMap<String, String>,
    ) -> Vec<PageEvent> {
        for id in people {
            if !self.people.contains(id) {
                self.people.insert(id.to_owned());
            }
        }
        self.owners.clone_from(owners);
        let found: Vec<(u32, String)> = self
            .live
            .iter()
            .filter_map(|(number, track)| {
                let owner = self.owner(track)?;
                (track.owner.as_ref() != Some(&owner)).then_some((*number, owner))
            })
            .collect();
        for (number, owner) in &found {
            if let Some(track) = self.live.get_mut(number) {
                track.owner = Some(owner.clone());
            }
        }
        found.into_iter().map(|(track, owner)| PageEvent::TrackStarted { track, participant: Some(owner) }).collect()
    }

    fn owner(&self, track: &Track) -> Option<String> {
        if !self.by_stream_id {
            let ids = track.stream_ids.iter().chain([&track.track_id]);
            return ids.filter_map(|id| self.owners.get(id)).next().cloned();
        }
        let person = |id: &String| match &self.pattern {
            None => Some(id.clone()),
            Some(pattern) => Some(pattern.captures(id)?.get(1)?.as_str().to_owned()),
        };
        track.stream_ids.iter().filter_map(person).find(|id| self.people.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(track: u32, participant: Option<&str>) -> PageEvent {
        PageEvent::TrackStarted { track, participant: participant.map(str::to_owned) }
    }

    #[test]
    fn a_stream_id_counts_once_the_roster_has_it() {
        let mut tracks = Tracks::new(&TrackOwner::StreamId { pattern: Some("^(.*)-audio$".to_owned()) });
        let streams = vec!["x".to_owned(), "ada-audio".to_owned()];
        assert_eq!(tracks.started(1, streams.clone(), "t".to_owned()), said(1, None));
        assert_eq!(tracks.learn(["grace"], &BTreeMap::new()), []);
        assert_eq!(tracks.learn(["grace", "ada"], &BTreeMap::new()), [said(1, Some("ada"))]);
        assert_eq!(tracks.learn([], &BTreeMap::new()), [], "said once; and who left keeps their voice");
        assert_eq!(tracks.started(2, streams, "t2".to_owned()), said(2, Some("ada")));
        assert_eq!(tracks.ended(2), Some(PageEvent::TrackEnded { track: 2 }));
        assert_eq!(tracks.ended(2), None);
    }

    #[test]
    fn the_page_says_whose_a_stream_or_track_is_and_may_change_its_mind() {
        let mut tracks = Tracks::new(&TrackOwner::Script { script: String::new() });
        assert_eq!(tracks.started(1, vec!["s".to_owned()], "t".to_owned()), said(1, None));
        let owners = |id: &str, who: &str| BTreeMap::from([(id.to_owned(), who.to_owned())]);
        assert_eq!(tracks.learn([], &owners("t", "ada")), [said(1, Some("ada"))]);
        assert_eq!(tracks.learn([], &owners("s", "grace")), [said(1, Some("grace"))]);
        assert_eq!(tracks.learn([], &BTreeMap::new()), []);
    }

    #[test]
    fn a_mixed_track_has_no_owner() {
        let mut tracks = Tracks::new(&TrackOwner::Mixed);
        assert_eq!(tracks.started(1, vec!["ada".to_owned()], "t".to_owned()), said(1, None));
        assert_eq!(tracks.learn(["ada"], &BTreeMap::new()), []);
    }
}
