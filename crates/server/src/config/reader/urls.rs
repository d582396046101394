//! Keys whose values are addresses. Any may hold a password, or a token in the place of a name: neither is shown.

use url::Url;

use super::{Given, REDACTED, Reader, Text};

/// The same address without name and password.
pub(crate) fn without_userinfo(url: &Url) -> Url {
    let mut shown = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Only an address without a host refuses, and that has neither.
        let _ = shown.set_username("redacted");
        let _ = shown.set_password(None);
    }
    shown
}

impl Reader<'_> {
    pub(in crate::config) fn url_opt(&mut self, key: &'static str, doc: &'static str) -> Option<Url> {
        let given = self.take(key, None, doc, None)?;
        self.url_of(key, &given, "a URL such as https://host/path")
    }

    /// A URL that has a default.
    pub(in crate::config) fn url(&mut self, key: Text, expected: &str) -> Url {
        let Text { key, default, doc } = key;
        let given = self.take(key, Some(format!("\"{default}\"")), doc, None);
        if given.is_none() {
            self.show(key, format!("\"{default}\""), None);
        }
        given
            .and_then(|given| self.url_of(key, &given, expected))
            .unwrap_or_else(|| default.parse().expect("the default parses"))
    }

    fn url_of(&mut self, key: &'static str, given: &Given, expected: &str) -> Option<Url> {
        let text = given.value.as_str().unwrap_or_default();
        match Url::parse(text) {
            Ok(url) => {
                let shown = without_userinfo(&url);
                let shown = if shown == url { text } else { shown.as_str() };
                self.show(key, format!("\"{shown}\""), Some(given));
                Some(url)
            }
            // Something that was meant to be a name and a password.
            Err(_) if text.contains('@') => {
                let got = REDACTED.trim_matches('"');
                self.problem(format!("{key}: expected {expected}, got {got} (from {})", given.origin));
                None
            }
            Err(_) => {
                self.wrong(key, given, expected);
                None
            }
        }
    }

    /// An address that may hold a password: what is wrong is not quoted, and what is right is shown without it.
    pub(in crate::config) fn address(
        &mut self,
        key: &'static str,
        doc: &'static str,
        schemes: &[&str],
    ) -> Option<String> {
        let given = self.take(key, None, doc, None)?;
        let text = given.value.as_str().unwrap_or_default();
        let fits = |url: &Url| schemes.contains(&url.scheme()) && url.has_host();
        let Some(mut shown) = Url::parse(text).ok().filter(fits) else {
            let schemes = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
            self.problems.push(format!("{key}: expected {schemes} and a host (from {})", given.origin));
            return None;
        };
        if shown.password().is_some() {
            // Only an address without a host refuses.
            let _ = shown.set_password(Some("redacted"));
        }
        self.show(key, format!("\"{shown}\""), Some(&given));
        Some(text.to_owned())
    }
}
