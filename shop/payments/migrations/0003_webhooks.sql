-- What is to be told to the world, written in the transaction in which it happened. Each row is sent until it
-- is taken; next_try_at is also the lease of whoever is sending it.
CREATE TABLE webhook_events (
    id           TEXT   NOT NULL PRIMARY KEY,
    type         TEXT   NOT NULL,
    body         TEXT   NOT NULL,
    tries        BIGINT NOT NULL DEFAULT 0,
    next_try_at  BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    delivered_at BIGINT
);

CREATE INDEX webhook_events_to_send ON webhook_events (delivered_at, next_try_at);
