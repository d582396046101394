//! One thing of a kind at a time, in the order in which they came.

use std::collections::{HashMap, VecDeque};

/// What one lane may have in hand: the others are to find room whatever is said of one bot.
const LANE: usize = 32;

/// What waits, by lane. A lane that is known is worked on.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    waiting: HashMap<String, VecDeque<T>>,
    in_hand: usize,
}

/// What became of one that was added.
#[derive(Debug, PartialEq)]
pub(super) enum Added<T> {
    /// It is to be worked on now, in this lane.
    Begin(String, T),
    /// It waits for those before it.
    Waits,
    /// Its lane has as much as it may: it was not taken.
    Refused(T),
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), in_hand: 0 }
    }
}

impl<T> Lanes<T> {
    /// What is worked on or waits.
    pub(super) const fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// Takes one, if there is room in its lane.
    pub(super) fn add(&mut self, lane: String, item: T) -> Added<T> {
        if let Some(waiting) = self.waiting.get_mut(&lane) {
            // Those that wait, and the one that is worked on.
            if waiting.len() + 1 >= LANE {
                return Added::Refused(item);
            }
            waiting.push_back(item);
            self.in_hand += 1;
            return Added::Waits;
        }
        self.waiting.insert(lane.clone(), VecDeque::new());
        self.in_hand += 1;
        Added::Begin(lane, item)
    }

    /// One of a lane is done; answers the next that is to be worked on.
    pub(super) fn done(&mut self, lane: String) -> Option<(String, T)> {
        self.in_hand -= 1;
        match self.waiting.get_mut(&lane)?.pop_front() {
            Some(next) => Some((lane, next)),
            None => {
                self.waiting.remove(&lane);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_worked_on_in_order_and_lanes_side_by_side() {
        let mut lanes = Lanes::default();
        let lane = |name: &str| name.to_owned();
        assert_eq!(lanes.add(lane("a"), 1), Added::Begin(lane("a"), 1));
        assert_eq!(lanes.add(lane("a"), 2), Added::Waits);
        assert_eq!(lanes.add(lane("b"), 3), Added::Begin(lane("b"), 3));
        assert_eq!(lanes.add(lane("a"), 4), Added::Waits);
        assert_eq!(lanes.in_hand(), 4);
        assert_eq!(lanes.done(lane("a")), Some((lane("a"), 2)));
        assert_eq!(lanes.done(lane("b")), None);
        assert_eq!(lanes.done(lane("a")), Some((lane("a"), 4)));
        assert_eq!(lanes.done(lane("a")), None);
        assert_eq!((lanes.in_hand(), lanes.waiting.len()), (0, 0));
    }
    #[test]
    fn a_lane_that_has_much_leaves_room_for_the_others() {
        let mut lanes = Lanes::default();
        let lane = |name: &str| name.to_owned();
        assert_eq!(lanes.add(lane("a"), 0), Added::Begin(lane("a"), 0));
        for item in 1..LANE {
            assert_eq!(lanes.add(lane("a"), item), Added::Waits);
        }
        assert_eq!(lanes.add(lane("a"), LANE), Added::Refused(LANE));
        assert_eq!(lanes.add(lane("b"), 0), Added::Begin(lane("b"), 0));
        assert_eq!(lanes.in_hand(), LANE + 1);
        assert_eq!(lanes.done(lane("a")), Some((lane("a"), 1)));
        assert_eq!(lanes.add(lane("a"), LANE), Added::Waits, "there is room again");
    }
}
