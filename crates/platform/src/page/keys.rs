//! Keys by name, as the protocol wants them.

use serde_json::{Value, json};

/// Name, code, Windows key code and the text it types.
const NAMED: [(&str, &str, u32, &str); 13] = [
    ("Enter", "Enter", 13, "\r"),
    ("Tab", "Tab", 9, ""),
    ("Escape", "Escape", 27, ""),
    ("Backspace", "Backspace", 8, ""),
    ("Delete", "Delete", 46, ""),
    ("Space", "Space", 32, " "),
    ("Home", "Home", 36, ""),
    ("End", "End", 35, ""),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("F6", "F6", 117, ""),
];

/// The key's parameters without the type of the event. A single ASCII letter or digit is its own key.
pub(super) fn parameters(name: &str) -> Option<Value> {
    if let Some((key, code, number, text)) = NAMED.iter().find(|(key, ..)| *key == name) {
        let key = if *key == "Space" { " " } else { key };
        return Some(json!({ "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text }));
    }
    let mut characters = name.chars();
    let (character, None) = (characters.next()?, characters.next()) else { return None };
    if !character.is_ascii_alphanumeric() {
        return None;
    }
    let upper = character.to_ascii_uppercase();
    let code = if character.is_ascii_digit() { format!("Digit{upper}") } else { format!("Key{upper}") };
    Some(json!({ "key": name, "code": code, "windowsVirtualKeyCode": u32::from(upper), "text": name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_letters_and_digits_are_keys_and_nothing_else() {
        for name in ["Enter", "Escape", "Space", "a", "Z", "7"] {
            assert!(parameters(name).is_some(), "{name}");
        }
        for name in ["", "enter", "ab", "ü", "\n", "Control+A"] {
            assert!(parameters(name).is_none(), "{name:?}");
        }
        assert_eq!(parameters("a").unwrap()["code"], "KeyA");
    }
}
