-- The control table of crossfade schema create on the target, its own: it comes as the owner of the application's tables, not as apply. Idempotent.
DO $$ BEGIN -- IF NOT EXISTS would ask for CREATE on the database even then
    IF to_regnamespace('crossfade') IS NULL THEN
        CREATE SCHEMA crossfade;
    END IF;
END $$;

-- What crossfade schema create has made, each in the transaction that made it.
CREATE TABLE IF NOT EXISTS crossfade.schema_step (
    pipeline text        NOT NULL,
    step     text        NOT NULL,              -- hash of its kind, name and statements
    kind     text        NOT NULL,
    name     text        NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, step)
);
REVOKE ALL ON crossfade.schema_step FROM PUBLIC;

DO $$ DECLARE reader name; BEGIN -- the owner of the schema, whose own REVOKE of all tables wants some right on each; and schema plan
    FOR reader IN SELECT rolname FROM pg_roles WHERE (rolname = 'crossfade_compare' OR oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'crossfade'))
                   AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'crossfade.schema_step'::regclass), 'USAGE') LOOP
        EXECUTE format('GRANT SELECT ON crossfade.schema_step TO %I', reader);
    END LOOP;
END $$;
