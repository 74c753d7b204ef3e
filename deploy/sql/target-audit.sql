SELECT 'CREATE ROLE crossfade_auditor NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crossfade_auditor') \gexec
ALTER TABLE crossfade.audit OWNER TO crossfade_auditor;
REVOKE ALL ON crossfade.audit FROM crossfade_auditor, crossfade_apply;
GRANT SELECT, INSERT ON crossfade.audit TO crossfade_apply, crossfade_compare;
