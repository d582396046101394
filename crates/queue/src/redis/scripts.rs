//! The scripts.

muster_redis::scripts! {
    "scripts/common.lua";
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
