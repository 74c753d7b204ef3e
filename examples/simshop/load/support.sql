-- A customer writes to support; besides, what a shop does now and then: carts, promotions, keyless rows, moved keys, late corrections.
\set nonce random(1, 4611686018427387903)
\set customer random(1, :customers)
\set dw_customer random(1, :dw_customers)
\set ticket random(1, :tickets)
\set promotion random(1, :promotions)
\set product random(1, :products)
\set activity random(1, :activities)
\set campaign_week random(0, 52)
\set dice random(1, 100)
BEGIN;
INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (:client_id, concat_ws('-', (:run_id)::text, (:client_id)::text, (:nonce)::text), 'support');
\if :dice <= 40
INSERT INTO simshop_oltp.support_tickets (customer_id, priority, subject, transcript, labels) VALUES (:customer, (enum_range(NULL::simshop_oltp.ticket_priority))[1 + :dice % 4], 'Where is it?', CASE WHEN :dice <= 4 THEN (SELECT string_agg(md5((:nonce + k)::text), ' ') FROM generate_series(1, 620) k) ELSE 'Hello!' END, ARRAY['load', 'dice ' || :dice]);
INSERT INTO simshop_dw.fct_support (customer_key, date_key, priority, resolved_in, score) VALUES (:dw_customer, 20260115, 'high', :dice * interval '1 hour', :dice / 20.0);
\endif
\if :dice > 40 and :dice <= 70
UPDATE simshop_oltp.support_tickets SET state = 'closed', closed_at = now(), score = 1 + :dice % 5, labels = (labels || 'closed'::text)[1:5] WHERE ticket_id = :ticket;
\endif
\if :dice > 70 and :dice <= 75
UPDATE simshop_oltp.support_tickets SET transcript = left(md5((:nonce)::text) || transcript, 30000) WHERE ticket_id = :ticket;
\endif
\if :dice > 75 and :dice <= 78
-- The key changes, the long transcript does not.
UPDATE simshop_oltp.support_tickets SET ticket_id = nextval(pg_get_serial_sequence('simshop_oltp.support_tickets', 'ticket_id')) WHERE ticket_id = :ticket;
\endif
\if :dice > 78 and :dice <= 84
-- Moves between partitions when the month changes.
UPDATE simshop_dw.fct_activity SET occurred_at = timestamptz '2026-01-01 00:00:00+00' + (:dice * 50) * interval '1 hour', payload = NULL WHERE activity_key = :activity;
\endif
\if :dice > 84 and :dice <= 88
-- The column that identifies the row changes, there and back.
UPDATE simshop_oltp.promotions SET code = CASE WHEN code LIKE 'X%' THEN substr(code, 2) ELSE 'X' || code END, uses = uses + 1 WHERE code IN (concat('SAVE', (:promotion)::text), concat('XSAVE', (:promotion)::text));
UPDATE simshop_dw.agg_monthly_segment SET customers = customers + 1, revenue = revenue + 0.000001 WHERE month = date '2026-03-01' AND segment = 'loyal';
\endif
\if :dice > 88 and :dice <= 92
-- No key: equal rows change or go together.
UPDATE simshop_oltp.stock_movements SET quantity = quantity + 1, reason = 'recount' WHERE product_id = :product AND quantity = 0;
UPDATE simshop_dw.agg_channel_performance SET visits = coalesce(visits, 0) + 1, details = details || jsonb_build_object('dice', :dice) WHERE channel = 'web' AND week_start = date '2026-01-05' + :campaign_week * 7;
\endif
\if :dice > 92 and :dice <= 94
DELETE FROM simshop_oltp.stock_movements WHERE product_id = :product AND reason = 'reserved';
\endif
\if :dice > 94
INSERT INTO simshop_oltp.carts (customer_id, state) VALUES (:customer, 'open');
UPDATE simshop_oltp.cart_items SET line_no = CASE WHEN line_no > 100 THEN line_no + (-100) ELSE line_no + 100 END WHERE cart_id IN (SELECT cart_id FROM simshop_oltp.carts WHERE customer_id = :customer AND state <> 'open');
\endif
END;
