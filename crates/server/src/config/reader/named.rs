//! Keys of a tenant or of another thing that has a name.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::{Given, Reader};

impl Reader<'_> {
    /// An integer of one of these, if it is given.
    pub(in crate::config) fn integer_of<const N: usize>(
        &mut self,
        path: [&str; N],
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (key, given) = self.look_up(&path)?;
        let value = match &given.value {
            toml::Value::Integer(value) => u32::try_from(*value).ok(),
            toml::Value::String(text) if given.loose => text.trim().parse().ok(),
            _ => None,
        };
        let value = value.filter(|value| range.contains(value));
        match value {
            Some(value) => self.show(key, value.to_string(), Some(&given)),
            None => self.wrong(&key, &given, &format!("an integer from {} to {}", range.start(), range.end())),
        }
        value
    }

    /// A choice of one of these, if it is given.
    pub(in crate::config) fn choice_of<const N: usize>(
        &mut self,
        path: [&str; N],
        options: &[&'static str],
    ) -> Option<&'static str> {
        let (key, given) = self.look_up(&path)?;
        let chosen = options.iter().copied().find(|option| given.value.as_str() == Some(option));
        match chosen {
            Some(chosen) => self.show(key, format!("\"{chosen}\""), Some(&given)),
            None => {
                let options: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
                self.wrong(&key, &given, &format!("one of {}", options.join(", ")));
            }
        }
        chosen
    }

    fn look_up(&mut self, path: &[&str]) -> Option<(String, Given)> {
        let key = path.join(".");
        self.known.insert(Cow::Owned(key.clone()));
        let given = self.given.get(&key).cloned()?;
        Some((key, given))
    }
}
