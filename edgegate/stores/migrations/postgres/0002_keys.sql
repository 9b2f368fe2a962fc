-- Keys made at run time, in the order in which they were made.
CREATE TABLE keys (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    name text NOT NULL UNIQUE,
    created double precision NOT NULL,
    tenant text NOT NULL,
    "user" text NOT NULL,
    tags text[] NOT NULL,
    models text[] NOT NULL,
    providers text[] NOT NULL,
    endpoints text[] NOT NULL,
    networks text[] NOT NULL,
    expires double precision,
    revoked double precision,
    strict boolean NOT NULL,
    priority text NOT NULL,
    allowance json NOT NULL,
    revision bigint NOT NULL
);

-- The SHA-256 of each secret that opens a key.
CREATE TABLE secrets (
    digest bytea PRIMARY KEY,
    key_id text NOT NULL,
    position bigint NOT NULL,
    created double precision NOT NULL,
    expires double precision
);
CREATE INDEX secrets_by_key ON secrets (key_id);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    who text NOT NULL,
    remote text NOT NULL,
    what text NOT NULL,
    subject text NOT NULL,
    details json NOT NULL
);

-- One row, which grows with every change of a key. A change begins with it, so that changes come one after the other.
CREATE TABLE directory (
    version bigint NOT NULL
);
INSERT INTO directory (version) VALUES (0);
