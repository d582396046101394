//! Who is heard best.

use super::track::Track;

/// Somebody else takes over only when so many times as strong: 3 dB.
const TAKEOVER: f32 = 2.0;

#[derive(Debug, Default)]
pub(super) struct Dominant {
    current: Option<u32>,
}

impl Dominant {
    pub(super) fn choose(&mut self, tracks: &[Track]) -> Option<u32> {
        let speaking = || tracks.iter().filter(|track| track.speaking);
        let loudest = speaking().max_by(|a, b| a.power.total_cmp(&b.power));
        let current = speaking().find(|track| Some(track.id) == self.current);
        self.current = match (current, loudest) {
            (Some(current), Some(loudest)) if loudest.power < current.power * TAKEOVER => Some(current.id),
            (_, loudest) => loudest.map(|track| track.id),
        };
        self.current
    }
}
