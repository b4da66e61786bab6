-- What processes told each other: rests, keys switched off, learned limits, what the board calls owners.
CREATE TABLE board_facts (
    revision INTEGER PRIMARY KEY,  -- a later one of the same scope takes this one's place
    scope TEXT NOT NULL,
    until INTEGER NOT NULL,  -- by the board's time; 2^63 - 1: without end
    generation INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT;

-- Of two that had one revision only one was a change of its own.
INSERT OR IGNORE INTO board_facts
    SELECT json_extract(fact.value, '$.revision'), fact.key, json_extract(fact.value, '$.until'),
           json_extract(fact.value, '$.generation'), json_extract(fact.value, '$.why')
    FROM board, json_each(board.facts) AS fact;
ALTER TABLE board DROP COLUMN facts;

-- What a process did not tell of when it renewed last, since it never heard of it: held as long as its row says. JSON.
ALTER TABLE board_holders ADD COLUMN untold TEXT NOT NULL DEFAULT '[]';
