-- The ledger: one row for each attempt or answer, for good. The columns are those of ledger/row.py, in that order.
-- `number` grows and is never used again.
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    holder TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "user" TEXT NOT NULL,
    tags TEXT NOT NULL,
    operation TEXT NOT NULL,
    dialect TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    stream INTEGER NOT NULL,
    source TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    input_audio_tokens INTEGER NOT NULL,
    output_audio_tokens INTEGER NOT NULL,
    usage TEXT NOT NULL,
    tier TEXT NOT NULL,
    price_version TEXT NOT NULL,
    reserved_nano_usd INTEGER,
    cost_nano_usd INTEGER,
    duration_us INTEGER NOT NULL,
    first_us INTEGER,
    UNIQUE (holder, seq)
);
CREATE INDEX ledger_by_time ON ledger (at_ms);

-- Attempts that run: what they become if their process dies, as JSON. Most live for seconds, so each costs as little as it can.
CREATE TABLE opened (
    holder TEXT NOT NULL,
    seq INTEGER NOT NULL,
    row TEXT NOT NULL,
    PRIMARY KEY (holder, seq)
) WITHOUT ROWID;

-- Sums by UTC day, over the ledger's rows up to number `summed.until`. They stay when rows are pruned.
CREATE TABLE daily (
    day TEXT NOT NULL,
    holder TEXT NOT NULL,
    tenant TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "user" TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (day, holder, tenant, "key", "user", provider, model)
) WITHOUT ROWID;

CREATE TABLE summed (
    until INTEGER NOT NULL
);
INSERT INTO summed (until) VALUES (0);

-- What each row adds to the sums.
CREATE VIEW counted AS
SELECT
    number,
    ifnull(strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch'), '') AS day,
    holder,
    tenant,
    "key",
    "user",
    provider,
    model,
    attempt <> 0 AS attempts,
    input_tokens,
    output_tokens,
    cached_tokens,
    reasoning_tokens,
    ifnull(cost_nano_usd, 0) AS cost_nano_usd,
    attempt <> 0 AND cost_nano_usd IS NULL AS unpriced,
    attempt <> 0 AND usage = 'estimated' AS estimated,
    attempt <= 1 AS requests
FROM ledger;

-- Processes that write, from their start until their end has been seen to.
CREATE TABLE holders (
    holder TEXT PRIMARY KEY,
    since REAL NOT NULL
) WITHOUT ROWID;
