//! The reader of create requests takes any bytes without a panic, and what it accepts is within its own bounds.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use muster_hooks::guard::Policy;
use muster_platform::pack::Packs;
use muster_server::api::bots::request::{Rules, parse};
use muster_server::config::{Config, Runtimes, Sources};
use muster_server::engines::Engines;
use muster_session::TenantId;

static PACKS: LazyLock<Packs> = LazyLock::new(Packs::builtin);
static ENGINES: LazyLock<Engines> = LazyLock::new(|| {
    Engines::new(Config::load(&Sources::default()).expect("the defaults are valid").transcription)
});
static RUNTIMES: LazyLock<Runtimes> = LazyLock::new(Runtimes::default);
static TENANT: LazyLock<TenantId> = LazyLock::new(|| TenantId::new("default"));
static GUARD: LazyLock<Policy> =
    LazyLock::new(|| Policy::new(std::iter::empty::<&str>()).expect("no ranges, nothing to get wrong"));

fuzz_target!(|data: &[u8]| {
    let rules = Rules { packs: &PACKS, guard: &GUARD, engines: &ENGINES, tenant: &TENANT, own: None, runtimes: &RUNTIMES };
    match parse(data, &rules) {
        Ok(request) => {
            assert!(!request.bot_name.is_empty());
            assert!(request.custom_attributes.len() <= 64);
            assert!((1..=1_800).contains(&request.leave.waiting_room_timeout));
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
