CREATE TABLE customers (
    id            TEXT   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL UNIQUE,
    name          TEXT   NOT NULL,
    role          TEXT   NOT NULL CHECK (role IN ('customer', 'admin')),
    password_hash TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

-- A session is also the family of its refresh tokens: only the newest unused one is good.
CREATE TABLE sessions (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id),
    created_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL
);
CREATE INDEX sessions_customer ON sessions (customer_id);

CREATE TABLE refresh_tokens (
    digest     TEXT   NOT NULL PRIMARY KEY,
    session_id TEXT   NOT NULL REFERENCES sessions (id),
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE addresses (
    id          TEXT   NOT NULL PRIMARY KEY,
    customer_id TEXT   NOT NULL REFERENCES customers (id),
    name        TEXT   NOT NULL,
    line1       TEXT   NOT NULL,
    line2       TEXT,
    city        TEXT   NOT NULL,
    region      TEXT,
    postal_code TEXT   NOT NULL,
    country     TEXT   NOT NULL,
    version     BIGINT NOT NULL
);
CREATE INDEX addresses_customer ON addresses (customer_id, id);

CREATE TABLE signing_keys (
    kid        TEXT   NOT NULL PRIMARY KEY,
    pkcs8      TEXT   NOT NULL,
    public_x   TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Failed sign-ins, by account and by address; both only as digests.
CREATE TABLE sign_in_failures (
    subject       TEXT   NOT NULL PRIMARY KEY,
    failures      BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL,
    forget_at     BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_forget ON sign_in_failures (forget_at);
