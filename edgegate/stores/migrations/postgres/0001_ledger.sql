-- Texts that are sorted or grouped by are compared byte by byte, as everywhere else.

-- Rows of the ledger, for good. Columns in the order of edgegate.ledger.row.Row.
CREATE TABLE ledger (
    holder text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    request_id text NOT NULL,
    attempt bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    "user" text COLLATE "C" NOT NULL,
    tags text NOT NULL,
    operation text NOT NULL,
    dialect text NOT NULL,
    requested_model text NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    stream bigint NOT NULL,
    source text NOT NULL,
    status bigint NOT NULL,
    outcome text NOT NULL,
    error text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    input_audio_tokens bigint NOT NULL,
    output_audio_tokens bigint NOT NULL,
    usage text NOT NULL,
    tier text NOT NULL,
    price_version text NOT NULL,
    reserved_nano_usd bigint,
    cost_nano_usd bigint,
    duration_us bigint NOT NULL,
    first_us bigint,
    PRIMARY KEY (holder, seq)
);
CREATE INDEX ledger_by_time ON ledger (at_ms, holder, seq);

-- Attempts that run, as the rows they become if nobody ends them.
CREATE TABLE opened (LIKE ledger, PRIMARY KEY (holder, seq));

-- Sums over the ledger. They outlive the rows.
CREATE TABLE daily (
    day date NOT NULL,
    holder text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    "user" text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    unpriced bigint NOT NULL,
    estimated bigint NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (day, holder, tenant, key, "user", provider, model)
);

-- Processes that write, and how often each has said that it lives.
CREATE TABLE holders (
    holder text COLLATE "C" PRIMARY KEY,
    beats bigint NOT NULL
);
