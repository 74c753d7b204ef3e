-- A customer pays: payment, order, shipment, stock leaves the house, the warehouse gets its facts and the day's revenue.
\set nonce random(1, 4611686018427387903)
\set from_order random(:first_order, :last_order)
\set dw_customer random(1, :dw_customers)
\set day random(1, 28)
\set dice random(1, 100)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'pay_order');
SELECT coalesce(max(order_id), 0) AS order_id, coalesce(max(customer_id), 0) AS customer FROM (SELECT order_id, customer_id FROM simshop_oltp.orders WHERE status = 'placed' AND order_id >= :from_order ORDER BY order_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) picked \gset
\if :order_id > 0
INSERT INTO simshop_oltp.payments (order_id, method, amount, provider_ref, answer) SELECT order_id, (enum_range(NULL::simshop_oltp.payment_method))[1 + :dice % 4], total, gen_random_uuid(), jsonb_build_object('code', '00', 'dice', :dice) FROM simshop_oltp.orders WHERE order_id = :order_id;
UPDATE simshop_oltp.orders SET status = 'paid', details = details || '{"paid": true}' WHERE order_id = :order_id;
INSERT INTO simshop_oltp.shipments (order_id, carrier, tracking, parcels_g, shipped_at, due_on, pickup_from) VALUES (:order_id, 'Post', gen_random_uuid()::text, ARRAY[:dice * 100, :dice], now(), current_date + 3, time '08:00');
UPDATE simshop_oltp.customers SET balance = balance + 0.5, tier = CASE WHEN :dice = 1 THEN 'gold' ELSE tier END, tags = CASE WHEN :dice < 5 THEN ARRAY['paid', 'dice ' || :dice] ELSE tags END WHERE customer_id = :customer;
SELECT product_id FROM simshop_oltp.inventory WHERE warehouse = 'BER1' AND product_id IN (SELECT product_id FROM simshop_oltp.order_items WHERE order_id = :order_id) ORDER BY product_id FOR NO KEY UPDATE;
UPDATE simshop_oltp.inventory v SET on_hand = v.on_hand - i.sold + CASE WHEN v.on_hand < 500 THEN 5000 ELSE 0 END, reserved = greatest(v.reserved - i.sold, 0), updated_at = now() FROM (SELECT product_id, sum(quantity) AS sold FROM simshop_oltp.order_items WHERE order_id = :order_id GROUP BY product_id) i WHERE v.product_id = i.product_id AND v.warehouse = 'BER1';
INSERT INTO simshop_dw.fct_orders (order_id, customer_key, date_key, channel_key, status, gross, ordered_at) SELECT order_id, :dw_customer, 20260100 + :day, 1 + :dice % 6, 'paid', total, placed_at FROM simshop_oltp.orders WHERE order_id = :order_id RETURNING order_key \gset
INSERT INTO simshop_dw.fct_order_items (order_key, line_no, product_key, quantity, revenue, margin) SELECT :order_key, line_no, product_id, quantity, quantity * unit_price, :dice / 300.0 FROM simshop_oltp.order_items WHERE order_id = :order_id;
INSERT INTO simshop_dw.agg_daily_revenue AS a (date_key, channel_key, orders, revenue) SELECT 20260100 + :day, 1 + :dice % 6, 1, total FROM simshop_oltp.orders WHERE order_id = :order_id ON CONFLICT (date_key, channel_key) DO UPDATE SET orders = a.orders + 1, revenue = a.revenue + excluded.revenue;
\endif
END;
