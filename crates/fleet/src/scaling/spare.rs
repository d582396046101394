//! Which workers go when there are too many.

/// Of workers, each with its bots and a rank, those that go if `count` are to: the ones with the fewest bots, and of these the
/// lowest in rank. By when they began, the oldest program and machine go first.
pub fn least_busy<W, R: Ord>(workers: impl IntoIterator<Item = (W, u32, R)>, count: usize) -> Vec<W> {
    let mut all: Vec<_> = workers.into_iter().collect();
    all.sort_by(|(_, bots, rank), (_, others, other)| (bots, rank).cmp(&(others, other)));
    all.into_iter().take(count).map(|(worker, ..)| worker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_go_first_and_of_these_the_oldest() {
        let all = [("full", 8, 1), ("young", 2, 9), ("old", 2, 3), ("busy", 5, 2)];
        assert_eq!(least_busy(all, 0), Vec::<&str>::new());
        assert_eq!(least_busy(all, 3), ["old", "young", "busy"]);
        assert_eq!(least_busy(all, 9).len(), 4);
    }
}
