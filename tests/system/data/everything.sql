-- A schema with something of everything, nasty names included. Run by tests/system/test_schema.py on the source.
CREATE SCHEMA "My Schema";
CREATE SCHEMA other;
COMMENT ON SCHEMA other IS 'another''s';
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'it''s "fine"', 'back\slash');
CREATE TYPE other.pair AS (a integer, b text);
CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN public.price AS numeric(12,2) NOT NULL DEFAULT 0;
CREATE TYPE public.floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE SEQUENCE public.tickets START 1000 INCREMENT 7 CACHE 3;

CREATE FUNCTION public.twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT n * 2 $$;
CREATE FUNCTION public.shout() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
    -- TOC entry 1 (class 1259 OID 1): a comment that looks like another's header
    NEW.note := upper(NEW.note); -- 'a quote; "and" $$ dollars $$
    RETURN NEW;
END $fn$;
CREATE PROCEDURE other."do nothing"() LANGUAGE sql AS '';
CREATE FUNCTION other.total(a integer, b integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a + b; END;
CREATE AGGREGATE public.product(integer) (SFUNC = int4mul, STYPE = integer, INITCOND = '1');

CREATE TABLE public.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email varchar(200) NOT NULL UNIQUE,
    name text NOT NULL DEFAULT 'no''body',
    feeling public.mood NOT NULL DEFAULT 'ok',
    born date,
    active boolean NOT NULL DEFAULT true,
    balance numeric(12,2) NOT NULL DEFAULT -1.50,
    made timestamptz NOT NULL DEFAULT now(),
    note text,
    settings jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT "balance is sane" CHECK (balance > -1000 AND balance <= 1000000.00),
    CONSTRAINT known_name CHECK (name <> 'nobody'),
    CONSTRAINT mail_has_at CHECK (position('@' IN email) > 1)
);
COMMENT ON TABLE public.customers IS 'who buys; it''s "them" \ all';
COMMENT ON COLUMN public.customers.email IS 'their mail; -- TOC entry';
CREATE INDEX customers_name ON public.customers (name);
CREATE INDEX customers_born_active ON public.customers (born, active);
CREATE INDEX customers_settings ON public.customers USING gin (settings);
CREATE INDEX customers_lower ON public.customers (lower(email));
CREATE UNIQUE INDEX customers_note ON public.customers (note) WHERE active;
COMMENT ON INDEX public.customers_name IS 'by name';
CREATE TRIGGER shouting BEFORE INSERT OR UPDATE ON public.customers FOR EACH ROW EXECUTE FUNCTION public.shout();
ALTER TABLE public.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON public.customers USING (true);
CREATE STATISTICS public.customers_stat ON name, email FROM public.customers;

CREATE TABLE public.orders (
    id serial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES public.customers ON DELETE CASCADE,
    parent_id integer REFERENCES public.orders,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid', 'gone')),
    quantity public.positive DEFAULT 1,
    unit_price public.price,
    doubled integer GENERATED ALWAYS AS (quantity * 2) STORED,
    code uuid UNIQUE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX orders_customer ON public.orders (customer_id) INCLUDE (state);

CREATE TABLE "My Schema"."select" (
    "from" integer NOT NULL,
    "Group By" text,
    "it's ""quoted"" `too`" varchar(30) DEFAULT 'a "b" ''c'' \d',
    "a_name_of_seventy_characters_which_postgresql_cuts_to_sixty_three_ones" integer,
    PRIMARY KEY ("from")
);
CREATE INDEX "an index; with ""all""" ON "My Schema"."select" ("it's ""quoted"" `too`");
CREATE TABLE other.a_table_name_of_seventy_characters_which_postgresql_cuts_to_sixty_3 (
    id integer PRIMARY KEY REFERENCES "My Schema"."select"
);

CREATE TABLE public.every_type (
    id integer PRIMARY KEY,
    b boolean, i2 smallint DEFAULT 7, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric(30,6), m money,
    t text, v varchar(20), c character(5), q "char", na name, by bytea, u uuid, j json, jb jsonb, x xml,
    d date DEFAULT '2024-02-29', ti time(3), tz timetz, ts timestamp DEFAULT '2024-02-29 10:11:12.5',
    tsz timestamptz(3), iv interval, bi bit(3), vb varbit(9), ip inet, ci cidr, ma macaddr, ma8 macaddr8,
    p point, po polygon, tv tsvector, l pg_lsn, ia integer[], ta text[] DEFAULT '{}', r int4range, mr int4multirange,
    fr public.floatrange, co other.pair, hs hstore, e public.mood, o oid
);

CREATE TABLE public.events (id integer NOT NULL, day date NOT NULL, what text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE public.events_2024 PARTITION OF public.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE public.events_rest PARTITION OF public.events DEFAULT;
CREATE INDEX events_what ON public.events (what);

CREATE TABLE public.unlucky (n integer NOT NULL, EXCLUDE USING gist (int4range(n, n + 1) WITH &&));
ALTER TABLE public.unlucky REPLICA IDENTITY FULL;
CREATE VIEW public.rich AS SELECT c.id, c.name, count(o.id) AS orders FROM public.customers c LEFT JOIN public.orders o ON
    o.customer_id = c.id WHERE c.balance > 1000 GROUP BY c.id;
CREATE MATERIALIZED VIEW other.summary AS SELECT state, count(*) AS n FROM public.orders GROUP BY state;
CREATE UNIQUE INDEX summary_state ON other.summary (state);
CREATE RULE keep AS ON DELETE TO other.a_table_name_of_seventy_characters_which_postgresql_cuts_to_sixty_3 DO INSTEAD NOTHING;
GRANT SELECT ON public.customers TO PUBLIC;
GRANT SELECT (id) ON public.orders TO pg_monitor;
GRANT USAGE ON SCHEMA other TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO PUBLIC;
SELECT nextval('public.tickets');
