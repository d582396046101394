//! HMAC-SHA256 with keys that are prepared once.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What an HMAC-SHA256 is.
pub(crate) type Tag = [u8; 32];

/// A key, already mixed into the state of the hash: a check costs the message alone.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl Key {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length"))
    }

    /// Over the parts as if they were one.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).expect("four bits are a hex digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads 64 hex digits of either case.
pub(crate) fn unhex(text: &str) -> Option<Tag> {
    let digits = text.as_bytes();
    let mut tag = Tag::default();
    if digits.len() != 2 * tag.len() {
        return None;
    }
    for (byte, pair) in tag.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |of: u8| char::from(of).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_rfc_4231s() {
        let got = Key::new(b"Jefe").tag(&[b"what do ya want ", b"for nothing?"]);
        let text = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&got), text);
        assert_eq!(unhex(&text.to_uppercase()), Some(got));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('5', "g"), &text.replace("43", "é")] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
        assert!(!format!("{:?}", Key::new(b"Jefe")).contains("Jefe"));
    }
}
