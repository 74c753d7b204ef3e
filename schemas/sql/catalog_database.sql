-- What no table of a source shows: kind, name, setting, value, table (0). Read by schema/model.c.
-- setting: settings of the database (name: the role that it holds for, '' = all). role: those that objects here belong to or have rights by;
-- detail: what they are members of. database grant, database comment, large objects.
WITH me AS (SELECT oid, datname, datacl, datdba FROM pg_database WHERE datname = current_database()),
used AS (SELECT DISTINCT refobjid AS role FROM pg_shdepend s JOIN me ON s.dbid = me.oid WHERE s.refclassid = 'pg_authid'::regclass
    UNION SELECT datdba FROM me UNION SELECT grantee FROM me CROSS JOIN aclexplode(datacl) WHERE grantee <> 0)
SELECT 'setting' AS kind, coalesce(r.rolname, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), 0
    FROM pg_db_role_setting s JOIN me ON s.setdatabase = me.oid LEFT JOIN pg_roles r ON r.oid = s.setrole CROSS JOIN unnest(s.setconfig) c
UNION ALL SELECT 'role', r.rolname, concat_ws(' ', CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
    CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
    CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END),
    coalesce((SELECT string_agg(g.rolname, E'\n' ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid), ''), 0
    FROM pg_roles r JOIN used u ON u.role = r.oid WHERE r.rolname !~ '^pg_'
UNION ALL SELECT 'database grant', coalesce(r.rolname, 'PUBLIC'), a.privilege_type, '', 0
    FROM me CROSS JOIN aclexplode(me.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> me.datdba
UNION ALL SELECT 'database comment', me.datname, '', d.description, 0 FROM me JOIN pg_shdescription d ON d.objoid = me.oid AND d.classoid = 'pg_database'::regclass
UNION ALL SELECT 'large objects', me.datname, '', (SELECT count(*) FROM pg_largeobject_metadata)::text, 0 FROM me WHERE EXISTS (SELECT FROM pg_largeobject_metadata)
ORDER BY 1, 2, 3
