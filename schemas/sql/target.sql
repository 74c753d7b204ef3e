-- Control tables on the target. Run by apply (and by compare and cutover before they need them); idempotent.
DO $$ BEGIN -- IF NOT EXISTS would ask for CREATE on the database even then
    IF to_regnamespace('crossfade') IS NULL THEN
        CREATE SCHEMA crossfade;
    END IF;
    IF (SELECT obj_description(oid, 'pg_namespace') IS NULL AND pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'crossfade') THEN
        COMMENT ON SCHEMA crossfade IS 'Crossfade''s control tables, format 1'; -- PG_CONTROL_FORMAT
    END IF;
END $$;

-- Written in the same transaction as the rows it stands for (promises 1 and 2).
CREATE TABLE IF NOT EXISTS crossfade.position (
    pipeline         text        NOT NULL,
    shard            text        NOT NULL DEFAULT '1/1',
    format           integer     NOT NULL DEFAULT 1,
    fence_id         bigint      NOT NULL,
    fence_offset     bigint      NOT NULL,      -- in the fence stream
    lsn              pg_lsn      NOT NULL,
    source_system_id numeric(20) NOT NULL,
    attempt          bigint      NOT NULL,      -- of the snapshot
    complete         boolean     NOT NULL,      -- the copy is done: the target is a state the source was in
    commit_time      timestamptz,
    marker_kind      text,                      -- of this very fence, NULL = none
    marker_nonce     text,
    offsets          text,                      -- places in topics that others write (docs/DEBEZIUM.md)
    pending          jsonb,                     -- decided, and the rows of some writers are still to be committed
    applied_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, shard)
);

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'crossfade.position'::regclass AND attname = 'offsets') THEN
        ALTER TABLE crossfade.position ADD COLUMN offsets text;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'crossfade.position'::regclass AND attname = 'pending') THEN
        ALTER TABLE crossfade.position ADD COLUMN pending jsonb;
    END IF;
END $$;

-- Tables that this pipeline has filled: a new attempt of the snapshot empties them first.
CREATE TABLE IF NOT EXISTS crossfade.loaded (
    pipeline    text   NOT NULL,
    shard       text   NOT NULL DEFAULT '1/1',
    schema_name text   NOT NULL,
    table_name  text   NOT NULL,
    attempt     bigint NOT NULL,
    table_oid   oid,                            -- knows it again after a rename
    PRIMARY KEY (pipeline, shard, schema_name, table_name)
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'crossfade.loaded'::regclass AND attname = 'table_oid') THEN
        ALTER TABLE crossfade.loaded ADD COLUMN table_oid oid;
    END IF;
END $$;

-- Where foreign keys fire, tables that they connect are of one shard: that of their home. A row with empty names says that
-- the pipeline's tables have been shared out.
CREATE TABLE IF NOT EXISTS crossfade.shard_home (
    pipeline    text NOT NULL,
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    home_schema text NOT NULL,
    home_table  text NOT NULL,
    PRIMARY KEY (pipeline, schema_name, table_name)
);

-- A direct load (capture.snapshot_path: direct): who loads, and whether all rows are there. Apply waits for `done`.
CREATE TABLE IF NOT EXISTS crossfade.direct_load (
    pipeline   text        PRIMARY KEY,
    attempt    bigint      NOT NULL,            -- of the snapshot
    owner      text        NOT NULL,            -- of several loaders only the last one may write
    done       boolean     NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz
);

-- Its tables, and their chunks: a chunk's row says `done` in the transaction that has its rows.
CREATE TABLE IF NOT EXISTS crossfade.direct_table (
    pipeline    text   NOT NULL,
    source_oid  bigint NOT NULL,
    schema_name text   NOT NULL,
    table_name  text   NOT NULL,
    shape       text   NOT NULL,                -- hash of its columns and key, as they were read
    PRIMARY KEY (pipeline, source_oid)
);
CREATE TABLE IF NOT EXISTS crossfade.direct_chunk (
    pipeline   text    NOT NULL,
    source_oid bigint  NOT NULL,
    part_oid   bigint  NOT NULL,
    number     integer NOT NULL,
    upper      text[],                          -- its last key, or the block behind it; NULL = to the end. It begins where the one before ends
    lsn        pg_lsn,                          -- rows are those of this position, exactly
    rows       bigint,
    done       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline, source_oid, part_oid, number)
);

-- Rows that the target refused, in the transaction of their chunk: records as the journal would have them. Apply takes them up before it
-- goes on, each by the rules of any other row.
CREATE TABLE IF NOT EXISTS crossfade.direct_letter (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline       text        NOT NULL,
    shard          text        NOT NULL,
    source_oid     bigint      NOT NULL,
    stream         text        NOT NULL,
    record_time_ms bigint      NOT NULL,
    record_key     bytea,                       -- null: a table without key
    record_value   bytea       NOT NULL,
    record_headers bytea,
    lsn            pg_lsn      NOT NULL,
    sqlstate       text,
    message        text        NOT NULL
);

-- A comparator lets apply go on by inserting its nonce here.
CREATE TABLE IF NOT EXISTS crossfade.release (
    pipeline    text        NOT NULL,
    nonce       text        NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, nonce)
);

-- Records that the target refused (apply.on_row_error: dead_letter), and those behind them. Written with the position that
-- passes them; settled by apply alone, in a transaction with its position.
CREATE SEQUENCE IF NOT EXISTS crossfade.dead_letter_id;
CREATE TABLE IF NOT EXISTS crossfade.dead_letter (
    id             bigint      PRIMARY KEY,     -- in the order in which they were held
    chain          bigint      NOT NULL,        -- records that have to be applied together, in order
    pipeline       text        NOT NULL,
    shard          text        NOT NULL DEFAULT '1/1',
    state          text        NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'applied', 'discarded', 'superseded')),
    request        text        CHECK (request IN ('retry', 'discard')),
    behind         boolean     NOT NULL,        -- waits for an earlier record of its key; else the target refused it
    schema_name    text        NOT NULL,
    table_name     text        NOT NULL,
    op             text        NOT NULL,        -- as in the envelope: r, c, u, d
    key_shown      text,
    key            bytea,                       -- null: a table without key
    other_key      bytea,                       -- of a key change
    key_shape      text,                        -- how the bytes of a key are made; null: by a version that did not say
    stream         text        NOT NULL,
    partition      integer     NOT NULL,
    record_offset  numeric(20) NOT NULL,
    record_time_ms bigint      NOT NULL,
    record_key     bytea,
    record_value   bytea       NOT NULL,
    record_headers bytea,                       -- of each: name, 0, length in 4 bytes, value
    commit_lsn     pg_lsn      NOT NULL,
    total_order    bigint      NOT NULL,
    fence_id       bigint      NOT NULL,        -- of the batch that passed it
    sqlstate       text,
    message        text,
    attempts       integer     NOT NULL DEFAULT 1,
    begun          integer     NOT NULL DEFAULT 0, -- retries that were begun since one was asked for
    last_error     text,                        -- of the last retry of its chain
    first_seen     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at       timestamptz,
    settled_at     timestamptz,
    reason         text                         -- why it was discarded or superseded
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'crossfade.dead_letter'::regclass AND attname = 'begun') THEN
        ALTER TABLE crossfade.dead_letter ADD COLUMN key_shape text, ADD COLUMN begun integer NOT NULL DEFAULT 0;
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS dead_letter_held ON crossfade.dead_letter (pipeline, shard, id) WHERE state = 'held';

-- Verdicts of comparisons; cutover's gate reads the last one.
CREATE TABLE IF NOT EXISTS crossfade.verdict (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    fence_id    bigint,
    lsn         pg_lsn,
    scope       text        NOT NULL,           -- 'full', 'changed' (all tables, built on earlier verdicts) or what was compared
    verdict     text        NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    detail      jsonb       NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What the runs of a window came to (compare watch); the newest weeks of them.
CREATE TABLE IF NOT EXISTS crossfade.comparison (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    level       text        NOT NULL,           -- 'counts', 'digests', …
    every_s     bigint      NOT NULL,           -- as the schedule was then
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    verdict     text        NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    whole       boolean     NOT NULL,           -- all tables of the pipeline
    fence_id    bigint,
    lsn         pg_lsn,
    tables      bigint      NOT NULL,           -- shadow: queries that were compared
    row_count   bigint      NOT NULL,           -- shadow: their runs
    differences bigint      NOT NULL,           -- shadow: queries that answer differently or are slower
    held_us     bigint      NOT NULL,           -- for how long apply was held
    reason      text,                           -- of what is no PASS; where its report is
    p95_source_us bigint,                       -- shadow: 95 of 100 answers came within this time
    p95_target_us bigint,
    lag_us      bigint                          -- from the marker's commit on the source until the target stood there; NULL = no fence
);
CREATE INDEX IF NOT EXISTS comparison_of_pipeline ON crossfade.comparison (pipeline, id);

-- A window of comparisons would let that table grow for ever. Who may add a verdict may have the old ones removed, and only those: never the
-- newest, and never the full PASS that a cutover builds on. With the rights of the table's owner; whoever has made the tables has made it.
DO $$ BEGIN
    IF to_regprocedure('crossfade.prune_verdicts(text)') IS NULL THEN
        CREATE FUNCTION crossfade.prune_verdicts(text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
            DELETE FROM crossfade.verdict WHERE pipeline = $1
               AND id < (SELECT min(id) FROM (SELECT id FROM crossfade.verdict WHERE pipeline = $1 ORDER BY id DESC LIMIT 200) newest)
               AND id < (SELECT coalesce(max(id), 9223372036854775807) FROM crossfade.verdict
                          WHERE pipeline = $1 AND scope IN ('full', 'changed') AND verdict = 'PASS')
        $f$;
        REVOKE ALL ON FUNCTION crossfade.prune_verdicts(text) FROM PUBLIC;
    END IF;
END $$;

-- What comparisons have proven of a table, for those that build on it: at this fence, these rows were equal on both sides.
CREATE TABLE IF NOT EXISTS crossfade.compared (
    pipeline     text        NOT NULL,
    schema_name  text        NOT NULL,
    table_name   text        NOT NULL,
    format       integer     NOT NULL DEFAULT 1,
    shape        text        NOT NULL,          -- digest of definition, rules and storage: with another one this proves nothing
    whole        boolean     NOT NULL,          -- all rows; else those whose key is below `upper`
    upper        text[],
    rows         bigint      NOT NULL,          -- on the source, as they were last read
    fence_id     bigint      NOT NULL,
    fence_offset bigint      NOT NULL,          -- in the fence stream
    lsn          pg_lsn      NOT NULL,
    attempt      bigint      NOT NULL,          -- of the snapshot
    read_at      timestamptz NOT NULL,          -- when the comparison began that read the first of them
    links        integer     NOT NULL,          -- fences since, at which only what the source had changed was compared
    proven_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, schema_name, table_name)
);

-- Steps of cutovers, written before each is taken.
CREATE TABLE IF NOT EXISTS crossfade.cutover (
    cutover_id text        NOT NULL,
    pipeline   text        NOT NULL,
    seq        integer     NOT NULL,
    state      text        NOT NULL,
    detail     jsonb       NOT NULL DEFAULT '{}',
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (cutover_id, seq)
);
-- What `cutover watch` knows: which triggers fire since when, what it has done; one row for a pipeline, written by one watch at a time.
CREATE TABLE IF NOT EXISTS crossfade.cutover_watch (
    pipeline   text        PRIMARY KEY,
    state      jsonb       NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- What was decided, by whom: a chain of hashes (lib/audit/). Nothing in it is ever changed or deleted: not even its owner may, until he gives
-- himself the right again; what was changed all the same, `crossfade audit verify` finds.
DO $$ BEGIN
    IF to_regclass('crossfade.audit') IS NULL THEN
        CREATE TABLE crossfade.audit (
            seq        bigint      PRIMARY KEY,    -- from 1, without a gap
            at         timestamptz NOT NULL,
            pipeline   text        NOT NULL,
            cutover_id text        NOT NULL,       -- '': of none
            event      text        NOT NULL,
            os_user    text        NOT NULL,
            db_user    text        NOT NULL,
            host       text        NOT NULL,
            detail     text        NOT NULL,       -- a JSON object, as it was hashed
            prev_hash  text        NOT NULL,       -- of the row before; of the first row zeros
            hash       text        NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$')
        );
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON crossfade.audit FROM %I', current_user);
        EXECUTE (SELECT format('ALTER TABLE crossfade.audit OWNER TO %I', pg_get_userbyid(nspowner)) -- whoever came first
                   FROM pg_namespace WHERE nspname = 'crossfade' AND pg_has_role(nspowner, 'MEMBER'));
    END IF;
END $$;
REVOKE ALL ON ALL TABLES IN SCHEMA crossfade FROM PUBLIC;

DO $$ BEGIN -- docs/PRIVILEGES.md: all that compare may write here
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'crossfade_compare')
       AND NOT EXISTS (SELECT FROM pg_class WHERE oid IN ('crossfade.release'::regclass, 'crossfade.verdict'::regclass, 'crossfade.comparison'::regclass,
                       'crossfade.compared'::regclass)
                       AND NOT pg_has_role(relowner, 'USAGE')) THEN
        GRANT INSERT ON crossfade.release TO crossfade_compare;
        GRANT INSERT ON crossfade.verdict TO crossfade_compare;
        GRANT EXECUTE ON FUNCTION crossfade.prune_verdicts(text) TO crossfade_compare;
        GRANT INSERT, DELETE ON crossfade.comparison TO crossfade_compare;
        GRANT SELECT, INSERT, UPDATE, DELETE ON crossfade.compared TO crossfade_compare;
    END IF;
END $$;
DO $$ BEGIN -- … and compare repair
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'crossfade_compare')
       AND EXISTS (SELECT FROM pg_class WHERE oid = 'crossfade.audit'::regclass AND pg_has_role(relowner, 'USAGE')) THEN
        GRANT SELECT, INSERT ON crossfade.audit TO crossfade_compare;
    END IF;
END $$;
