//! The scripts.

muster_redis::scripts! {
    "scripts/common.lua";
    CREATE "scripts/create.lua"
    COMMIT "scripts/commit.lua"
    TRANSCRIPT "scripts/transcript.lua"
    RENEW "scripts/renew.lua"
    REACHED "scripts/reached.lua"
    PAGE "scripts/page.lua"
    COUNT "scripts/count.lua"
    DELETE "scripts/delete.lua"
    OUTBOX "scripts/outbox.lua"
    OUTBOX_DONE "scripts/outbox_done.lua"
    LEDGER "scripts/ledger.lua"
    ATTEMPT "scripts/attempt.lua"
    REPLAY "scripts/replay.lua"
    APPEND_LOG "scripts/append_log.lua"
    PUT_KEY "scripts/put_key.lua"
    KEYS "scripts/keys.lua"
    DELETE_KEY "scripts/delete_key.lua"
    LEAD "scripts/lead.lua"
    BEAT "scripts/beat.lua"
    WORKERS "scripts/workers.lua"
    DRAIN "scripts/drain.lua"
    FORGET "scripts/forget.lua"
}
