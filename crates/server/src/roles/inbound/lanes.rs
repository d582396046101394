//! One thing of a kind at a time, in the order in which they came.

use std::collections::{HashMap, VecDeque};

/// What waits, by lane. A lane that is known is worked on.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    waiting: HashMap<String, VecDeque<T>>,
    in_hand: usize,
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

    /// Takes one; answers it if it is to be worked on now.
    pub(super) fn add(&mut self, lane: String, item: T) -> Option<(String, T)> {
        self.in_hand += 1;
        if let Some(waiting) = self.waiting.get_mut(&lane) {
            waiting.push_back(item);
            return None;
        }
        self.waiting.insert(lane.clone(), VecDeque::new());
        Some((lane, item))
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
        assert_eq!(lanes.add(lane("a"), 1), Some((lane("a"), 1)));
        assert_eq!(lanes.add(lane("a"), 2), None);
        assert_eq!(lanes.add(lane("b"), 3), Some((lane("b"), 3)));
        assert_eq!(lanes.add(lane("a"), 4), None);
        assert_eq!(lanes.in_hand(), 4);
        assert_eq!(lanes.done(lane("a")), Some((lane("a"), 2)));
        assert_eq!(lanes.done(lane("b")), None);
        assert_eq!(lanes.done(lane("a")), Some((lane("a"), 4)));
        assert_eq!(lanes.done(lane("a")), None);
        assert_eq!((lanes.in_hand(), lanes.waiting.len()), (0, 0));
    }
}
