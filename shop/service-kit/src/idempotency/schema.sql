CREATE TABLE idempotency_keys (
    caller      TEXT   NOT NULL,
    route       TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('in_flight', 'done')),
    owner       TEXT   NOT NULL,
    lease_until BIGINT NOT NULL,
    status      BIGINT NOT NULL,
    body        TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (caller, route, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
