//! Between a payload and the text that SQS carries.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What stands before a payload that SQS would not take as it is.
const CODED: &str = "base64:";

/// The payload itself if it can be sent, so that it can be read in the console; otherwise in base64.
pub(super) fn encode(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) if !text.is_empty() && text.chars().all(is_allowed) && !text.starts_with(CODED) => text.to_owned(),
        _ => format!("{CODED}{}", STANDARD.encode(payload)),
    }
}

/// What [`encode`] was given. A body from elsewhere is a payload as it is.
pub(super) fn decode(body: &str) -> Vec<u8> {
    let coded = body.strip_prefix(CODED).and_then(|coded| STANDARD.decode(coded).ok());
    coded.unwrap_or_else(|| body.as_bytes().to_vec())
}

/// A text that SQS takes for an attribute of a message: none is too long, none empty.
pub(super) fn attribute(text: &str) -> String {
    const LONGEST_CHARS: usize = 4_096;
    let text: String = text.chars().take(LONGEST_CHARS).map(|c| if is_allowed(c) { c } else { '\u{fffd}' }).collect();
    if text.is_empty() { "no reason".into() } else { text }
}

/// The characters of XML 1.0.
const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_readable_and_the_rest_is_coded() {
        assert_eq!(encode(br#"{"kind":"run"}"#), r#"{"kind":"run"}"#);
        assert_eq!(encode(b""), "base64:");
        assert_eq!(encode(b"\0"), "base64:AA==");
        assert_eq!(decode("base64:no code"), b"base64:no code");
        assert_eq!((attribute(""), attribute("a\u{7}b")), ("no reason".into(), "a\u{fffd}b".into()));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(bytes: Vec<u8>, text: String) {
            for payload in [bytes, text.clone().into_bytes(), format!("{CODED}{text}").into_bytes()] {
                let body = encode(&payload);
                prop_assert!(!body.is_empty() && body.chars().all(is_allowed));
                prop_assert_eq!(decode(&body), payload);
            }
        }
    }
}
