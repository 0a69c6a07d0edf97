CREATE TABLE outbox_messages (
    id              TEXT   NOT NULL PRIMARY KEY,
    destination     TEXT   NOT NULL,
    payload         TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    lease_until     BIGINT NOT NULL,
    last_error      TEXT   NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE INDEX outbox_messages_due ON outbox_messages (state, destination, next_attempt_at);
