-- Counters that several processes share. `state` is JSON (access/tallies.py); `ends`: from when on it is worth nothing, null: never.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    ends REAL
) WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (ends) WHERE ends IS NOT NULL;

CREATE TABLE holders_seen (
    holder TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;

-- What is to happen once, and who was first is not asked.
CREATE TABLE firsts (
    name TEXT PRIMARY KEY,
    ends REAL NOT NULL
) WITHOUT ROWID;
