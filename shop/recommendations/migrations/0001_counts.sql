-- Every event that has been counted, so that a repeat changes nothing.
CREATE TABLE seen_events (
    id          TEXT   NOT NULL PRIMARY KEY,
    received_at BIGINT NOT NULL
);

-- In how many confirmed orders two SKUs were bought together. Both directions
-- are stored, so that a look-up is one range of the primary key.
CREATE TABLE pairs (
    sku   TEXT   NOT NULL,
    other TEXT   NOT NULL,
    times BIGINT NOT NULL CHECK (times > 0),
    PRIMARY KEY (sku, other),
    CHECK (sku <> other)
);
