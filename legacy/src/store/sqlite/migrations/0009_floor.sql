-- The first step whose versions may work on this file: all later ones only made tables.
ALTER TABLE run ADD COLUMN floor INTEGER NOT NULL DEFAULT 9;
