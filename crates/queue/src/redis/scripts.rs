//! The scripts. Each is sent by its hash, and runs as a whole or not at all.

use std::sync::LazyLock;

use muster_redis::Script;

macro_rules! scripts {
    ($($name:ident $file:literal)*) => {
        $(
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!(include_str!("scripts/common.lua"), include_str!($file)))
            });
        )*
    };
}

scripts! {
    ENQUEUE "scripts/enqueue.lua"
    CLAIM "scripts/claim.lua"
    UNCLAIM "scripts/unclaim.lua"
    EXTEND "scripts/extend.lua"
    ACK "scripts/ack.lua"
    RELEASE "scripts/release.lua"
    DEAD_LETTER "scripts/dead_letter.lua"
    REQUEUE "scripts/requeue.lua"
    DEPTH "scripts/depth.lua"
    TEND "scripts/tend.lua"
}
