-- What outlives a process: counts with their marks, learned limits, rests, and how the last run ended.
CREATE TABLE windows (
    lane TEXT NOT NULL,
    owner TEXT NOT NULL,  -- its name, or key: and api_keys.hash
    epoch INTEGER NOT NULL,
    counts TEXT NOT NULL,  -- JSON: what each window counts
    credit TEXT NOT NULL,  -- JSON: the mark, what may have been started since
    learned TEXT NOT NULL,  -- JSON: limits that the provider told
    PRIMARY KEY (lane, owner)
) STRICT, WITHOUT ROWID;

-- Batches of counts and use that are not in their tables yet: JSON, oldest first.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    counts TEXT NOT NULL
) STRICT;

CREATE TABLE rests (
    scope TEXT NOT NULL,
    whom TEXT NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    advice TEXT NOT NULL,
    since INTEGER NOT NULL,
    ends INTEGER,  -- NULL: without end
    at_midnight INTEGER NOT NULL,
    step INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    probe_at INTEGER,
    probe_interval INTEGER,
    confirming INTEGER NOT NULL,
    held INTEGER NOT NULL,
    raised INTEGER NOT NULL,
    PRIMARY KEY (scope, whom, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    running INTEGER NOT NULL,
    crashes TEXT NOT NULL  -- JSON: runs that did not end as they should
) STRICT;
INSERT INTO run (one, epoch, running, crashes) VALUES (1, 0, 0, '[]');
