-- The ledger: one segment for each batch that was written, with its rows, for good: a JSON array of rows, each an array of the fields of
-- ledger/row.py in their order. `number` grows and is never used again. Batches below zero are attempts of a holder that died.
CREATE TABLE segments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    holder TEXT NOT NULL,
    batch INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    rows BLOB NOT NULL,
    UNIQUE (holder, batch)
);
CREATE INDEX segments_by_first ON segments (first_ms, last_ms);
CREATE INDEX segments_by_last ON segments (last_ms, first_ms);

-- Row by row, for people.
CREATE VIEW ledger AS
SELECT
    segments.number AS number,
    json_extract(line.value, '$[0]') AS holder,
    json_extract(line.value, '$[1]') AS seq,
    json_extract(line.value, '$[2]') AS at_ms,
    json_extract(line.value, '$[3]') AS request_id,
    json_extract(line.value, '$[4]') AS attempt,
    json_extract(line.value, '$[5]') AS tenant,
    json_extract(line.value, '$[6]') AS "key",
    json_extract(line.value, '$[7]') AS "user",
    json_extract(line.value, '$[8]') AS tags,
    json_extract(line.value, '$[9]') AS operation,
    json_extract(line.value, '$[10]') AS dialect,
    json_extract(line.value, '$[11]') AS requested_model,
    json_extract(line.value, '$[12]') AS provider,
    json_extract(line.value, '$[13]') AS model,
    json_extract(line.value, '$[14]') AS stream,
    json_extract(line.value, '$[15]') AS source,
    json_extract(line.value, '$[16]') AS status,
    json_extract(line.value, '$[17]') AS outcome,
    json_extract(line.value, '$[18]') AS error,
    json_extract(line.value, '$[19]') AS input_tokens,
    json_extract(line.value, '$[20]') AS output_tokens,
    json_extract(line.value, '$[21]') AS cached_tokens,
    json_extract(line.value, '$[22]') AS cache_write_tokens,
    json_extract(line.value, '$[23]') AS cache_write_1h_tokens,
    json_extract(line.value, '$[24]') AS reasoning_tokens,
    json_extract(line.value, '$[25]') AS input_audio_tokens,
    json_extract(line.value, '$[26]') AS output_audio_tokens,
    json_extract(line.value, '$[27]') AS usage,
    json_extract(line.value, '$[28]') AS tier,
    json_extract(line.value, '$[29]') AS price_version,
    json_extract(line.value, '$[30]') AS reserved_nano_usd,
    json_extract(line.value, '$[31]') AS cost_nano_usd,
    json_extract(line.value, '$[32]') AS duration_us,
    json_extract(line.value, '$[33]') AS first_us
FROM segments, json_each(CAST(segments.rows AS TEXT)) AS line;

-- Attempts that run: what they become if their process dies, as JSON. Most live for seconds, so each costs as little as it can.
CREATE TABLE opened (
    holder TEXT NOT NULL,
    seq INTEGER NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (holder, seq)
) WITHOUT ROWID;

-- Sums by UTC day, over the segments up to number `summed.until`. They stay when segments are pruned.
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

-- Processes that write, from their start until their end has been seen to.
CREATE TABLE holders (
    holder TEXT PRIMARY KEY,
    since REAL NOT NULL
) WITHOUT ROWID;
