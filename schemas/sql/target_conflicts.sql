-- Control tables on the target for apply.conflicts. Run by apply when that is set; idempotent.
DO $$ BEGIN -- IF NOT EXISTS would ask for CREATE on the database even then
    IF to_regnamespace('crossfade') IS NULL THEN
        CREATE SCHEMA crossfade;
    END IF;
END $$;

-- Tables that the application writes on both sides (apply.conflicts), and since when.
CREATE TABLE IF NOT EXISTS crossfade.dual_write (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    schema_name text        NOT NULL,
    table_name  text        NOT NULL,
    columns     text        NOT NULL,           -- what the hashes stand for: those of the key, and all
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (pipeline, schema_name, table_name)
);
-- Their rows as apply last knew them from the source: hashes of 128 bits of key and row, moved with the position.
CREATE TABLE IF NOT EXISTS crossfade.applied (
    dual_write integer NOT NULL,
    key        uuid    NOT NULL,
    state      uuid    NOT NULL,
    PRIMARY KEY (dual_write, key)
);
-- Rows that both sides have changed, each in its own way. Written in the transaction that decides; open ones wait for a person.
CREATE TABLE IF NOT EXISTS crossfade.conflict (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    schema_name text        NOT NULL,
    table_name  text        NOT NULL,
    key         jsonb       NOT NULL,
    key_hash    uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('insert', 'update', 'source_deleted', 'target_deleted')),
    policy      text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('open', 'decided', 'resolved')),
    decision    text        CHECK (decision IN ('source', 'target', 'none')), -- none: both sides agree by now
    request     text        CHECK (request IN ('source', 'target')),          -- what a person has said of an open one
    source_row  jsonb,                          -- null: not there (or more than 64 MB)
    target_row  jsonb,
    commit_lsn  pg_lsn      NOT NULL,           -- of the source's change
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at  timestamptz
);
-- Since a conflict may be taken back: the row that the target had, as a hash (zeros: not there). The source may come to it yet.
ALTER TABLE crossfade.conflict ADD COLUMN IF NOT EXISTS target_hash uuid;
CREATE INDEX IF NOT EXISTS conflict_decided ON crossfade.conflict (pipeline, schema_name, table_name, key_hash) WHERE state = 'decided';
CREATE UNIQUE INDEX IF NOT EXISTS conflict_open ON crossfade.conflict (pipeline, schema_name, table_name, key_hash) WHERE state = 'open';
REVOKE ALL ON crossfade.dual_write, crossfade.applied, crossfade.conflict FROM PUBLIC;
