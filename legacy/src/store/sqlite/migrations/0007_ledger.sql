-- What a host keeps beside its pool: whose a file is, which uploads are open, tenants and what they used.
CREATE TABLE ledger (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    whose TEXT NOT NULL,
    value TEXT NOT NULL,
    until INTEGER,  -- Unix milliseconds; NULL: for good
    revision INTEGER NOT NULL,  -- of the change that was the last to touch it, among those of its kind
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_revision ON ledger (kind, revision);
CREATE INDEX ledger_until ON ledger (until) WHERE until IS NOT NULL;
