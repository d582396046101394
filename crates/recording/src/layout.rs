use std::fmt::Write as _;
use std::sync::Arc;

use muster_session::Timestamp;
use object_store::path::Path;

/// Where and how one attempt of a bot records.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything of the bot is below this path.
    pub prefix: Path,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the first frame begins.
    pub start: Timestamp,
    /// Length of a segment; at least 1.
    pub segment_seconds: u32,
    /// Store each participant by themselves too.
    pub separate_tracks: bool,
}

impl Layout {
    fn attempt(&self) -> Path {
        self.prefix.clone().join(format!("a{}", self.attempt))
    }

    pub(crate) fn mixed(&self, seq: u64) -> Path {
        self.attempt().join("mixed").join(file(seq))
    }

    pub(crate) fn track(&self, track: &TrackId, seq: u64) -> Path {
        self.attempt().join("tracks").join(track.directory()).join(file(seq))
    }

    pub(crate) fn events(&self, seq: u64) -> Path {
        self.attempt().join("events").join(format!("{seq:06}.jsonl"))
    }
}

/// The name of an audio file with this number.
pub(crate) fn file(seq: u64) -> String {
    format!("{seq:06}.ogg")
}

/// A participant, as tracks are labelled. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId {
    id: Arc<str>,
    name: Arc<str>,
}

impl TrackId {
    /// The platform's id of the participant, and their name for display. What is too long is cut (200 characters).
    #[must_use]
    pub fn new(id: &str, name: &str) -> Self {
        let cut = |text: &str| text.chars().take(200).collect::<String>().into();
        Self { id: cut(id), name: cut(name) }
    }

    /// The platform's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The display name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A name that every store accepts and no two ids share: the id itself if it is plain, else its bytes in
    /// hexadecimal, which a plain id cannot look like because of the dot.
    pub(crate) fn directory(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if (1..=100).contains(&self.id.len()) && self.id.chars().all(plain) {
            return self.id.to_string();
        }
        let mut hex = String::from("x.");
        // Names of files end at 255 bytes on most systems; a longer id is told apart by a checksum of the rest.
        for byte in self.id.bytes().take(100) {
            let _ = write!(hex, "{byte:02x}");
        }
        if self.id.len() > 100 {
            let rest = self
                .id
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            let _ = write!(hex, ".{rest:016x}");
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_contract() {
        let layout = Layout {
            prefix: Path::from("recordings/default/b"),
            attempt: 2,
            start: Timestamp::from_millis(0),
            segment_seconds: 5,
            separate_tracks: true,
        };
        assert_eq!(layout.mixed(7).as_ref(), "recordings/default/b/a2/mixed/000007.ogg");
        assert_eq!(
            layout.track(&TrackId::new("ada", "Ada"), 0).as_ref(),
            "recordings/default/b/a2/tracks/ada/000000.ogg"
        );
        assert_eq!(layout.events(1).as_ref(), "recordings/default/b/a2/events/000001.jsonl");
    }

    #[test]
    fn directories_are_safe_and_distinct() {
        let ids =
            ["ada", "x.616461", "", ".", "..", "a/b", "spaces/abc/devices/1", "é", &"y".repeat(150), &"y".repeat(160)];
        let names: Vec<String> = ids.iter().map(|id| TrackId::new(id, "").directory()).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(name.len() < 250 && !name.contains('/') && name != "." && name != "..", "{name}");
            assert!(!names[..i].contains(name), "{name} twice");
        }
        assert_eq!(names[0], "ada");
    }
}
