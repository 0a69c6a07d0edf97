-- One row per payment intent. Amounts are minor units of one currency. The CHECKs are the last word:
-- nothing beyond the authorization is ever captured, nothing beyond the capture is ever refunded, and
-- refunds that the provider has not answered yet (refunding) count as given.
CREATE TABLE payments (
    id                       TEXT   NOT NULL PRIMARY KEY,
    customer_id              TEXT   NOT NULL,
    reference                TEXT   NOT NULL,
    amount                   BIGINT NOT NULL CHECK (amount > 0),
    currency                 TEXT   NOT NULL,
    status                   TEXT   NOT NULL CHECK (status IN ('requires_payment_method', 'requires_confirmation',
                                 'requires_action', 'processing', 'requires_capture', 'succeeded', 'canceled')),
    operation                TEXT CHECK (operation IN ('authorize', 'capture', 'void')),
    payment_method           TEXT,
    decline_code             TEXT,
    cancel_reason            TEXT,
    provider_reference       TEXT,
    authorized               BIGINT NOT NULL DEFAULT 0,
    captured                 BIGINT NOT NULL DEFAULT 0,
    refunding                BIGINT NOT NULL DEFAULT 0,
    refunded                 BIGINT NOT NULL DEFAULT 0,
    authorization_expires_at BIGINT,
    version                  BIGINT NOT NULL DEFAULT 1,
    created_at               BIGINT NOT NULL,
    updated_at               BIGINT NOT NULL,
    CONSTRAINT authorized_within_amount CHECK (0 <= authorized AND authorized <= amount),
    CONSTRAINT captured_within_authorized CHECK (0 <= captured AND captured <= authorized),
    CONSTRAINT refunded_within_captured CHECK (0 <= refunded AND 0 <= refunding AND refunded + refunding <= captured),
    CONSTRAINT operation_while_processing CHECK ((status = 'processing') = (operation IS NOT NULL))
);

CREATE INDEX payments_by_reference ON payments (reference);
CREATE INDEX payments_by_expiry ON payments (status, authorization_expires_at);

-- What was asked of the provider, written before it is asked. The id is the provider's idempotency key, so
-- an attempt whose answer was lost is asked again and never charged anew. request names the call that
-- started it (caller, route and Idempotency-Key), so that its repeat finds it even after a crash.
CREATE TABLE attempts (
    id             TEXT   NOT NULL PRIMARY KEY,
    payment_id     TEXT   NOT NULL REFERENCES payments (id),
    operation      TEXT   NOT NULL CHECK (operation IN ('authorize', 'capture', 'void', 'refund')),
    amount         BIGINT NOT NULL CHECK (amount >= 0),
    payment_method TEXT,
    reason         TEXT,
    request        TEXT UNIQUE,
    status         TEXT   NOT NULL CHECK (status IN ('pending', 'succeeded', 'declined', 'requires_action')),
    decline_code   TEXT,
    tries          BIGINT NOT NULL DEFAULT 0,
    next_try_at    BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    finished_at    BIGINT
);

CREATE INDEX attempts_by_payment ON attempts (payment_id, operation);
CREATE INDEX attempts_to_ask ON attempts (status, next_try_at);
CREATE UNIQUE INDEX attempts_one_in_flight ON attempts (payment_id) WHERE status = 'pending' AND operation <> 'refund';
CREATE UNIQUE INDEX attempts_one_charge ON attempts (payment_id) WHERE status = 'succeeded' AND operation = 'authorize';
CREATE UNIQUE INDEX attempts_one_capture ON attempts (payment_id) WHERE status = 'succeeded' AND operation = 'capture';

-- The ledger: rows are only ever added. For each payment the sums of each entry are the amounts above.
CREATE TABLE ledger (
    id         TEXT   NOT NULL PRIMARY KEY,
    payment_id TEXT   NOT NULL REFERENCES payments (id),
    attempt_id TEXT   NOT NULL REFERENCES attempts (id),
    entry      TEXT   NOT NULL CHECK (entry IN ('authorized', 'captured', 'refunded', 'canceled')),
    amount     BIGINT NOT NULL CHECK (amount > 0),
    currency   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (attempt_id, entry)
);

CREATE INDEX ledger_by_payment ON ledger (payment_id, id);
