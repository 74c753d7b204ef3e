-- Control tables on the source. Run by capture (and by compare and cutover before they need them); idempotent.
DO $$ BEGIN -- IF NOT EXISTS would ask for CREATE on the database even then
    IF to_regnamespace('crossfade') IS NULL THEN
        CREATE SCHEMA crossfade;
    END IF;
    IF (SELECT obj_description(oid, 'pg_namespace') IS NULL AND pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'crossfade') THEN
        COMMENT ON SCHEMA crossfade IS 'Crossfade''s control tables, format 1'; -- PG_CONTROL_FORMAT
    END IF;
END $$;

-- Markers travel in the WAL (docs/ARCHITECTURE.md): whoever inserts here speaks to capture at a position of the source's history.
CREATE TABLE IF NOT EXISTS crossfade.marker (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text        NOT NULL,
    nonce       text        NOT NULL CHECK (nonce ~ '^[0-9a-zA-Z-]{1,39}$'),
    kind        text        NOT NULL,
    cut_lsn     pg_lsn,                 -- kind cut: the fence is wanted exactly here
    deadline_ms bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE crossfade.marker ADD COLUMN IF NOT EXISTS detail text; -- kind copy: what is to be copied, as JSON
ALTER TABLE crossfade.marker DROP CONSTRAINT IF EXISTS marker_kind_check;
ALTER TABLE crossfade.marker ADD CONSTRAINT marker_kind_check CHECK (kind IN ('hold', 'cut', 'final', 'ping', 'copy'));
REVOKE ALL ON crossfade.marker FROM PUBLIC;
DO $$ BEGIN -- docs/PRIVILEGES.md: all that compare may write here
    IF EXISTS (SELECT FROM pg_roles r, pg_class c WHERE r.rolname = 'crossfade_compare' AND c.oid = 'crossfade.marker'::regclass
               AND pg_has_role(c.relowner, 'USAGE')) THEN
        GRANT INSERT ON crossfade.marker TO crossfade_compare;
    END IF;
END $$;

-- The decision of a cutover: one row, compare-and-set (docs/ARCHITECTURE.md).
CREATE TABLE IF NOT EXISTS crossfade.decision (
    pipeline   text        PRIMARY KEY,
    cutover_id text        NOT NULL,
    state      text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE crossfade.decision DROP CONSTRAINT IF EXISTS decision_state_check;
ALTER TABLE crossfade.decision ADD CONSTRAINT decision_state_check CHECK (state IN ('open', 'switched', 'aborted', 'returned')); -- by a rollback
REVOKE ALL ON crossfade.decision FROM PUBLIC;

-- The last hash of the audit chain (crossfade.audit on the target) that a cutover has written: rows cut off at its end are seen by it.
CREATE TABLE IF NOT EXISTS crossfade.audit_anchor (
    pipeline text        PRIMARY KEY,
    seq      bigint      NOT NULL,
    hash     text        NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE ALL ON crossfade.audit_anchor FROM PUBLIC;
DO $$ BEGIN -- whoever came first
    IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = 'crossfade.audit_anchor'::regclass
               AND c.relowner <> n.nspowner AND pg_has_role(c.relowner, 'USAGE') AND pg_has_role(n.nspowner, 'MEMBER')) THEN
        EXECUTE (SELECT format('ALTER TABLE crossfade.audit_anchor OWNER TO %I', pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'crossfade');
    END IF;
END $$;
