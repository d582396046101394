//! Configuration as text: the default file, and what is in force.

use super::{KeyDoc, Reader};

impl Reader<'_> {
    pub(in crate::config) fn default_file(&self) -> String {
        let mut out = String::from(
            "# Every key of Muster with its default. `muster config default` prints this file.\n\
             # A key can also be set by environment: [worker] lease is MUSTER_WORKER__LEASE.\n",
        );
        let mut section = "";
        for KeyDoc { key, default, doc, range } in by_table(&self.docs, |doc| doc.key) {
            let (table, name) = split(key);
            if table != section {
                out.push_str(&["\n[", table, "]\n"].concat());
                section = table;
            } else {
                out.push('\n');
            }
            out.push_str(&["# ", doc, "\n"].concat());
            if let Some(range) = range {
                out.push_str(&["# Allowed: ", range, ".\n"].concat());
            }
            out.push_str(&["# ", name, " = ", default.as_deref().unwrap_or(""), "\n"].concat());
        }
        out
    }

    pub(in crate::config) fn effective(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for (key, value, origin) in by_table(&self.effective, |(key, ..)| key) {
            let (table, name) = split(key);
            if table != section {
                out.push_str(&["\n[", table, "]\n"].concat());
                section = table;
            }
            out.push_str(&[name, " = ", value, "  # ", origin, "\n"].concat());
        }
        out
    }
}

/// The table of a key, and its name there.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// Each table once, in the order in which they are read: TOML has no other way. What is in none comes first.
fn by_table<T>(entries: &[T], key: impl Fn(&T) -> &str) -> Vec<&T> {
    let mut tables = vec![""];
    for entry in entries {
        let table = split(key(entry)).0;
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    let mut sorted: Vec<&T> = entries.iter().collect();
    sorted.sort_by_key(|entry| tables.iter().position(|table| *table == split(key(entry)).0));
    sorted
}
