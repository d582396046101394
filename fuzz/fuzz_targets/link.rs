//! The reader of meeting links takes any text without a panic, and what it accepts can be opened by a browser.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use muster_platform::link::recognise;
use muster_platform::pack::Packs;

static PACKS: LazyLock<Packs> = LazyLock::new(Packs::builtin);

fuzz_target!(|data: &[u8]| {
    match recognise(&String::from_utf8_lossy(data), &PACKS) {
        Ok(found) => {
            assert!(matches!(found.join_url.scheme(), "http" | "https"));
            assert!(found.join_url.has_host() && !found.key.is_empty());
            assert!(PACKS.get(&found.platform).is_some());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
