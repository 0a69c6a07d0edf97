-- Carts, their lines, and the last prices that the catalog told.
CREATE TABLE carts (
    id          TEXT PRIMARY KEY,
    customer_id TEXT,
    status      TEXT NOT NULL CHECK (status IN ('open', 'checking_out', 'closed', 'merged')),
    version     BIGINT NOT NULL,
    -- The order that claimed the cart, or the cart that took its lines.
    order_id    TEXT,
    merged_into TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

-- The one cart that a signed-in customer fills now. A guest's cart that a customer checks out is theirs without being this one.
CREATE TABLE customer_carts (
    customer_id TEXT PRIMARY KEY,
    cart_id     TEXT NOT NULL REFERENCES carts (id)
);

CREATE TABLE cart_lines (
    cart_id  TEXT NOT NULL REFERENCES carts (id),
    sku      TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    added_at BIGINT NOT NULL,
    PRIMARY KEY (cart_id, sku)
);

-- What the catalog last said about a product: shown, marked as stale, while the catalog is away.
CREATE TABLE known_products (
    sku          TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL,
    image        TEXT NOT NULL,
    price_amount BIGINT NOT NULL,
    currency     TEXT NOT NULL,
    seen_at      BIGINT NOT NULL
);
