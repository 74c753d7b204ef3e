-- Owners and rights of what lies in the schemas $1, as the statements that make them: object, statement, role (null: PUBLIC). Each object has a row with an empty
-- statement besides. The roles $2 are left out, what belongs to an extension, and CREATE of PUBLIC in schema public, which servers up to 14 give by themselves. Asked of both sides, and the answers compared, by cutover/prepare/grants.c.
WITH ours AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY ($1::text[]) AND nspname <> 'crossfade'),
mine AS (SELECT oid FROM pg_roles WHERE rolname = ANY ($2::text[])),
object(kind, granted, acltype, class, oid, name, owner, acl, fixed) AS (
  SELECT 'SCHEMA', 'SCHEMA', 'n'::"char", 'pg_namespace'::regclass, oid, format('%I', nspname), nspowner, nspacl, nspname = 'public' FROM ours
  UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, 'pg_class'::regclass, c.oid,
      format('%I.%I', o.nspname, c.relname), c.relowner, c.relacl,
      c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))
    FROM pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
  UNION ALL SELECT 'ROUTINE', 'ROUTINE', 'f'::"char", 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text, p.proowner, p.proacl, false
    FROM pg_proc p JOIN ours o ON o.oid = p.pronamespace
  UNION ALL SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, 'TYPE', 'T'::"char", 'pg_type'::regclass, t.oid, format('%I.%I', o.nspname, t.typname), t.typowner, t.typacl, false
    FROM pg_type t JOIN ours o ON o.oid = t.typnamespace WHERE t.typtype IN ('d', 'e', 'r')
      OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))),
own AS (SELECT * FROM object b WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = b.class AND e.objid = b.oid AND e.deptype = 'e')),
acl(object, what, place, grantee, privilege, grantable) AS (
  SELECT kind || ' ' || name, x.privilege_type, granted || ' ' || name, x.grantee, x.privilege_type, x.is_grantable
    FROM own, aclexplode(coalesce(acl, acldefault(acltype, owner))) x WHERE x.grantee <> owner
  UNION ALL SELECT own.kind || ' ' || own.name, format('%s (%I)', x.privilege_type, a.attname), 'TABLE ' || own.name, x.grantee, x.privilege_type, x.is_grantable
    FROM own JOIN pg_attribute a ON own.class = 'pg_class'::regclass AND a.attrelid = own.oid AND a.attnum > 0 AND NOT a.attisdropped, aclexplode(a.attacl) x WHERE x.grantee <> own.owner)
SELECT * FROM (SELECT DISTINCT * FROM (
  SELECT kind || ' ' || name AS object, '' AS statement, NULL::name AS role FROM own
  UNION ALL SELECT kind || ' ' || name, format('ALTER %s %s OWNER TO %I', kind, name, pg_get_userbyid(owner)), pg_get_userbyid(owner) FROM own
    WHERE NOT fixed AND owner NOT IN (SELECT oid FROM mine)
  UNION ALL SELECT object, format('GRANT %s ON %s TO %s%s', what, place, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
      CASE WHEN again THEN ' WITH GRANT OPTION' END), CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END
    FROM acl, (VALUES (false), (true)) g (again) WHERE (NOT again OR grantable) AND grantee NOT IN (SELECT oid FROM mine)
      AND NOT (place = 'SCHEMA public' AND grantee = 0 AND what = 'CREATE')
  UNION ALL SELECT 'default privileges', '', NULL
  UNION ALL SELECT 'default privileges', format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s', pg_get_userbyid(d.defaclrole), ' IN SCHEMA ' || quote_ident(o.nspname), x.privilege_type,
      CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
      CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN again THEN ' WITH GRANT OPTION' END),
      CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END
    FROM pg_default_acl d LEFT JOIN ours o ON o.oid = d.defaclnamespace, aclexplode(d.defaclacl) x, (VALUES (false), (true)) g (again)
   WHERE (NOT again OR x.is_grantable) AND (d.defaclnamespace = 0 OR o.oid IS NOT NULL) AND x.grantee <> d.defaclrole AND x.grantee NOT IN (SELECT oid FROM mine) AND d.defaclrole NOT IN (SELECT oid FROM mine)
  ) u) r ORDER BY object COLLATE "C", statement COLLATE "C"
