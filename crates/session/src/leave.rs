//! When a bot leaves by itself. Several independent rules, each with a hard bound; an unknown signal never suspends
//! the others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{EndReason, Timestamp};

/// The caller's `automatic_leave`, with defaults filled in. All in whole seconds, as on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeavePolicy {
    /// Longest wait in a lobby.
    pub waiting_room_timeout: u32,
    /// Longest stay in a call that nobody else ever joined.
    pub no_one_joined_timeout: u32,
    /// Longest stay after everyone else left.
    pub everyone_left_timeout: u32,
    /// Longest stay while nobody speaks.
    pub voice_inactivity_timeout: u32,
    /// Longest stay at all, counted from admission.
    pub in_call_recording_timeout: u32,
    /// How long a refused recording permission is borne (Zoom).
    pub recording_permission_denied_timeout: u32,
    /// Leave when only bots are left, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_detection: Option<BotDetection>,
}

impl Default for LeavePolicy {
    fn default() -> Self {
        Self {
            waiting_room_timeout: 600,
            no_one_joined_timeout: 600,
            everyone_left_timeout: 300,
            voice_inactivity_timeout: 100,
            in_call_recording_timeout: 14_400,
            recording_permission_denied_timeout: 60,
            bot_detection: None,
        }
    }
}

/// Recognises other bots by their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BotDetection {
    /// A participant is a bot when its name contains one of these, in any case.
    pub matches: Vec<String>,
    /// Seconds after admission before the rule is armed.
    pub activate_after: u32,
    /// Seconds that only bots must be left.
    pub timeout: u32,
}

/// What the bot knows about the room; kept by the bot, judged by [`LeavePolicy::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    admitted_at: Timestamp,
    last_voice: Timestamp,
    ever_accompanied: bool,
    roster: Roster,
    alone_since: Option<Timestamp>,
    only_bots_since: Option<Timestamp>,
}

/// What the roster is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Roster {
    /// It never showed anybody: it may not be readable.
    Unread,
    /// It shows others.
    Shows,
    /// It showed others, and shows nobody now.
    Emptied,
}

impl Presence {
    /// At the moment of admission: alone until the roster or a voice says otherwise.
    #[must_use]
    pub const fn new(admitted_at: Timestamp) -> Self {
        Self {
            admitted_at,
            last_voice: admitted_at,
            ever_accompanied: false,
            roster: Roster::Unread,
            alone_since: Some(admitted_at),
            only_bots_since: None,
        }
    }

    /// Somebody spoke. A voice proves company even where the roster is unknown. Last words are heard after the roster showed
    /// that their speaker left, and it is not told again: they are company, and then nobody is there.
    pub fn heard(&mut self, now: Timestamp) {
        self.last_voice = self.last_voice.max(now);
        self.ever_accompanied = true;
        self.alone_since = (self.roster == Roster::Emptied).then_some(now);
    }

    /// Back in the call after a time of which nothing is known: what has to last for some time begins anew.
    pub fn resume(&mut self, now: Timestamp) {
        self.last_voice = self.last_voice.max(now);
        for since in [&mut self.alone_since, &mut self.only_bots_since].into_iter().flatten() {
            *since = now;
        }
    }

    /// The roster, without ourselves: the names of the others.
    pub fn roster<'a>(
        &mut self,
        others: impl IntoIterator<Item = &'a str>,
        detection: Option<&BotDetection>,
        now: Timestamp,
    ) {
        let (mut people, mut bots) = (0_usize, 0_usize);
        for name in others {
            let name = name.to_lowercase();
            let is_bot = detection.is_some_and(|d| d.matches.iter().any(|m| name.contains(&m.to_lowercase())));
            if is_bot { bots += 1 } else { people += 1 }
        }
        if people + bots == 0 {
            if self.roster == Roster::Shows {
                self.roster = Roster::Emptied;
            }
            self.alone_since.get_or_insert(now);
        } else {
            self.roster = Roster::Shows;
            self.alone_since = None;
            self.ever_accompanied = true;
        }
        if people == 0 && bots > 0 {
            self.only_bots_since.get_or_insert(now);
        } else {
            self.only_bots_since = None;
        }
    }
}

impl LeavePolicy {
    /// The reason to leave now, if there is one. The rules are independent; the first in this order that holds wins.
    #[must_use]
    pub fn decide(&self, presence: &Presence, now: Timestamp) -> Option<EndReason> {
        let over = |since: Timestamp, seconds: u32| now.since(since) >= Duration::from_secs(u64::from(seconds));
        if over(presence.admitted_at, self.in_call_recording_timeout) {
            return Some(EndReason::MaxDuration);
        }
        if let Some(since) = presence.alone_since {
            let (timeout, reason) = if presence.ever_accompanied {
                (self.everyone_left_timeout, EndReason::EveryoneLeft)
            } else {
                (self.no_one_joined_timeout, EndReason::NoOneJoined)
            };
            if over(since, timeout) {
                return Some(reason);
            }
        }
        if let (Some(rule), Some(since)) = (&self.bot_detection, presence.only_bots_since)
            && over(presence.admitted_at, rule.activate_after)
            && over(since, rule.timeout)
        {
            return Some(EndReason::OnlyBotsLeft);
        }
        // Silence says nothing while nobody has come: that is the rule above, with its own bound.
        if presence.ever_accompanied && over(presence.last_voice, self.voice_inactivity_timeout) {
            return Some(EndReason::Silence);
        }
        None
    }

    /// How long the lobby is borne.
    #[must_use]
    pub const fn lobby(&self) -> Duration {
        Duration::from_secs(self.waiting_room_timeout as u64)
    }

    /// The longest possible stay.
    #[must_use]
    pub const fn longest_stay(&self) -> Duration {
        Duration::from_secs(self.in_call_recording_timeout as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_silent_empty_room_is_left_by_the_no_one_joined_rule() {
        let policy = LeavePolicy::default();
        let presence = Presence::new(at(0));
        assert_eq!(policy.decide(&presence, at(599)), None);
        assert_eq!(policy.decide(&presence, at(600)), Some(EndReason::NoOneJoined));
    }

    #[test]
    fn people_who_leave_start_the_other_clock() {
        let policy = LeavePolicy { voice_inactivity_timeout: 1_800, ..LeavePolicy::default() };
        let mut presence = Presence::new(at(0));
        presence.roster(["Ada"], None, at(10));
        presence.roster([], None, at(700));
        assert_eq!(policy.decide(&presence, at(999)), None);
        presence.roster([], None, at(999));
        assert_eq!(policy.decide(&presence, at(1_000)), Some(EndReason::EveryoneLeft));
        presence.roster(["Ada"], None, at(1_001));
        assert_eq!(policy.decide(&presence, at(1_002)), None);
    }

    #[test]
    fn a_voice_without_a_roster_is_company() {
        let policy = LeavePolicy::default();
        let mut presence = Presence::new(at(0));
        presence.heard(at(550));
        assert_eq!(policy.decide(&presence, at(649)), None);
        assert_eq!(policy.decide(&presence, at(650)), Some(EndReason::Silence));
    }

    #[test]
    fn last_words_that_are_heard_late_do_not_keep_anybody_in_the_room() {
        let policy = LeavePolicy { voice_inactivity_timeout: 1_800, ..LeavePolicy::default() };
        let mut presence = Presence::new(at(0));
        presence.roster(["Ada"], None, at(10));
        presence.roster([], None, at(700));
        presence.heard(at(701));
        assert_eq!(policy.decide(&presence, at(1_000)), None);
        assert_eq!(policy.decide(&presence, at(1_001)), Some(EndReason::EveryoneLeft));
        presence.roster(["Ada"], None, at(1_002));
        presence.heard(at(1_003));
        assert_eq!(policy.decide(&presence, at(2_000)), None, "somebody came");
    }

    #[test]
    fn a_roster_that_never_showed_anybody_is_no_word_against_a_voice() {
        let policy = LeavePolicy { voice_inactivity_timeout: 1_800, ..LeavePolicy::default() };
        let mut presence = Presence::new(at(0));
        presence.roster([], None, at(0));
        presence.heard(at(100));
        assert_eq!(policy.decide(&presence, at(1_899)), None);
        assert_eq!(policy.decide(&presence, at(1_900)), Some(EndReason::Silence));
    }

    #[test]
    fn what_was_not_seen_is_not_counted() {
        let rule = BotDetection { matches: vec!["notetaker".into()], activate_after: 0, timeout: 50 };
        let policy = LeavePolicy { bot_detection: Some(rule.clone()), ..LeavePolicy::default() };
        let mut presence = Presence::new(at(0));
        presence.roster(["NoteTaker"], Some(&rule), at(10));
        presence.resume(at(500));
        assert_eq!(policy.decide(&presence, at(549)), None);
        assert_eq!(policy.decide(&presence, at(550)), Some(EndReason::OnlyBotsLeft));
        presence.roster([], Some(&rule), at(560));
        presence.resume(at(1_000));
        assert_eq!(policy.decide(&presence, at(1_099)), None);
        assert_eq!(policy.decide(&presence, at(1_100)), Some(EndReason::Silence));
    }

    #[test]
    fn only_bots_needs_both_clocks() {
        let rule = BotDetection { matches: vec!["notetaker".into()], activate_after: 300, timeout: 5 };
        let policy = LeavePolicy { bot_detection: Some(rule.clone()), ..LeavePolicy::default() };
        let mut presence = Presence::new(at(0));
        presence.heard(at(290));
        presence.roster(["Big NoteTaker"], Some(&rule), at(291));
        assert_eq!(policy.decide(&presence, at(299)), None);
        assert_eq!(policy.decide(&presence, at(300)), Some(EndReason::OnlyBotsLeft));
        presence.roster(["Big NoteTaker", "Ada"], Some(&rule), at(301));
        assert_eq!(policy.decide(&presence, at(302)), None);
    }

    #[test]
    fn the_cap_holds_whatever_else_is_known() {
        let policy = LeavePolicy::default();
        let mut presence = Presence::new(at(0));
        presence.heard(at(14_399));
        assert_eq!(policy.decide(&presence, at(14_400)), Some(EndReason::MaxDuration));
    }
}
