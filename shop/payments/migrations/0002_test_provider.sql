-- The built-in test provider's own books, as a provider would keep them on its side.
CREATE TABLE test_provider_charges (
    id             TEXT   NOT NULL PRIMARY KEY,
    payment_id     TEXT   NOT NULL,
    payment_method TEXT   NOT NULL,
    status         TEXT   NOT NULL CHECK (status IN ('requires_action', 'authorized', 'captured', 'voided')),
    amount         BIGINT NOT NULL,
    captured       BIGINT NOT NULL DEFAULT 0,
    refunded       BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL
);

-- Each request by its idempotency key, with the answer it got: the same key gets the same answer for ever.
CREATE TABLE test_provider_requests (
    idempotency_key TEXT   NOT NULL PRIMARY KEY,
    answer          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL
);
