-- What commands said of keys. Pools go by it and never write it.
CREATE TABLE key_settings (
    hash TEXT NOT NULL PRIMARY KEY,  -- api_keys.hash
    revision INTEGER NOT NULL,  -- of the change that was the last to touch it
    said TEXT NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

-- Whoever looks for news asks for what comes after a revision.
CREATE INDEX key_settings_revision ON key_settings (revision);
