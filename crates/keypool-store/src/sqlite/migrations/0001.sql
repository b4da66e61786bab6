-- Facts about the file, by name.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What was reserved and corrected: a row a transaction, kept while it concerns a window of a minute. Up to the row that
-- `meta` names 'folded' it is in `usage` and `quotas`, too.
-- entries: JSON [[project, model, key, [at_ms, date], spans_ms, [requests, input_tokens, output_tokens, images]], ...]
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT;

-- windows: what sliding windows of more than a minute count, as of the log up to 'folded':
-- JSON [[span_ms, [[at_ms, requests, input_tokens, output_tokens, images], ...]], ...]
-- last_ms: the latest at_ms.
CREATE TABLE quotas (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    model TEXT NOT NULL,
    last_ms INTEGER NOT NULL DEFAULT 0,
    windows TEXT NOT NULL DEFAULT '[]',
    UNIQUE (project, model)
) STRICT;

-- What each key used on each day (days since 1970-01-01 in the zone of its project). A daily limit counts the sum over keys.
CREATE TABLE usage (
    date INTEGER NOT NULL,
    quota INTEGER NOT NULL REFERENCES quotas (id),
    key TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    images INTEGER NOT NULL,
    PRIMARY KEY (date, quota, key)
) STRICT, WITHOUT ROWID;

-- Open and closed breakers, learned limits and learned projects: the last record of each target, as JSON.
-- writer: which process wrote it, by a random number.
CREATE TABLE records (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL UNIQUE,
    writer INTEGER NOT NULL,
    expires_ms INTEGER,
    record TEXT NOT NULL
) STRICT;

-- secret: a nonce and the secret encrypted with the master key.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    project TEXT,
    options TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    added INTEGER NOT NULL,
    merged INTEGER NOT NULL,
    rejected INTEGER NOT NULL
) STRICT;

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    options TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- Which project holds a file, cache or batch, and which tenant made it.
CREATE TABLE resources (
    name TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    tenant TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
) STRICT, WITHOUT ROWID;
