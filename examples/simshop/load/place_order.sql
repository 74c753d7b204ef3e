-- A customer orders three products: order, lines, reserved stock, the customer's balance, the warehouse's activity.
\set nonce random(1, 4611686018427387903)
\set customer random(1, :customers)
\set dw_customer random(1, :dw_customers)
\set p1 random(1, :products)
\set p2 random(1, :products)
\set p3 random(1, :products)
\set quantity random(1, 5)
\set dice random(1, 100)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'place_order');
INSERT INTO simshop_oltp.orders (customer_id, ship_to, channel, coupons, details, notes) SELECT :customer, (SELECT min(address_id) FROM simshop_oltp.addresses WHERE customer_id = :customer), (ARRAY['web', 'app', 'store', 'partner'])[1 + :dice % 4], CASE WHEN :dice < 30 THEN ARRAY['SAVE' || :dice] ELSE '{}' END, jsonb_build_object('gift', :dice < 10, 'device', 'load', 'dice', :dice), CASE WHEN :dice < 20 THEN repeat('Please wrap it. ', :dice) END RETURNING order_id \gset
INSERT INTO simshop_oltp.order_items (order_id, line_no, position, product_id, quantity, unit_price, options) SELECT :order_id, row_number() OVER (ORDER BY product_id), row_number() OVER (ORDER BY product_id), product_id, :quantity, price, CASE WHEN product_id % 3 = 0 THEN jsonb_build_object('color', 'red') END FROM simshop_oltp.products WHERE product_id IN (:p1, :p2, :p3);
UPDATE simshop_oltp.orders SET total = (SELECT sum(quantity * unit_price) FROM simshop_oltp.order_items WHERE order_id = :order_id) WHERE order_id = :order_id;
UPDATE simshop_oltp.customers SET balance = balance + 1.01, preferences = jsonb_set(preferences, '{visits}', to_jsonb(:dice)) WHERE customer_id = :customer;
SELECT product_id FROM simshop_oltp.inventory WHERE product_id IN (:p1, :p2, :p3) AND warehouse = 'BER1' ORDER BY product_id FOR NO KEY UPDATE;
UPDATE simshop_oltp.inventory SET reserved = reserved + :quantity, updated_at = now() WHERE product_id IN (:p1, :p2, :p3) AND warehouse = 'BER1';
INSERT INTO simshop_oltp.stock_movements (product_id, warehouse, quantity, reason, cost, moved_at) VALUES (:p1, 'BER1', :quantity, 'reserved', :dice / 7.0, date_trunc('second', now()));
INSERT INTO simshop_dw.fct_activity (occurred_at, customer_key, channel_key, kind, payload, dwell) VALUES (timestamptz '2026-01-01 00:00:00+00' + (:dice * 40) * interval '1 hour', :dw_customer, 1 + :dice % 6, 'order', jsonb_build_object('order', :order_id), :dice * interval '1 second');
END;
