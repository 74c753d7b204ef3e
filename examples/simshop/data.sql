-- Fills both schemas of SimShop: psql -v scale=1 -f data.sql gives about 100,000 rows, scale 10 ten times as many.
-- The same scale gives the same rows on every server.

\if :{?scale}
\else
    \set scale 1
\endif

SET TimeZone = 'UTC';
SET synchronous_commit = off;
BEGIN;
SET LOCAL search_path = simshop_oltp;
SELECT setseed(0.4711) \g (format=unaligned tuples_only=on) /dev/null

SELECT  4000 * :scale AS customers, 5000 * :scale AS addresses, 500 * :scale AS products, 200 * :scale AS promotions,
        3000 * :scale AS carts, 10000 * :scale AS orders, 1500 * :scale AS tickets, 4000 * :scale AS movements,
        1000 * :scale AS accounts, 2000 * :scale AS dw_customers, 4000 * :scale AS dw_orders,
        6000 * :scale AS activities, 500 * :scale AS dw_tickets, 60 * :scale AS campaigns, 200 * :scale AS places
\gset

-- Helpers of this session only. prose() is about as hard to compress as text gets, so what is long goes out of line.
CREATE FUNCTION pg_temp.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;
CREATE FUNCTION pg_temp.upto(n bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT 1 + floor(random() * n)::bigint $$;
CREATE FUNCTION pg_temp.money(low numeric, high numeric) RETURNS numeric LANGUAGE sql VOLATILE AS
$$ SELECT round(low + (high - low) * random()::numeric, 2) $$;
CREATE FUNCTION pg_temp.moment() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT timestamptz '2026-01-01 00:00:00+00' + floor(random() * 15552000000000) * interval '1 microsecond' $$;
CREATE FUNCTION pg_temp.prose(seed text, bytes int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT left(string_agg(md5(seed || ':' || k), ' ' ORDER BY k), bytes) FROM generate_series(1, bytes / 33 + 1) k $$;

INSERT INTO customers (email, full_name, tier, balance, credit_limit, tags, preferences, referred_by, born_on,
                       last_login, created_at, updated_at)
SELECT format('customer%s@simshop.example', i),
       pg_temp.pick('Ada', 'Béla', 'Chloé', 'Đorđe', 'Émile', 'Fatma', 'Göran', '花子') || ' '
           || pg_temp.pick('Archer', 'O''Brien', 'Čapek', 'de la Cruz', 'Østergård', 'Ямалов', '山田') || ' ' || i,
       pg_temp.pick('basic', 'basic', 'basic', 'silver', 'gold', 'platinum')::customer_tier,
       pg_temp.money(-200, 2000),
       CASE WHEN i % 3 = 0 THEN pg_temp.money(500, 20000) END,
       CASE i % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['newsletter'] WHEN 2 THEN ARRAY['b2b', 'net, 30'] ELSE ARRAY['vip', NULL, '"quoted"'] END,
       jsonb_build_object('language', pg_temp.pick('en', 'de', 'fr', 'ja'), 'marketing', random() < 0.5, 'visits', pg_temp.upto(1000)),
       CASE WHEN i % 5 = 0 THEN i / 2 END,
       date '1940-01-01' + floor(random() * 25000)::int,
       ('10.' || i % 200 || '.' || i % 250 || '.' || i % 99)::inet,
       m, m
FROM generate_series(1, :customers) i, LATERAL (SELECT pg_temp.moment() AS m WHERE i > 0) t;

INSERT INTO addresses (customer_id, kind, lines, city, postal_code, country, location)
SELECT 1 + (i - 1) % :customers,
       CASE WHEN i % 4 = 0 THEN 'billing' ELSE 'shipping' END::address_kind,
       CASE WHEN i % 7 = 0 THEN ARRAY['c/o Reception', i || ' Long Road', 'Floor ' || i % 12] ELSE ARRAY[i || ' Short Street'] END,
       pg_temp.pick('Berlin', 'Łódź', 'São Paulo', 'Osaka', 'Montréal', 'Cape Town'),
       lpad((i % 99999)::text, 5, '0'),
       pg_temp.pick('DE', 'PL', 'BR', 'JP', 'CA', 'ZA'),
       CASE WHEN i % 2 = 0 THEN point(round((random() * 180 - 90)::numeric, 6), round((random() * 360 - 180)::numeric, 6)) END
FROM generate_series(1, :addresses) i;

INSERT INTO products (sku, name, categories, price, weight_kg, size_cm, attributes, long_description, thumbnail, active, created_at)
SELECT md5('sku' || i)::uuid,
       pg_temp.pick('Lamp', 'Chair', 'Kettle', 'Desk', 'Bicycle', 'Piano') || ' No. ' || i,
       ARRAY[pg_temp.pick('home', 'garden', 'office', 'music'), 'class ' || i % 9],
       pg_temp.money(1, 900),
       CASE WHEN i % 11 > 0 THEN round((random() * 40)::numeric, 3) END,
       ARRAY[round((random() * 200)::numeric, 3), round((random() * 200)::numeric, 3), i % 50],
       jsonb_build_object('color', pg_temp.pick('red', 'green', 'blue'), 'stars', pg_temp.upto(5), 'langs', jsonb_build_array('en', 'de')),
       CASE WHEN i % 5 = 0 THEN pg_temp.prose('product' || i, 20000) WHEN i % 5 < 4 THEN pg_temp.prose('product' || i, 200) END,
       CASE WHEN i % 3 = 0 THEN decode(repeat(md5('thumb' || i), 8), 'hex') END,
       i % 20 <> 0,
       pg_temp.moment()
FROM generate_series(1, :products) i;

INSERT INTO inventory (product_id, warehouse, on_hand, updated_at)
SELECT p, w, 1000 + pg_temp.upto(9000), pg_temp.moment()
FROM generate_series(1, :products) p, unnest(ARRAY['BER1', 'OSA2']) w;

INSERT INTO promotions (code, valid_from, valid_for, discount, uses, channels)
SELECT 'SAVE' || i, date '2026-01-01' + i % 180, (i % 30 + 1) * interval '1 day' + (i % 24) * interval '1 hour',
       round(random()::numeric / 2, 4), pg_temp.upto(500), CASE WHEN i % 2 = 0 THEN ARRAY['web', 'app'] ELSE '{}' END
FROM generate_series(1, :promotions) i;

INSERT INTO carts (cart_id, customer_id, state, created_at, keep_for)
SELECT md5('cart' || i)::uuid, 1 + (i - 1) % :customers, pg_temp.pick('open', 'ordered', 'abandoned')::cart_state,
       pg_temp.moment(), i % 40 * interval '1 day 02:03:04.000005'
FROM generate_series(1, :carts) i;

INSERT INTO cart_items (cart_id, line_no, product_id, quantity, options)
SELECT md5('cart' || i)::uuid, l, pg_temp.upto(:products), pg_temp.upto(4), CASE WHEN l = 2 THEN jsonb_build_object('gift', true) END
FROM generate_series(1, :carts) i, generate_series(1, 2) l;

INSERT INTO orders (customer_id, ship_to, status, channel, coupons, details, notes, placed_at, updated_at)
SELECT 1 + (a - 1) % :customers, a,
       (CASE WHEN i % 10 < 5 THEN 'placed' WHEN i % 10 < 7 THEN 'paid' WHEN i % 10 = 7 THEN 'shipped' WHEN i % 10 = 8 THEN 'delivered' ELSE 'cancelled' END)::order_status,
       pg_temp.pick('web', 'app', 'store', 'partner'),
       CASE WHEN i % 6 = 0 THEN ARRAY['SAVE' || 1 + i % :promotions] ELSE '{}' END,
       jsonb_build_object('gift', i % 9 = 0, 'device', pg_temp.pick('phone', 'desk', 'tablet'), 'score', round(random()::numeric, 6)),
       CASE WHEN i % 8 = 0 THEN E'Leave at the door,\nring twice.\t' || i END,
       m, m
FROM generate_series(1, :orders) i, LATERAL (SELECT pg_temp.upto(:addresses) AS a, pg_temp.moment() AS m WHERE i > 0) t;

INSERT INTO order_items (order_id, line_no, position, product_id, quantity, unit_price, options)
SELECT o.order_id, l, l, p.product_id, pg_temp.upto(5), p.price, CASE WHEN l = 2 THEN jsonb_build_object('engraving', md5(o.order_id::text)) END
FROM orders o, generate_series(1, 3) l, LATERAL (SELECT 1 + (o.order_id * 31 + l * 17) % :products AS id) r, products p
WHERE p.product_id = r.id AND (l < 3 OR o.order_id % 2 = 0)
ORDER BY o.order_id, l;

UPDATE orders o SET total = t.total
FROM (SELECT order_id, sum(quantity * unit_price) AS total FROM order_items GROUP BY order_id) t
WHERE t.order_id = o.order_id;
-- The trigger has stamped these with the time of loading.
ALTER TABLE orders DISABLE TRIGGER orders_touch;
UPDATE orders SET updated_at = placed_at, version = 1;
ALTER TABLE orders ENABLE TRIGGER orders_touch;

INSERT INTO payments (order_id, method, amount, currency, provider_ref, answer, paid_at)
SELECT order_id, pg_temp.pick('card', 'transfer', 'wallet', 'invoice')::payment_method, total, pg_temp.pick('EUR', 'JPY', 'BRL'),
       md5('payment' || order_id)::uuid, jsonb_build_object('code', '00', 'risk', round(random()::numeric, 4)), placed_at + interval '1 hour'
FROM orders WHERE status IN ('paid', 'shipped', 'delivered') ORDER BY order_id;

INSERT INTO shipments (order_id, carrier, tracking, parcels_g, shipped_at, due_on, pickup_from)
SELECT order_id, pg_temp.pick('Hermes', 'Post', 'Drone'), 'T' || order_id, ARRAY[pg_temp.upto(30000)::int, pg_temp.upto(2000)::int],
       placed_at + interval '1 day', (placed_at + interval '4 days')::date, time '08:00' + order_id % 600 * interval '1 minute'
FROM orders WHERE status IN ('paid', 'shipped', 'delivered') ORDER BY order_id;

INSERT INTO support_tickets (customer_id, order_id, priority, state, subject, transcript, labels, score, opened_at, closed_at)
SELECT 1 + (i - 1) % :customers, CASE WHEN i % 3 > 0 THEN 100000 + pg_temp.upto(:orders) END,
       pg_temp.pick('low', 'normal', 'high', 'urgent')::ticket_priority, CASE WHEN i % 4 = 0 THEN 'closed' ELSE 'open' END::ticket_state,
       'Question ' || i, pg_temp.prose('ticket' || i, CASE WHEN i % 10 = 0 THEN 20000 ELSE 300 END),
       CASE WHEN i % 2 = 0 THEN ARRAY['late'] ELSE '{}' END, CASE WHEN i % 4 = 0 THEN i % 5 + 1 END, m,
       CASE WHEN i % 4 = 0 THEN m + interval '5 hours' END
FROM generate_series(1, :tickets) i, LATERAL (SELECT pg_temp.moment() AS m WHERE i > 0) t;

-- Every 50th movement is there twice.
INSERT INTO stock_movements (product_id, warehouse, quantity, reason, cost, moved_at)
SELECT 1 + i % :products, CASE WHEN i % 2 = 0 THEN 'BER1' ELSE 'OSA2' END, i % 41 - 20, CASE WHEN i % 3 > 0 THEN 'count ' || i % 12 END,
       CASE WHEN i % 1000 = 7 THEN 'NaN' ELSE round(random()::numeric * 100, i % 9) END, m
FROM generate_series(1, :movements) i, LATERAL (SELECT pg_temp.moment() AS m WHERE i > 0) t, generate_series(1, CASE WHEN i % 50 = 0 THEN 2 ELSE 1 END);

INSERT INTO accounts (account_id, owner, balance)
SELECT i, 'Owner ' || i, 1000 FROM generate_series(1, :accounts) i;

SET LOCAL search_path = simshop_dw;

INSERT INTO dim_date
SELECT to_char(d, 'YYYYMMDD')::int, d, extract(year FROM d), extract(quarter FROM d), extract(month FROM d),
       (ARRAY['January','February','March','April','May','June','July','August','September','October','November','December'])[extract(month FROM d)::int],
       extract(week FROM d), extract(isodow FROM d) > 5,
       CASE WHEN to_char(d, 'MMDD') = '0101' THEN ARRAY['New Year'] WHEN to_char(d, 'MMDD') = '1225' THEN ARRAY['Christmas', 'Noël'] END
FROM generate_series(timestamp '2024-01-01', timestamp '2027-12-31', interval '1 day') t, LATERAL (SELECT t::date AS d) x;

INSERT INTO dim_geography (parent_key, level, name, country, population, center)
SELECT CASE WHEN i > 8 THEN 1 + i % 8 END, CASE WHEN i > 8 THEN 'city' ELSE 'country' END, 'Place ' || i,
       (ARRAY['DE','PL','BR','JP','CA','ZA','FR','IN'])[1 + i % 8], pg_temp.upto(9000000000), point(i % 90, -(i % 180))
FROM generate_series(1, :places) i;

INSERT INTO dim_channels (code, kind, attributes)
SELECT code, kind::channel_kind, jsonb_build_object('code', code)
FROM (VALUES ('web', 'web'), ('mobile web', 'web'), ('ios', 'app'), ('android', 'app'), ('store', 'store'), ('partner', 'partner')) v (code, kind);

INSERT INTO dim_customers (customer_id, geography_key, segment, tags, profile, lifetime)
SELECT i, pg_temp.upto(:places), pg_temp.pick('new', 'regular', 'loyal', 'at risk', 'lost')::segment,
       CASE WHEN i % 3 = 0 THEN ARRAY['a', 'b c'] ELSE '{}' END, jsonb_build_object('age', pg_temp.upto(80), 'nested', jsonb_build_object('n', NULL)),
       pg_temp.money(0, 99999)
FROM generate_series(1, :dw_customers) i;

INSERT INTO dim_products (product_id, name, category_path, list_price, unit_cost, long_description, valid_from)
SELECT i, 'Product ' || i, ARRAY['all', 'class ' || i % 9], pg_temp.money(1, 900), round(random()::numeric * 400, 6),
       CASE WHEN i % 10 = 0 THEN pg_temp.prose('dw product' || i, 20000) END, CASE WHEN i % 2 = 0 THEN pg_temp.moment() ELSE '-infinity' END
FROM generate_series(1, :products) i;

INSERT INTO dim_campaigns (parent_key, channel_key, name, budget, runs, goals)
SELECT CASE WHEN i > 6 THEN 1 + i % 6 END, 1 + i % 6, 'Campaign ' || i, pg_temp.money(100, 100000),
       daterange(date '2026-01-01' + i % 150, CASE WHEN i % 4 > 0 THEN date '2026-01-01' + i % 150 + 14 END), jsonb_build_object('clicks', pg_temp.upto(10000))
FROM generate_series(1, :campaigns) i;

INSERT INTO fct_orders (order_id, customer_key, date_key, channel_key, campaign_key, status, gross, discount, ordered_at)
SELECT 100000 + i, pg_temp.upto(:dw_customers), to_char(m, 'YYYYMMDD')::int, 1 + i % 6, CASE WHEN i % 4 = 0 THEN pg_temp.upto(:campaigns) END,
       CASE i % 3 WHEN 0 THEN 'placed' WHEN 1 THEN 'paid' ELSE 'cancelled' END::fact_status, pg_temp.money(5, 3000), pg_temp.money(0, 5), m
FROM generate_series(1, :dw_orders) i, LATERAL (SELECT pg_temp.moment() AS m WHERE i > 0) t;

INSERT INTO fct_order_items (order_key, line_no, product_key, quantity, revenue, margin)
SELECT o, l, pg_temp.upto(:products), pg_temp.upto(5), pg_temp.money(1, 900), CASE WHEN o % 500 = 0 THEN 'NaN' ELSE random() - 0.2 END
FROM generate_series(1, :dw_orders) o, generate_series(1, 2) l;

INSERT INTO fct_activity (occurred_at, customer_key, channel_key, kind, payload, dwell)
SELECT pg_temp.moment(), pg_temp.upto(:dw_customers), 1 + i % 6, pg_temp.pick('view', 'search', 'add to cart', 'order', 'return')::activity_kind,
       CASE WHEN i % 3 > 0 THEN jsonb_build_object('page', '/p/' || i % 77) END, random() * 100 * interval '1 second'
FROM generate_series(1, :activities) i;

INSERT INTO fct_support (customer_key, date_key, order_key, priority, resolved_in, score, summary)
SELECT pg_temp.upto(:dw_customers), 20260100 + pg_temp.upto(28), CASE WHEN i % 2 = 0 THEN pg_temp.upto(:dw_orders) END,
       pg_temp.pick('low', 'normal', 'high', 'urgent'), CASE WHEN i % 5 > 0 THEN make_interval(months => i % 3, days => i % 9, secs => i % 3600) END,
       round((random() * 5)::numeric, 1), pg_temp.prose('summary' || i, CASE WHEN i % 25 = 0 THEN 20000 ELSE 120 END)
FROM generate_series(1, :dw_tickets) i;

INSERT INTO fct_inventory (date_key, product_key, warehouse, on_hand, value, counted_by)
SELECT d, p, w, pg_temp.upto(9000), round(random()::numeric * 100000, 4), CASE WHEN p % 3 = 0 THEN ARRAY['Kim', 'Lee'] END
FROM unnest(ARRAY[20260131, 20260228]) d, generate_series(1, :products) p, unnest(ARRAY['BER1', 'OSA2']) w;

INSERT INTO agg_daily_revenue (date_key, channel_key, orders, revenue)
SELECT date_key, c, pg_temp.upto(500), pg_temp.money(0, 100000)
FROM dim_date, generate_series(1, 6) c WHERE year = 2026 ORDER BY date_key, c;

INSERT INTO agg_monthly_segment (month, segment, customers, revenue, share)
SELECT m, s, pg_temp.upto(5000), random()::numeric * 1e9, CASE s WHEN 'lost' THEN 'NaN' WHEN 'new' THEN 'Infinity' ELSE random() END
FROM generate_series(timestamp '2024-01-01', timestamp '2027-12-01', interval '1 month') m, unnest(enum_range(NULL::segment)) s;

INSERT INTO agg_product_performance (product_key, month, units, revenue, ranks)
SELECT p, m, pg_temp.upto(900), pg_temp.money(0, 90000), ARRAY[p % 100, NULL, p % 7]
FROM generate_series(1, :products) p, unnest(ARRAY[date '2026-01-01', date '2026-02-01']) m;

INSERT INTO agg_channel_performance (channel, week_start, visits, conversion, top_terms, details)
SELECT c, w, CASE WHEN extract(day FROM w) > 5 THEN pg_temp.upto(1000000) END, random(), ARRAY['lamp', 'piano', c], jsonb_build_object('bounce', round(random()::numeric, 3))
FROM unnest(ARRAY['web', 'app', 'store', 'partner']) c, generate_series(timestamp '2026-01-05', timestamp '2027-01-04', interval '7 days') w;

COMMIT;
ANALYZE;
