//! The bytes that MeetStream's receivers read, all numbers little endian:
//! `u8 1` · `u16` length and speaker id · `u16` length and speaker name · 16-bit PCM, 48 kHz, mono.

use bytes::{BufMut, Bytes, BytesMut};
use muster_session::BotId;

use crate::room::Person;

const AUDIO: u8 = 1;
/// Label of audio that is nobody's.
const NO_SPEAKER: &str = "NoSpeaker";
/// Longest id or name sent.
const MAX_LABEL_BYTES: usize = 1_024;

/// The first message on every connection.
pub(super) fn ready(bot: BotId) -> String {
    serde_json::json!({"type": "ready", "bot_id": bot, "message": "Live audio follows"}).to_string()
}

pub(super) fn audio(speaker: Option<&Person>, pcm: &[u8]) -> Bytes {
    let (id, name) = speaker.map_or((NO_SPEAKER, NO_SPEAKER), |p| (p.id.as_str(), p.name.as_str()));
    let mut frame = BytesMut::with_capacity(5 + id.len() + name.len() + pcm.len());
    frame.put_u8(AUDIO);
    for label in [id, name] {
        let label = &label[..label.floor_char_boundary(MAX_LABEL_BYTES)];
        frame.put_u16_le(u16::try_from(label.len()).expect("labels are cut"));
        frame.put_slice(label.as_bytes());
    }
    frame.put_slice(pcm);
    frame.freeze()
}
