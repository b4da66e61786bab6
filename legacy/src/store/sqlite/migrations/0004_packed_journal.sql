-- Batches of counts and use that are not in their tables yet, oldest first: packed (JSON where it begins with a brace).
CREATE TABLE packed_journal (
    number INTEGER PRIMARY KEY,
    writer INTEGER NOT NULL,  -- which process: each numbers names for itself
    counts BLOB NOT NULL
) STRICT;
INSERT INTO packed_journal SELECT number, 0, CAST(counts AS BLOB) FROM journal;
DROP TABLE journal;
ALTER TABLE packed_journal RENAME TO journal;

-- Which quota a model's requests count in, where answers said another name than was asked for.
CREATE TABLE quota_models (
    model TEXT NOT NULL PRIMARY KEY,
    quota_model TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Errors beside the requests that they came to: JSON, {"rate_limited": 3}. `key_errors` has them one by one.
ALTER TABLE key_usage ADD COLUMN errors TEXT NOT NULL DEFAULT '{}';
UPDATE key_usage SET errors = (
    SELECT json_group_object(kind, count) FROM key_errors
    WHERE key_errors.day = key_usage.day AND key_errors.key = key_usage.key AND key_errors.lane = key_usage.lane
);
