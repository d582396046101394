//! JSON as Python writes it: `json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)`.
//!
//! A reader of its own, as every number has to be known as it is written: Python keeps whole numbers of any length, and
//! writes others as the shortest text that reads back as the same one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Values in values at the most. Python stops at about a thousand; no webhook has ten.
const MAX_DEPTH: u32 = 128;

/// Rewrites a JSON text; `None` if it is not one, or one that Python could not have written as UTF-8.
pub(super) fn json(text: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader { text: std::str::from_utf8(text).ok()?, at: 0 };
    let node = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    node.write(&mut out);
    Some(out.into_bytes())
}

enum Node {
    /// Written already: a string, a number or a name.
    Leaf(String),
    Array(Vec<Node>),
    /// Bytes of UTF-8 sort as their code points do, which is how Python sorts. Of equal keys the last counts.
    Object(BTreeMap<String, Node>),
}

impl Node {
    fn write(&self, out: &mut String) {
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Array(nodes) => {
                out.push('[');
                for (index, node) in nodes.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    node.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (index, (key, node)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(key));
                    out.push(':');
                    node.write(out);
                }
                out.push('}');
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn run(&mut self, of: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&of) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn blanks(&mut self) {
        self.run(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn value(&mut self, depth: u32) -> Option<Node> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(|text| Node::Leaf(quoted(&text))),
            b'-' | b'0'..=b'9' => self.number().map(Node::Leaf),
            _ => match self.run(|byte| byte.is_ascii_alphabetic()) {
                name @ ("true" | "false" | "null") => Some(Node::Leaf(name.to_owned())),
                _ => None,
            },
        }
    }

    /// After a value: true if another follows, false at the end.
    fn more(&mut self, end: u8) -> Option<bool> {
        self.blanks();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == end => Some(false),
            _ => None,
        }
    }

    fn object(&mut self, depth: u32) -> Option<Node> {
        self.take(b'{')?;
        let mut entries = BTreeMap::new();
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(Node::Object(entries));
        }
        loop {
            self.blanks();
            let key = self.string()?;
            self.blanks();
            self.take(b':')?;
            entries.insert(key, self.value(depth + 1)?);
            if !self.more(b'}')? {
                return Some(Node::Object(entries));
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<Node> {
        self.take(b'[')?;
        let mut nodes = Vec::new();
        self.blanks();
        if self.take(b']').is_some() {
            return Some(Node::Array(nodes));
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            if !self.more(b']')? {
                return Some(Node::Array(nodes));
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut text = String::new();
        loop {
            text.push_str(self.run(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\'));
            if self.take(b'"').is_some() {
                return Some(text);
            }
            self.take(b'\\')?;
            text.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                match char::from_u32(first) {
                    Some(char) => char,
                    None => {
                        self.take(b'\\')?;
                        self.take(b'u')?;
                        let pair = [u16::try_from(first).ok()?, u16::try_from(self.unit()?).ok()?];
                        // Half of a pair is no text that could be written as UTF-8.
                        char::decode_utf16(pair).next()?.ok()?
                    }
                }
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        let _ = self.take(b'-');
        let digits = |reader: &mut Self| reader.run(|byte| byte.is_ascii_digit()).len();
        let zero = self.peek()? == b'0';
        let whole = digits(self);
        if whole == 0 || (zero && whole > 1) {
            return None;
        }
        let mut float = false;
        if self.take(b'.').is_some() {
            float = true;
            (digits(self) > 0).then_some(())?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            (digits(self) > 0).then_some(())?;
        }
        let text = &self.text[start..self.at];
        Some(match (float, text) {
            (true, _) => repr(text.parse().ok()?),
            (false, "-0") => "0".to_owned(),
            (false, _) => text.to_owned(),
        })
    }
}

/// What `float.__repr__` gives: the shortest digits that read back as the same number, with an exponent where there would be
/// more than four noughts after the point or more than sixteen digits before it.
fn repr(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let shortest = format!("{number:e}");
    let count = shortest.split('e').next().map_or(0, |mantissa| mantissa.matches(|c: char| c.is_ascii_digit()).count());
    // Where two of the shortest are as near, Rust takes the upper one and Python the even one. So does this format.
    let nearest = format!("{number:.*e}", count.saturating_sub(1));
    let scientific = if nearest.parse() == Ok(number) { nearest } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').expect("this format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    match usize::try_from(exponent) {
        Ok(whole @ 0..16) if digits.len() <= whole + 1 => format!("{sign}{digits:0<width$}.0", width = whole + 1),
        Ok(whole @ 0..16) => format!("{sign}{}.{}", &digits[..=whole], &digits[whole + 1..]),
        Err(_) if exponent >= -4 => {
            format!("{sign}0.{digits:0>width$}", width = digits.len() + exponent.unsigned_abs() as usize - 1)
        }
        large_or_small => {
            let toward = if large_or_small.is_ok() { '+' } else { '-' };
            format!("{sign}{mantissa}e{toward}{:02}", exponent.unsigned_abs())
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(char)).expect("writing to a text succeeds"),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}
