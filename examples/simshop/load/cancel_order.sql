-- A paid order is cancelled and refunded, or an unpaid one disappears with everything that hangs on it.
\set nonce random(1, 4611686018427387903)
\set from_order random(:first_order, :last_order)
\set dice random(1, 100)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'cancel_order');
\if :dice <= 60
SELECT coalesce(max(order_id), 0) AS order_id, coalesce(max(customer_id), 0) AS customer FROM (SELECT order_id, customer_id FROM simshop_oltp.orders WHERE status = 'paid' AND order_id >= :from_order ORDER BY order_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) picked \gset
UPDATE simshop_oltp.orders SET status = 'cancelled', notes = NULL WHERE order_id = :order_id;
UPDATE simshop_oltp.payments SET state = 'refunded', answer = NULL WHERE order_id = :order_id;
DELETE FROM simshop_oltp.shipments WHERE order_id = :order_id;
UPDATE simshop_oltp.customers SET balance = balance + 2.25 WHERE customer_id = :customer;
UPDATE simshop_dw.fct_orders SET status = 'cancelled', discount = gross WHERE order_id = :order_id;
\else
SELECT coalesce(max(order_id), 0) AS order_id FROM (SELECT order_id FROM simshop_oltp.orders WHERE status = 'placed' AND order_id >= :from_order ORDER BY order_id LIMIT 1 FOR UPDATE SKIP LOCKED) picked \gset
DELETE FROM simshop_oltp.orders WHERE order_id = :order_id;
DELETE FROM simshop_dw.fct_orders WHERE order_id = :order_id;
\endif
END;
