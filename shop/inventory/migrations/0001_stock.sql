-- What lies on the shelf, and how much of it is promised. The CHECK is the last word against overselling.
CREATE TABLE stock (
    sku        TEXT   NOT NULL PRIMARY KEY,
    on_hand    BIGINT NOT NULL,
    reserved   BIGINT NOT NULL DEFAULT 0,
    version    BIGINT NOT NULL DEFAULT 1,
    updated_at BIGINT NOT NULL,
    CONSTRAINT stock_never_oversold CHECK (0 <= reserved AND reserved <= on_hand)
);

-- One row per hold. A released row without lines is the tombstone of a release that came before its reserve.
CREATE TABLE reservations (
    key        TEXT   NOT NULL PRIMARY KEY,
    status     TEXT   NOT NULL CHECK (status IN ('held', 'committed', 'released', 'expired', 'returned')),
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX reservations_by_status ON reservations (status, expires_at);

CREATE TABLE reservation_lines (
    reservation_key TEXT   NOT NULL REFERENCES reservations (key),
    sku             TEXT   NOT NULL REFERENCES stock (sku),
    quantity        BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_key, sku)
);

-- The ledger: rows are only ever added, and for each SKU the sum of delta is stock.on_hand. The reasons
-- 'initial', 'commit' and 'return' are the service's own; reference is the reservation of the latter two.
CREATE TABLE movements (
    id         TEXT   NOT NULL PRIMARY KEY,
    sku        TEXT   NOT NULL REFERENCES stock (sku),
    delta      BIGINT NOT NULL CHECK (delta <> 0),
    reason     TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    reference  TEXT,
    created_at BIGINT NOT NULL
);

CREATE INDEX movements_by_sku ON movements (sku, id);
-- A reservation is sold once, and comes back once.
CREATE UNIQUE INDEX movements_once_a_reservation ON movements (reference, sku, reason) WHERE reference IS NOT NULL;
