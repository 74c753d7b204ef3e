-- Control tables on the target for decommissioning the old side. Run by crossfade decommission; idempotent.
DO $$ BEGIN -- IF NOT EXISTS would ask for CREATE on the database even then
    IF to_regnamespace('crossfade') IS NULL THEN
        CREATE SCHEMA crossfade;
    END IF;
END $$;

-- Who has connected to the old database, as decommission watch has seen it. Bounded: see decommission/watch.c.
CREATE TABLE IF NOT EXISTS crossfade.connection_seen (
    pipeline    text        NOT NULL,
    role        text        NOT NULL,
    address     text        NOT NULL,           -- 'local': by a socket
    application text        NOT NULL,
    first_seen  timestamptz NOT NULL,           -- by the old side's clock
    last_seen   timestamptz NOT NULL,
    connections bigint      NOT NULL,           -- that began since the sample before
    PRIMARY KEY (pipeline, role, address, application)
);

-- The tombstone of an old database: how it was put up, and what was there before, so that it can be taken down.
CREATE TABLE IF NOT EXISTS crossfade.tombstone (
    pipeline text        PRIMARY KEY,
    method   text        NOT NULL CHECK (method IN ('login', 'preload', 'connect')),
    state    text        NOT NULL CHECK (state IN ('raising', 'up', 'lowering')),
    message  text        NOT NULL,
    saved    jsonb       NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE ALL ON crossfade.connection_seen, crossfade.tombstone FROM PUBLIC;
DO $$ DECLARE made regclass; BEGIN -- whoever came first: the tombstone may take a superuser, what looks at it does not
    FOR made IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ('crossfade.connection_seen'::regclass, 'crossfade.tombstone'::regclass)
                 AND c.relowner <> n.nspowner AND pg_has_role(c.relowner, 'USAGE') AND pg_has_role(n.nspowner, 'MEMBER') LOOP
        EXECUTE (SELECT format('ALTER TABLE %s OWNER TO %I', made, pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'crossfade');
    END LOOP;
END $$;
