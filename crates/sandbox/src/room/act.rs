//! Actions, by the timeline or by hand.

use std::sync::Arc;

use super::Room;
use super::guest::Guest;
use super::voice::Utterance;
use crate::engine::{Moment, Outside};
use crate::scenario::Action;
use crate::speech::Speech;

/// Sounds that may wait for one mouth.
const MAX_WAITING: usize = 1_000;

impl Room {
    /// Does a valid action. `speech` is what a `speak` says, ready to send.
    ///
    /// # Errors
    /// What is missing, for people, if there is nothing to act on.
    pub(crate) fn act(
        &mut self,
        action: &Action,
        speech: Option<Arc<Speech>>,
        now: Moment,
        out: &Outside,
    ) -> Result<(), String> {
        if self.over {
            return Err("the meeting is over".to_owned());
        }
        match action {
            Action::Admit { target } => {
                for id in self.find(target.as_deref(), "in the lobby", |guest| !guest.is_in_call())? {
                    self.admit(&id, now, out);
                }
            }
            Action::Deny { target } => {
                for id in self.find(target.as_deref(), "in the lobby", |guest| !guest.is_in_call())? {
                    self.deny(&id, now);
                }
            }
            Action::Kick { target } => match target.as_deref().and_then(|target| self.find_voice(target)) {
                Some(id) => drop(self.remove_voice(&id, now)),
                None => {
                    for id in self.find(target.as_deref(), "in the call", Guest::is_in_call)? {
                        self.remove(&id, now);
                    }
                }
            },
            Action::End {} => self.end(now),
            Action::NetworkDrop { target } => {
                for id in self.find(target.as_deref(), "with a network", |guest| !guest.cut)? {
                    self.cut_off(&id, now);
                }
            }
            Action::NetworkReturn { target } => {
                for id in self.find(target.as_deref(), "cut off", |guest| guest.cut)? {
                    self.reach_again(&id, now);
                }
            }
            Action::Chat { from, text } => {
                let from = from.as_deref().unwrap_or("Host");
                let voice = self.find_voice(from).and_then(|id| self.voices.get(&id));
                let (id, name) = voice.map_or((from, from), |voice| (&voice.id, &voice.name));
                self.chat(id.to_owned(), name.to_owned(), text.clone(), now);
            }
            Action::ParticipantJoin { target, name } => {
                let planned = self.script.scenario.participants.iter().find(|planned| planned.id == *target);
                let name = name.as_deref().or(planned.map(|planned| planned.shown_name())).unwrap_or(target).to_owned();
                self.add_voice(target.clone(), name, now, out)?;
            }
            Action::ParticipantLeave { target } => {
                if !self.remove_voice(target, now) {
                    return Err(not_here(target));
                }
            }
            Action::Speak { target, .. } => {
                let voice = self.voices.get_mut(target).ok_or_else(|| not_here(target))?;
                if voice.waiting() >= MAX_WAITING {
                    return Err(format!("`{target}` has {MAX_WAITING} things to say already"));
                }
                let speech = speech.ok_or("there is nothing to say")?;
                voice.queue(Utterance { speech, item: None });
            }
        }
        Ok(())
    }

    fn find_voice(&self, target: &str) -> Option<String> {
        self.voices.values().find(|voice| voice.id == target || voice.name == target).map(|voice| voice.id.clone())
    }

    /// The ids of all guests, or those called `target`, who are `whereabouts`.
    fn find(
        &self,
        target: Option<&str>,
        whereabouts: &str,
        is_there: impl Fn(&Guest) -> bool,
    ) -> Result<Vec<String>, String> {
        let called = |guest: &&Guest| target.is_none_or(|target| guest.id == target || guest.name == target);
        let found: Vec<String> =
            self.guests.values().filter(called).filter(|g| is_there(g)).map(|g| g.id.clone()).collect();
        match target {
            _ if !found.is_empty() => Ok(found),
            Some(target) => Err(format!("there is no guest `{target}` {whereabouts}")),
            None => Err(format!("there is no guest {whereabouts}")),
        }
    }
}

fn not_here(target: &str) -> String {
    format!("there is no virtual participant `{target}` in the call")
}
