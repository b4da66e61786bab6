-- What a process started and its keys used since it told the board of all: one row a batch, packed.
CREATE TABLE packed_notes (
    holder TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,  -- Unix milliseconds
    units BLOB NOT NULL,  -- what was started
    usage BLOB NOT NULL,  -- not in key_usage yet
    PRIMARY KEY (holder, number)
) STRICT;

INSERT INTO packed_notes SELECT holder, number, at, CAST(units AS BLOB), CAST(usage AS BLOB) FROM board_notes;
DROP TABLE board_notes;
ALTER TABLE packed_notes RENAME TO board_notes;
