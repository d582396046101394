//! Reads keys one by one, remembers what each is for, and collects every mistake.

mod named;
mod print;
mod urls;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keys;
pub(crate) use urls::without_userinfo;

/// Where values come from, weakest first. Tests fill it by hand; nothing here touches the process.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path (for messages) and content of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables; those that do not begin with `MUSTER_` are ignored.
    pub env: Vec<(String, String)>,
    /// Flags, as (dotted key, value).
    pub flags: Vec<(String, String)>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {count} problem{s}:\n{list}", count = problems.len(), s = if problems.len() == 1 { "" } else { "s" }, list = problems.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// One line a problem; each names the key.
    pub problems: Vec<String>,
}

/// What a key is for.
#[derive(Clone, Debug)]
pub struct KeyDoc {
    key: &'static str,
    default: Option<String>,
    doc: &'static str,
    range: Option<String>,
}

/// Variables with the prefix that are not configuration keys.
const RESERVED: [&str; 6] = ["API_KEY", "CONFIG", "SERVER", "LOG", "BOT_ID", "REQUIRE_SERVERS"];

/// A text key with its default and description.
pub(super) struct Text {
    key: &'static str,
    default: &'static str,
    doc: &'static str,
}

impl Text {
    pub(super) const fn new(key: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { key, default, doc }
    }
}

const REDACTED: &str = "\"(redacted)\"";

#[derive(Clone, Debug)]
struct Given {
    value: toml::Value,
    /// Text from the environment or a flag may stand for any type.
    loose: bool,
    origin: String,
}

pub(super) struct Reader<'a> {
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
    known: BTreeSet<Cow<'static, str>>,
    docs: Vec<KeyDoc>,
    effective: Vec<(Cow<'static, str>, String, String)>,
    base: Option<&'a Path>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        let mut reader = Self {
            given: BTreeMap::new(),
            problems: Vec::new(),
            known: BTreeSet::new(),
            docs: Vec::new(),
            effective: Vec::new(),
            base: sources.file.as_ref().and_then(|(path, _)| path.parent()),
        };
        if let Some((path, text)) = &sources.file {
            match text.parse::<toml::Table>() {
                Ok(table) => reader.flatten("", table, &path.display().to_string()),
                Err(error) => reader.problems.push(format!("{}: {}", path.display(), error.to_string().trim())),
            }
        }
        for (name, value) in &sources.env {
            let Some(rest) = name.strip_prefix("MUSTER_") else { continue };
            if RESERVED.contains(&rest) || rest.starts_with("TEST_") {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            let value = toml::Value::String(value.clone());
            reader.given.insert(key, Given { value, loose: true, origin: name.clone() });
        }
        for (key, value) in &sources.flags {
            let value = toml::Value::String(value.clone());
            reader.given.insert(key.clone(), Given { value, loose: true, origin: "flag".to_owned() });
        }
        reader
    }

    fn flatten(&mut self, prefix: &str, table: toml::Table, origin: &str) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => self.flatten(&key, inner, origin),
                value => {
                    self.given.insert(key, Given { value, loose: false, origin: origin.to_owned() });
                }
            }
        }
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn finish(mut self) -> Result<(), ConfigError> {
        for (key, given) in &self.given {
            if !self.known.contains(key.as_str()) {
                let hint = self.nearest(key).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                self.problems.push(format!("{key}: there is no such key (from {}){hint}", given.origin));
            }
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.problems }) }
    }

    fn nearest(&self, key: &str) -> Option<&str> {
        let last = key.rsplit('.').next()?;
        let known = || self.known.iter().map(Cow::as_ref);
        known()
            .find(|known| known.rsplit('.').next() == Some(last))
            .or_else(|| known().find(|known| known.starts_with(key) || key.starts_with(*known)))
    }

    /// Looks a key up and records that it exists.
    fn take(
        &mut self,
        key: &'static str,
        default: Option<String>,
        doc: &'static str,
        range: Option<String>,
    ) -> Option<Given> {
        self.known.insert(Cow::Borrowed(key));
        self.docs.push(KeyDoc { key, default, doc, range });
        self.given.get(key).cloned()
    }

    fn wrong(&mut self, key: &str, given: &Given, expected: &str) {
        let got = match &given.value {
            toml::Value::String(text) => format!("\"{text}\""),
            other => other.to_string(),
        };
        self.problems.push(format!("{key}: expected {expected}, got {got} (from {})", given.origin));
    }

    fn show(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>, given: Option<&Given>) {
        self.effective.push((
            key.into(),
            value.into(),
            given.map_or_else(|| "default".to_owned(), |g| g.origin.clone()),
        ));
    }

    /// Reads a key whose value is text, in any of its forms.
    fn read<T>(
        &mut self,
        key: &'static str,
        default: Option<&str>,
        doc: &'static str,
        range: Option<String>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let given = self.take(key, default.map(|d| format!("\"{d}\"")), doc, range);
        let text = match &given {
            None => default?.to_owned(),
            Some(Given { value: toml::Value::String(text), .. }) => text.clone(),
            Some(given) => {
                let given = given.clone();
                self.wrong(key, &given, expected);
                return default.and_then(&parse);
            }
        };
        self.show(key, format!("\"{text}\""), given.as_ref());
        match parse(&text) {
            Some(value) => Some(value),
            None => {
                if let Some(given) = &given {
                    let given = given.clone();
                    self.wrong(key, &given, expected);
                }
                default.and_then(&parse)
            }
        }
    }

    pub(super) fn text(&mut self, key: Text) -> String {
        self.read(key.key, Some(key.default), key.doc, None, "text that is not empty", |t| {
            (!t.trim().is_empty()).then(|| t.to_owned())
        })
        .expect("the default is not empty")
    }

    pub(super) fn text_opt(&mut self, key: &'static str, doc: &'static str) -> Option<String> {
        self.read(key, None, doc, None, "text", |t| Some(t.to_owned())).filter(|t| !t.is_empty())
    }

    pub(super) fn secret(&mut self, key: &'static str, doc: &'static str) -> Option<String> {
        let given = self.take(key, None, doc, None)?;
        self.secret_value(key.into(), &given)
    }

    /// A secret is in no message and not in what is printed.
    fn secret_value(&mut self, key: Cow<'static, str>, given: &Given) -> Option<String> {
        let toml::Value::String(text) = &given.value else {
            self.problems.push(format!("{key}: expected text, got something else (from {})", given.origin));
            return None;
        };
        self.show(key, REDACTED, Some(given));
        (!text.is_empty()).then(|| text.clone())
    }

    /// The tenants for which something is given as `tenants.{name}.{section}.…`, in order.
    pub(super) fn tenants(&mut self, section: &str) -> Vec<String> {
        let names: BTreeSet<&str> =
            self.given.keys().filter_map(|key| named(key, "tenants", section)).map(|(name, _)| name).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        for name in &names {
            self.check_tenant(&format!("tenants.{name}"), name);
        }
        names
    }

    /// What is given at `key` names a tenant.
    pub(super) fn check_tenant(&mut self, key: &str, name: &str) {
        if !keys::is_tenant_name(name) {
            self.problem(format!("{key}: the name of a tenant has {}", keys::TENANT_NAME));
        }
    }

    /// The names for which `{table}.{name}.{key}` is given, in order.
    pub(super) fn names_with(&self, table: &str, key: &str) -> Vec<String> {
        let name = |given: &String| {
            let name = given.strip_prefix(table)?.strip_prefix('.')?.strip_suffix(key)?.strip_suffix('.')?;
            (!name.is_empty()).then(|| name.to_owned())
        };
        self.given.keys().filter_map(name).collect()
    }

    /// Text of one of these.
    pub(super) fn text_of(&mut self, path: &[&str]) -> Option<String> {
        let key = path.join(".");
        self.known.insert(Cow::Owned(key.clone()));
        let given = self.given.get(&key).cloned()?;
        let toml::Value::String(text) = &given.value else {
            self.wrong(&key, &given, "text");
            return None;
        };
        self.show(key, format!("\"{text}\""), Some(&given));
        (!text.is_empty()).then(|| text.clone())
    }

    /// A secret of one of these.
    pub(super) fn secret_of<const N: usize>(&mut self, path: [&str; N]) -> Option<String> {
        let key = path.join(".");
        self.known.insert(Cow::Owned(key.clone()));
        let given = self.given.get(&key).cloned()?;
        self.secret_value(key.into(), &given)
    }

    /// Shows a key of every name in the default file.
    pub(super) fn document(&mut self, key: &'static str, doc: &'static str) {
        self.docs.push(KeyDoc { key, default: None, doc, range: None });
    }

    pub(super) fn parse<T: std::str::FromStr>(&mut self, key: Text, expected: &str) -> T {
        self.read(key.key, Some(key.default), key.doc, None, expected, |t| t.parse().ok()).expect("the default parses")
    }

    /// A relative path in a file is relative to that file; otherwise to the working directory.
    fn resolve(&self, key: &str, text: &str) -> PathBuf {
        let path = PathBuf::from(text);
        let from_file = self.given.get(key).is_some_and(|given| !given.loose);
        match self.base {
            Some(base) if from_file && path.is_relative() => base.join(path),
            _ => path,
        }
    }

    pub(super) fn path(&mut self, key: Text) -> PathBuf {
        let name = key.key;
        let text = self.text(key);
        self.resolve(name, &text)
    }

    pub(super) fn path_opt(&mut self, key: &'static str, doc: &'static str) -> Option<PathBuf> {
        let text = self.text_opt(key, doc)?;
        Some(self.resolve(key, &text))
    }

    /// True if some source has it, right or wrong.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    pub(super) fn choice(&mut self, key: &'static str, options: &[&'static str], doc: &'static str) -> &'static str {
        let expected = format!("one of {}", options.iter().map(|o| format!("\"{o}\"")).collect::<Vec<_>>().join(", "));
        self.read(key, Some(options[0]), doc, Some(expected.clone()), &expected, |t| {
            options.iter().copied().find(|o| *o == t)
        })
        .expect("the first option is the default")
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: &str,
        min: &str,
        max: &str,
        doc: &'static str,
    ) -> Duration {
        let (low, high) = (parse_duration(min), parse_duration(max));
        let expected = format!("a duration from {min} to {max}, such as \"{default}\"");
        self.read(key, Some(default), doc, Some(format!("{min} to {max}")), &expected, |t| {
            parse_duration(t).filter(|d| Some(*d) >= low && Some(*d) <= high)
        })
        .expect("the default is in range")
    }

    pub(super) fn duration_opt(
        &mut self,
        key: &'static str,
        [min, max]: [&str; 2],
        doc: &'static str,
    ) -> Option<Duration> {
        let (low, high) = (parse_duration(min), parse_duration(max));
        let expected = format!("a duration from {min} to {max}");
        self.read(key, None, doc, Some(format!("{min} to {max}")), &expected, |t| {
            parse_duration(t).filter(|d| Some(*d) >= low && Some(*d) <= high)
        })
    }

    pub(super) fn integer(&mut self, key: &'static str, default: u32, min: u32, max: u32, doc: &'static str) -> u32 {
        let range = format!("{min} to {max}");
        let given = self.take(key, Some(default.to_string()), doc, Some(range.clone()));
        let value = match &given {
            None => Some(default),
            Some(Given { value: toml::Value::Integer(i), .. }) => u32::try_from(*i).ok(),
            Some(Given { value: toml::Value::String(text), loose: true, .. }) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match value.filter(|v| (min..=max).contains(v)) {
            Some(value) => {
                self.show(key, value.to_string(), given.as_ref());
                value
            }
            None => {
                if let Some(given) = given {
                    self.wrong(key, &given, &format!("an integer from {range}"));
                }
                default
            }
        }
    }

    /// Bytes, such as `1.5GB`.
    pub(super) fn size(&mut self, key: &'static str, default: &str, min: &str, max: &str, doc: &'static str) -> u64 {
        let (low, high) = (parse_size(min), parse_size(max));
        let expected = format!("a size from {min} to {max}, such as \"{default}\"");
        self.read(key, Some(default), doc, Some(format!("{min} to {max}")), &expected, |t| {
            parse_size(t).filter(|size| Some(*size) >= low && Some(*size) <= high)
        })
        .expect("the default is in range")
    }

    /// A number with up to three decimals, in thousandths.
    pub(super) fn millis(&mut self, key: &'static str, default: u32, [min, max]: [u32; 2], doc: &'static str) -> u32 {
        let range = format!("{} to {}", decimal(min), decimal(max));
        let given = self.take(key, Some(decimal(default)), doc, Some(range.clone()));
        let text = match &given {
            None => Some(decimal(default)),
            Some(Given { value: toml::Value::Integer(i), .. }) => Some(i.to_string()),
            Some(Given { value: toml::Value::Float(f), .. }) => Some(f.to_string()),
            Some(Given { value: toml::Value::String(text), loose: true, .. }) => Some(text.trim().to_owned()),
            Some(_) => None,
        };
        let value = text.and_then(|text| parse_cores(&text)).and_then(|value| u32::try_from(value).ok());
        match value.filter(|value| (min..=max).contains(value)) {
            Some(value) => {
                self.show(key, decimal(value), given.as_ref());
                value
            }
            None => {
                if let Some(given) = given {
                    self.wrong(key, &given, &format!("a number from {range}"));
                }
                default
            }
        }
    }

    /// A duration, or none.
    pub(super) fn duration_or_never(
        &mut self,
        key: &'static str,
        [min, max]: [&str; 2],
        doc: &'static str,
    ) -> Option<Duration> {
        let (low, high) = (parse_duration(min), parse_duration(max));
        let range = format!("`never`, or {min} to {max}");
        let expected = format!("\"never\" or a duration from {min} to {max}");
        self.read(key, Some("never"), doc, Some(range), &expected, |t| match t {
            "never" => Some(None),
            t => parse_duration(t).filter(|d| Some(*d) >= low && Some(*d) <= high).map(Some),
        })
        .flatten()
    }

    pub(super) fn bool_opt(&mut self, key: &'static str, doc: &'static str) -> Option<bool> {
        let given = self.take(key, None, doc, Some("true or false".to_owned()))?;
        let value = match &given.value {
            toml::Value::Boolean(value) => Some(*value),
            toml::Value::String(text) if given.loose => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) => self.show(key, value.to_string(), Some(&given)),
            None => self.wrong(key, &given, "true or false"),
        }
        value
    }

    pub(super) fn list(&mut self, key: &'static str, doc: &'static str) -> Vec<String> {
        let Some(given) = self.take(key, Some("[]".to_owned()), doc, None) else { return Vec::new() };
        let value: Option<Vec<String>> = match &given.value {
            toml::Value::Array(items) => items.iter().map(|i| i.as_str().map(str::to_owned)).collect(),
            toml::Value::String(text) if given.loose => {
                Some(text.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect())
            }
            _ => None,
        };
        match value {
            Some(items) => {
                self.show(key, format!("{items:?}"), Some(&given));
                items
            }
            None => {
                self.wrong(key, &given, "a list of texts such as [\"a\", \"b\"]");
                Vec::new()
            }
        }
    }
}

/// The name in `{table}.{name}.{section}.{key}`, which may have dots itself, and the key.
fn named<'k>(key: &'k str, table: &str, section: &str) -> Option<(&'k str, &'k str)> {
    let rest = key.strip_prefix(table)?.strip_prefix('.')?;
    let (before, key) = rest.rsplit_once('.')?;
    let name = before.strip_suffix(section)?.strip_suffix('.')?;
    (!name.is_empty()).then_some((name, key))
}

/// `500MB`, `1.5GB`, `2GiB`: powers of ten, or of two.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    parse_scaled(number, scale)
}

/// Cores, such as `0.25`, in thousandths.
pub(crate) fn parse_cores(text: &str) -> Option<u64> {
    parse_scaled(text, 1_000)
}

/// A decimal number times `scale`, exactly; none if that is no whole number.
fn parse_scaled(text: &str, scale: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || text.ends_with('.') {
        return None;
    }
    let divisor = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = if part.is_empty() { 0 } else { part.parse::<u64>().ok()?.checked_mul(scale)? };
    if part % divisor != 0 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part / divisor)
}

/// Thousandths as a decimal number.
fn decimal(millis: u32) -> String {
    let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `250ms`, `30s`, `5m`, `2h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let count: u64 = digits.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(millis)?))
}
