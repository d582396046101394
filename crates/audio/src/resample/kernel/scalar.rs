//! The reference: what the other kernels have to come out with.

use super::{Filter, HISTORY, LANES, MIDDLE, Phases};

pub(super) fn filter(phases: &Phases, filter: &Filter, out: &mut [f32]) {
    for (m, out) in out.iter_mut().enumerate() {
        let now = HISTORY + m;
        let mut sum = filter.middle * phases.row(0)[now - MIDDLE];
        for pairs in &filter.pairs {
            let (newer, older) = (phases.row(pairs.newer), phases.row(pairs.older));
            let positions = (0..LANES).flat_map(|residue| (residue..pairs.count).step_by(LANES));
            for (back, tap) in positions.zip(&pairs.taps) {
                sum += tap * (newer[now - back] + older[now + back - pairs.back]);
            }
        }
        *out = sum;
    }
}
