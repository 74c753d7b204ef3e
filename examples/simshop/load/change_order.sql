-- A customer changes an order that is not paid yet: replaces a line, swaps two, edits coupons, notes and details.
\set nonce random(1, 4611686018427387903)
\set from_order random(:first_order, :last_order)
\set product random(1, :products)
\set described random(1, :products)
\set quantity random(1, 5)
\set dice random(1, 100)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'change_order');
SELECT coalesce(max(order_id), 0) AS order_id FROM (SELECT order_id FROM simshop_oltp.orders WHERE status = 'placed' AND order_id >= :from_order ORDER BY order_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) picked \gset
\if :order_id > 0
DELETE FROM simshop_oltp.order_items WHERE order_id = :order_id AND line_no = 1;
INSERT INTO simshop_oltp.order_items (order_id, line_no, position, product_id, quantity, unit_price, options) SELECT :order_id, 1, (SELECT coalesce(max(position), 0) + 1 FROM simshop_oltp.order_items WHERE order_id = :order_id), product_id, :quantity, price, jsonb_build_object('changed', :dice) FROM simshop_oltp.products WHERE product_id = :product;
UPDATE simshop_oltp.order_items i SET position = n.position FROM (SELECT line_no, row_number() OVER (ORDER BY position DESC) AS position FROM simshop_oltp.order_items WHERE order_id = :order_id) n WHERE i.order_id = :order_id AND i.line_no = n.line_no;
UPDATE simshop_oltp.orders SET total = (SELECT sum(quantity * unit_price) FROM simshop_oltp.order_items WHERE order_id = :order_id), coupons = (ARRAY['CHANGE' || :dice] || coupons)[1:3], details = details || jsonb_build_object('changes', coalesce((details ->> 'changes')::int, 0) + 1), notes = CASE WHEN :dice < 50 THEN left(concat('Changed. ', notes), 2000) ELSE notes END WHERE order_id = :order_id;
\endif
\if :dice <= 5
UPDATE simshop_oltp.products SET long_description = left(md5((:nonce)::text) || coalesce(long_description, ''), 20000) WHERE product_id = :described;
\endif
\if :dice > 90
UPDATE simshop_oltp.products SET price = price + 0.01, attributes = attributes || jsonb_build_object('dice', :dice) WHERE product_id = :described;
\endif
END;
