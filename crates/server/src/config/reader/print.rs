//! Configuration as text: the default file, and what is in force.

use super::{KeyDoc, Reader};

impl Reader<'_> {
    pub(in crate::config) fn default_file(&self) -> String {
        let mut out = String::from(
            "# Every key of Muster with its default. `muster config default` prints this file.\n\
             # A key can also be set by environment: [worker] lease is MUSTER_WORKER__LEASE.\n",
        );
        let mut section = "";
        for KeyDoc { key, default, doc, range } in &self.docs {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
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
        for (key, value, origin) in &self.effective {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            if table != section {
                out.push_str(&["\n[", table, "]\n"].concat());
                section = table;
            }
            out.push_str(&[name, " = ", value, "  # ", origin, "\n"].concat());
        }
        out
    }
}
