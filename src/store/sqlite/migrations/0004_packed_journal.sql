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
