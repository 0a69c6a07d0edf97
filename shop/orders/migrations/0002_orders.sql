-- Orders, the progress of what each still has to do at other services, and the events that they publish.
CREATE TABLE orders (
    id               TEXT PRIMARY KEY,
    customer_id      TEXT NOT NULL,
    cart_id          TEXT NOT NULL REFERENCES carts (id),
    status           TEXT NOT NULL CHECK (status IN ('pending', 'stock_reserved', 'payment_authorized', 'confirmed',
                                                     'shipped', 'delivered', 'cancelled', 'refunded')),
    version          BIGINT NOT NULL,
    total_amount     BIGINT NOT NULL CHECK (total_amount >= 0),
    currency         TEXT NOT NULL,
    payment_id       TEXT,
    shipping_address TEXT,
    cancel_reason    TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id, id);
CREATE INDEX orders_by_status ON orders (status, id);

-- One cart never has two orders: an attempt that was cancelled before it was confirmed gives the cart back by setting live = 0.
CREATE TABLE cart_claims (
    order_id TEXT PRIMARY KEY REFERENCES orders (id),
    cart_id  TEXT NOT NULL REFERENCES carts (id),
    live     BIGINT NOT NULL CHECK (live IN (0, 1))
);
CREATE UNIQUE INDEX one_live_order_per_cart ON cart_claims (cart_id) WHERE live = 1;

CREATE TABLE order_lines (
    order_id    TEXT NOT NULL REFERENCES orders (id),
    position    BIGINT NOT NULL,
    sku         TEXT NOT NULL,
    name        TEXT NOT NULL,
    image       TEXT NOT NULL,
    quantity    BIGINT NOT NULL CHECK (quantity > 0),
    unit_amount BIGINT NOT NULL CHECK (unit_amount >= 0),
    PRIMARY KEY (order_id, position)
);

-- How far an order's work at the other services has come. A row is written before the step that follows it is begun.
CREATE TABLE order_work (
    order_id        TEXT PRIMARY KEY REFERENCES orders (id),
    step            TEXT NOT NULL CHECK (step IN ('placed', 'reserved', 'payment_created', 'authorized', 'committed',
                                                  'captured', 'confirmed')),
    direction       TEXT NOT NULL CHECK (direction IN ('forward', 'undo')),
    payment_undone  BIGINT NOT NULL CHECK (payment_undone IN (0, 1)),
    stock_undone    BIGINT NOT NULL CHECK (stock_undone IN (0, 1)),
    finished        BIGINT NOT NULL CHECK (finished IN (0, 1)),
    payment_method  TEXT NOT NULL,
    -- Why it is undone: the answer that the customer gets, as {status, problem}.
    refusal         TEXT,
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    lease_owner     TEXT,
    lease_until     BIGINT NOT NULL
);
CREATE INDEX unfinished_work ON order_work (finished, next_attempt_at);

-- The checkout that a customer's Idempotency-Key began, and its answer once there is one.
CREATE TABLE checkout_keys (
    customer_id TEXT NOT NULL,
    idem_key    TEXT NOT NULL,
    -- What was asked for, so that the same key with another request is noticed.
    request     TEXT NOT NULL,
    order_id    TEXT NOT NULL REFERENCES orders (id),
    status      BIGINT,
    body        TEXT,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (customer_id, idem_key)
);
CREATE INDEX checkout_keys_by_order ON checkout_keys (order_id);
CREATE INDEX checkout_keys_by_age ON checkout_keys (created_at);
