-- Several processes on one file: who holds which owner in a lane, and what they tell each other.
CREATE TABLE board (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,  -- of the last change of any of these tables
    head TEXT NOT NULL,  -- JSON
    facts TEXT NOT NULL  -- JSON: rests, keys switched off, learned limits, as processes told each other
) STRICT;

CREATE TABLE board_units (
    unit TEXT NOT NULL PRIMARY KEY,  -- lane and owner, on a line each
    version INTEGER NOT NULL,
    record TEXT NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX board_units_by_version ON board_units (version);

CREATE TABLE board_holders (
    holder TEXT NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL,  -- it holds what it holds until then
    record TEXT NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE board_rosters (
    roster INTEGER PRIMARY KEY,  -- a hash
    units TEXT NOT NULL  -- JSON: what a process can serve
) STRICT;

-- What a process started since it renewed last, and what its keys used since: one row a batch.
CREATE TABLE board_notes (
    holder TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,  -- Unix milliseconds
    units TEXT NOT NULL,  -- JSON
    usage TEXT NOT NULL,  -- JSON: not in key_usage yet
    PRIMARY KEY (holder, number)
) STRICT, WITHOUT ROWID;
