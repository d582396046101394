use muster_embedded::Migrations;

/// The steps of the schema. Those that were released are never changed: append one.
///
/// Times are milliseconds since the epoch. A time column that does not apply is NULL, so that the partial indexes hold
/// only what a lookup can find. `record` comes last: the columns before it are then read without touching its pages.
/// Ids of jobs and deliveries are never used again (AUTOINCREMENT), because they are deduplication keys elsewhere.
pub(super) const MIGRATIONS: Migrations = &[
    "
    CREATE TABLE session (
        seq             INTEGER PRIMARY KEY AUTOINCREMENT,
        id              TEXT NOT NULL UNIQUE,
        tenant          TEXT NOT NULL,
        version         INTEGER NOT NULL,
        state           TEXT NOT NULL,
        platform        TEXT NOT NULL, -- label in lower case
        created_at      INTEGER NOT NULL,
        idempotency_key TEXT,
        dedup_key       TEXT,
        meeting_key     TEXT NOT NULL,
        fencing         INTEGER NOT NULL,
        lease_owner     TEXT,
        lease_until     INTEGER, -- runs ahead of the record when renewed
        stop_requested  INTEGER NOT NULL,
        due_at          INTEGER, -- when scheduled
        deadline        INTEGER, -- of the state
        retire_at       INTEGER, -- when terminal
        record          TEXT NOT NULL
    ) STRICT;
    CREATE INDEX session_by_tenant ON session (tenant, created_at, seq);
    CREATE INDEX session_by_state ON session (tenant, state, created_at, seq);
    CREATE UNIQUE INDEX session_by_idempotency_key ON session (tenant, idempotency_key)
        WHERE idempotency_key IS NOT NULL;
    CREATE UNIQUE INDEX session_by_dedup_key ON session (tenant, dedup_key) WHERE dedup_key IS NOT NULL;
    CREATE INDEX session_by_due ON session (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX session_by_lease ON session (lease_until) WHERE lease_until IS NOT NULL;
    CREATE INDEX session_by_deadline ON session (deadline) WHERE deadline IS NOT NULL;
    CREATE INDEX session_by_retirement ON session (retire_at) WHERE retire_at IS NOT NULL;

    CREATE TABLE transcript (
        id  TEXT PRIMARY KEY,
        bot TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX transcript_by_bot ON transcript (bot);

    CREATE TABLE outbox (
        id  INTEGER PRIMARY KEY AUTOINCREMENT,
        due INTEGER NOT NULL,
        job TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_by_due ON outbox (due, id);

    CREATE TABLE delivery (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        bot      TEXT NOT NULL,
        tenant   TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        url      TEXT NOT NULL,
        status   TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
        next_at  INTEGER CHECK ((status = 'pending') = (next_at IS NOT NULL)),
        failures INTEGER NOT NULL DEFAULT 0,
        event    TEXT NOT NULL,
        attempts TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE INDEX delivery_by_bot ON delivery (bot, sequence, id);
    CREATE INDEX delivery_pending ON delivery (bot, sequence, id) WHERE next_at IS NOT NULL;
    CREATE INDEX delivery_by_due ON delivery (next_at, bot) WHERE next_at IS NOT NULL;

    CREATE TABLE log (
        id   INTEGER PRIMARY KEY AUTOINCREMENT,
        bot  TEXT NOT NULL,
        kind TEXT NOT NULL,
        key  TEXT NOT NULL,
        at   INTEGER NOT NULL,
        data TEXT NOT NULL,
        UNIQUE (bot, kind, key)
    ) STRICT;
    CREATE INDEX log_in_order ON log (bot, kind, id);

    CREATE TABLE api_key (
        hash       TEXT PRIMARY KEY,
        tenant     TEXT NOT NULL,
        name       TEXT NOT NULL,
        prefix     TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE lead (
        name  TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        until INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE worker (
        id       TEXT PRIMARY KEY,
        draining INTEGER NOT NULL DEFAULT 0,
        record   TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE remote (
        source TEXT NOT NULL,
        id     TEXT NOT NULL,
        bot    TEXT NOT NULL,
        PRIMARY KEY (source, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX remote_by_bot ON remote (bot);

    ALTER TABLE delivery ADD COLUMN endpoint TEXT;
    ALTER TABLE delivery ADD COLUMN made_at INTEGER NOT NULL DEFAULT 0;
    UPDATE delivery SET made_at = event ->> '$.at';
    CREATE INDEX delivery_by_tenant ON delivery (tenant, made_at, id, endpoint);
    CREATE INDEX delivery_failed ON delivery (tenant, made_at, id) WHERE status = 'failed';

    CREATE TABLE endpoint (
        id         TEXT PRIMARY KEY,
        tenant     TEXT NOT NULL,
        version    INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        record     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX endpoint_by_tenant ON endpoint (tenant, created_at);

    CREATE TABLE inbox (
        id          INTEGER PRIMARY KEY,
        key         TEXT NOT NULL UNIQUE,
        tenant      TEXT NOT NULL,
        source      TEXT NOT NULL,
        outcome     TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        entry       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX inbox_by_tenant ON inbox (tenant, received_at, id, source, outcome);
    CREATE INDEX inbox_by_age ON inbox (received_at, id);
",
    "
    -- Of records written before nothing was counted: they have no place, and none of them waits in line.
    CREATE TABLE tenant_load (
        tenant TEXT PRIMARY KEY,
        taken  INTEGER NOT NULL, -- places
        held   INTEGER NOT NULL  -- rows of line
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE line (
        tenant     TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        bot        TEXT NOT NULL,
        PRIMARY KEY (tenant, created_at, bot)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE document (
        name    TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        body    TEXT NOT NULL
    ) STRICT;
",
];
