CREATE TABLE categories (
    slug TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE products (
    id           TEXT   NOT NULL PRIMARY KEY,
    sku          TEXT   NOT NULL UNIQUE,
    slug         TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    description  TEXT   NOT NULL,
    category     TEXT   NOT NULL REFERENCES categories (slug),
    price_amount BIGINT NOT NULL CHECK (price_amount >= 0),
    currency     TEXT   NOT NULL,
    image        TEXT   NOT NULL,
    status       TEXT   NOT NULL CHECK (status IN ('active', 'draft', 'archived')),
    version      BIGINT NOT NULL,
    -- Lower case, made by the service: the two databases do not agree on the case of letters beyond ASCII.
    name_key     TEXT   NOT NULL,
    search_text  TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX products_by_name ON products (status, name_key, id);
CREATE INDEX products_by_price ON products (status, price_amount, id);
CREATE INDEX products_by_age ON products (status, created_at, id);
CREATE INDEX products_by_category ON products (category, status);
