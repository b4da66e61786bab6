-- Values that concern the whole file, by name.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- Reservations and corrections: one row for each transaction, kept while a window of a minute counts it. Rows up to the
-- id that `meta` holds as 'folded' are included in `usage` and `quotas`, too.
-- entries: JSON [[project, model, key, [at_ms, date], spans_ms, [requests, input_tokens, output_tokens, images]], ...]
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT;

-- windows: the counts of sliding windows longer than a minute, from the log up to 'folded':
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

-- Usage of each key and day (days since 1970-01-01 in the project's zone). A daily limit counts the sum over keys.
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
-- writer: the random id of the store that wrote the record.
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

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    options TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- Files, caches and batches at a provider: the project that holds each, and the tenant that created it.
CREATE TABLE resources (
    name TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    tenant TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
) STRICT, WITHOUT ROWID;
