-- Keys, where they came from, and what they did. Times are Unix milliseconds.
CREATE TABLE api_keys (
    hash TEXT NOT NULL PRIMARY KEY,  -- SHA-256 of the secret, in hex
    id TEXT NOT NULL,
    secret_form TEXT NOT NULL DEFAULT 'elsewhere',  -- elsewhere, reference, sealed, plain
    secret BLOB,
    tier TEXT,
    priority INTEGER NOT NULL,
    weight REAL NOT NULL,
    weight_now REAL NOT NULL,
    ramp INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    consumer TEXT,  -- what the provider calls the owner
    source TEXT,
    state TEXT NOT NULL,  -- active, disabled (by hand), faulty, removed
    reason TEXT NOT NULL,
    last_success INTEGER,
    last_failure INTEGER,
    consecutive_failures INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE import_history (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    origin TEXT NOT NULL,  -- a path, or - for standard input
    source TEXT NOT NULL,
    lines INTEGER NOT NULL,
    added INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    rejected TEXT NOT NULL  -- JSON: [[line, why], …]
) STRICT;

CREATE TABLE key_usage (
    day TEXT NOT NULL,  -- in the owner's zone: 2026-06-15
    key TEXT NOT NULL,  -- api_keys.hash
    lane TEXT NOT NULL,
    id TEXT NOT NULL,  -- the key's name then
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, key, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_errors (
    day TEXT NOT NULL,
    key TEXT NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,  -- of the verdict
    count INTEGER NOT NULL,
    PRIMARY KEY (day, key, lane, kind)
) STRICT, WITHOUT ROWID;
