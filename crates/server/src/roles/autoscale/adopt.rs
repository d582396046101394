//! What somebody else changed.

use muster_session::Timestamp;

use super::actuators::Count;
use super::kept::{Change, Kept};
use super::spare;

/// Without anybody to ask, a worker that was asked for and has not come after so many launches does not come.
const LAUNCHES: u32 = 2;

/// Lets the policy start from what is there.
///
/// A number of workers that is not the one that was asked for, and was set in a way that worked, was set by somebody else: an
/// operator, or a policy of the cloud's. It is respected, and counts as a change, so the cooldown begins; from there the policy
/// decides as ever, so what is too few is soon more. It has to be seen twice, because such services may answer with what was.
/// Where nobody can be asked (`none`, `dry-run`), the workers that
/// are alive count after a while if they are fewer. If they are more, whoever ends them has yet to: such as Kubernetes, which
/// would never be told the smaller number for long enough. `held` are those of the number that drain; none if it is not known, and
/// then nothing is taken over yet.
pub(super) fn adopt(kept: &mut Kept, there: Option<Count>, alive: Option<u32>, held: Option<u32>, now: Timestamp) {
    match (kept.memory.desired, there, alive) {
        (None, Some(there), _) => {
            kept.memory.desired = Some(there.workers.saturating_sub(held.unwrap_or(0)));
            kept.asked = Some(there.workers);
            kept.applied = true;
        }
        (Some(desired), Some(there), _)
            if there.others && kept.applied && there.workers != kept.asked.unwrap_or(desired) =>
        {
            if kept.elsewhere.replace(there.workers) == Some(there.workers)
                && let Some(held) = held
            {
                kept.elsewhere = None;
                kept.asked = Some(there.workers);
                elsewhere(kept, desired, there.workers.saturating_sub(held), alive, now);
            }
        }
        (Some(asked), None, Some(alive)) if alive < asked => {
            let since = kept.memory.out_at.max(kept.memory.in_at);
            if since.is_none_or(|since| now.since(since) > kept.launch() * LAUNCHES) {
                kept.memory.desired = Some(alive);
            }
        }
        _ => kept.elsewhere = None,
    }
}

fn elsewhere(kept: &mut Kept, from: u32, to: u32, alive: Option<u32>, now: Timestamp) {
    kept.memory.desired = Some(to);
    spare::note(kept, from, to, alive);
    let changed_at = if to > from { &mut kept.memory.out_at } else { &mut kept.memory.in_at };
    *changed_at = Some(now);
    let detail = "somebody else changed it".to_owned();
    kept.expected = to.saturating_sub(from);
    tracing::info!(from, to, "somebody else changed the number of workers");
    kept.note(Change { at_ms: now.as_millis(), from, to, reason: "elsewhere".to_owned(), detail });
}

#[cfg(test)]
mod tests {
    use muster_fleet::scaling::Memory;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn asked(workers: u32) -> Kept {
        let memory = Memory { desired: Some(workers), out_at: Some(at(0)), ..Memory::default() };
        Kept { memory, asked: Some(workers), applied: true, ..Kept::default() }
    }

    fn there(workers: u32) -> Option<Count> {
        Some(Count { workers, min: 0, max: 100, others: true })
    }

    #[test]
    fn what_is_there_at_first_is_where_it_begins() {
        let mut kept = Kept::default();
        adopt(&mut kept, there(3), Some(0), Some(0), at(0));
        assert_eq!((kept.memory.desired, kept.memory.out_at, kept.changes.len()), (Some(3), None, 0));
        let mut kept = Kept::default();
        adopt(&mut kept, None, Some(2), Some(0), at(0));
        assert_eq!(kept.memory.desired, None, "the policy takes those that are alive");
    }

    #[test]
    fn what_somebody_else_sets_is_respected_when_it_is_seen_twice() {
        let mut kept = asked(3);
        adopt(&mut kept, there(5), None, Some(0), at(10));
        assert_eq!(kept.memory.desired, Some(3));
        adopt(&mut kept, there(5), None, Some(0), at(20));
        assert_eq!((kept.memory.desired, kept.memory.out_at), (Some(5), Some(at(20))), "and the cooldown begins");
        assert_eq!(kept.changes.back().map(|change| (change.from, change.to)), Some((3, 5)));
        // An old answer, and then the right one.
        adopt(&mut kept, there(3), None, Some(0), at(30));
        adopt(&mut kept, there(5), None, Some(0), at(40));
        adopt(&mut kept, there(3), None, Some(0), at(50));
        assert_eq!(kept.memory.desired, Some(5));
    }

    #[test]
    fn those_that_drain_are_no_part_of_what_is_taken_over() {
        let mut kept = Kept::default();
        adopt(&mut kept, there(5), Some(3), Some(2), at(0));
        assert_eq!((kept.memory.desired, kept.asked), (Some(3), Some(5)));
        for seconds in [10, 20] {
            adopt(&mut kept, there(8), None, None, at(seconds));
        }
        assert_eq!((kept.memory.desired, kept.elsewhere), (Some(3), Some(8)), "who drains is not known");
        adopt(&mut kept, there(8), Some(3), Some(2), at(30));
        assert_eq!((kept.memory.desired, kept.asked, kept.elsewhere), (Some(6), Some(8), None));
    }

    #[test]
    fn what_was_not_done_is_not_somebody_elses() {
        let mut kept = Kept { applied: false, ..asked(5) };
        for seconds in [10, 20, 30] {
            adopt(&mut kept, there(3), None, Some(0), at(seconds));
        }
        assert_eq!(kept.memory.desired, Some(5));
        let own = Some(Count { others: false, ..there(3).unwrap() });
        let mut kept = asked(5);
        adopt(&mut kept, own, None, Some(0), at(10));
        adopt(&mut kept, own, None, Some(0), at(20));
        assert_eq!(kept.memory.desired, Some(5), "one of ours died");
    }

    #[test]
    fn with_nobody_to_ask_those_that_are_alive_count_after_a_while() {
        let mut kept = asked(5);
        adopt(&mut kept, None, Some(3), Some(0), at(100));
        assert_eq!(kept.memory.desired, Some(5), "they may be on their way");
        adopt(&mut kept, None, None, Some(0), at(200));
        assert_eq!(kept.memory.desired, Some(5), "nobody knows");
        adopt(&mut kept, None, Some(3), Some(0), at(200));
        assert_eq!((kept.memory.desired, kept.memory.out_at), (Some(3), Some(at(0))));
        adopt(&mut kept, None, Some(4), Some(0), at(900));
        assert_eq!(kept.memory.desired, Some(3), "one that is to go has yet to");
    }
}
