-- Checkouts and cancellations are sagas: their engine knows how far each has come, and an order only whether one is still at work.
ALTER TABLE orders ADD COLUMN payment_method TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN settled BIGINT NOT NULL DEFAULT 0 CHECK (settled IN (0, 1));
-- Why a checkout came to nothing: the problem document that its customer gets.
ALTER TABLE orders ADD COLUMN refusal TEXT;
UPDATE orders SET
    payment_method = (SELECT payment_method FROM order_work WHERE order_id = orders.id),
    settled = (SELECT finished FROM order_work WHERE order_id = orders.id),
    refusal = (SELECT refusal FROM order_work WHERE order_id = orders.id);
DROP TABLE order_work;
