-- Everything of a source that is no table, column, key, check, index or foreign key of MariaDB's: kind, name, detail, table that it
-- belongs to (0 = none). Read by schema/model.c, so that nothing is dropped without a word.
WITH member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
ours AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'crossfade') AND nspname !~ '^pg_(toast|temp)'),
rel AS (SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS shown FROM pg_class c JOIN ours n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid))
SELECT * FROM (
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'sequence' END AS kind, shown AS name,
    CASE WHEN relkind <> 'S' THEN '' WHEN has_sequence_privilege(oid, 'SELECT, USAGE') THEN 'stands at ' || coalesce(pg_sequence_last_value(oid)::text, 'its start')
    ELSE 'its value may not be read' END AS detail,
    coalesce((SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = rel.oid AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass LIMIT 1), 0) AS of_table
    FROM rel WHERE relkind IN ('v', 'm', 'f', 'S')
UNION ALL SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), l.lanname, 0
    FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
UNION ALL SELECT 'trigger', format('%I on %s', t.tgname, rel.shown), pg_get_triggerdef(t.oid), rel.oid
    FROM pg_trigger t JOIN rel ON rel.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL SELECT 'rule', format('%I on %s', r.rulename, rel.shown), '', rel.oid FROM pg_rewrite r JOIN rel ON rel.oid = r.ev_class WHERE r.rulename <> '_RETURN'
UNION ALL SELECT 'policy', format('%I on %s', p.polname, rel.shown), '', rel.oid FROM pg_policy p JOIN rel ON rel.oid = p.polrelid
UNION ALL SELECT 'row security', shown, CASE WHEN relforcerowsecurity THEN 'forced' ELSE '' END, oid FROM rel WHERE relrowsecurity
UNION ALL SELECT 'inheritance', rel.shown, 'from ' || h.inhparent::regclass::text, rel.oid FROM pg_inherits h JOIN rel ON rel.oid = h.inhrelid
    WHERE rel.relkind IN ('r', 'f') AND NOT rel.relispartition
UNION ALL SELECT 'table option', shown, array_to_string(reloptions, ', '), oid FROM rel WHERE relkind IN ('r', 'p') AND reloptions IS NOT NULL
UNION ALL SELECT 'extension', format('%I', extname), extversion, 0 FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL SELECT 'event trigger', format('%I', evtname), evtevent, 0 FROM pg_event_trigger e
    WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid)
UNION ALL SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite type' END, format('%I.%I', n.nspname, t.typname),
    CASE t.typtype WHEN 'e' THEN (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid)
    WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) || coalesce(' ' || (SELECT string_agg(pg_get_constraintdef(k.oid), ' ') FROM pg_constraint k
        WHERE k.contypid = t.oid), '') ELSE '' END, 0
    FROM pg_type t JOIN ours n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
-- Grants: on relations and their columns, schemas, functions, types, by default, on the database.
UNION ALL SELECT 'grant', shown, relacl::text, CASE WHEN relkind IN ('r', 'p') THEN oid ELSE 0 END FROM rel WHERE relacl IS NOT NULL AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL SELECT 'grant', format('%s.%I', rel.shown, a.attname), a.attacl::text, CASE WHEN relkind IN ('r', 'p') THEN rel.oid ELSE 0 END
    FROM pg_attribute a JOIN rel ON rel.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
UNION ALL SELECT 'grant', format('schema %I', nspname), nspacl::text, 0 FROM ours WHERE nspacl IS NOT NULL AND oid >= 16384
UNION ALL SELECT 'grant', format('%s', p.oid::regprocedure), p.proacl::text, 0 FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace WHERE p.proacl IS NOT NULL
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
UNION ALL SELECT 'grant', format('type %s', t.oid::regtype), t.typacl::text, 0 FROM pg_type t JOIN ours n ON n.oid = t.typnamespace WHERE t.typacl IS NOT NULL
UNION ALL SELECT 'default grant', coalesce('schema ' || quote_ident(n.nspname), 'all schemas'), format('of %s to %s: %s', pg_get_userbyid(d.defaclrole), d.defaclobjtype, d.defaclacl), 0
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE n.nspname IS DISTINCT FROM 'crossfade'
-- Comments: all but those of tables and columns, which go along.
UNION ALL SELECT 'comment', format('%s %s', i.type, i.identity), d.description,
    coalesce((SELECT indrelid FROM pg_index WHERE d.classoid = 'pg_class'::regclass AND indexrelid = d.objoid),
        (SELECT nullif(conrelid, 0) FROM pg_constraint WHERE d.classoid = 'pg_constraint'::regclass AND oid = d.objoid),
        (SELECT tgrelid FROM pg_trigger WHERE d.classoid = 'pg_trigger'::regclass AND oid = d.objoid),
        (SELECT polrelid FROM pg_policy WHERE d.classoid = 'pg_policy'::regclass AND oid = d.objoid), 0)
    FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
    WHERE d.objoid >= 16384 AND coalesce(i.schema, '') <> 'crossfade' AND i.identity <> 'crossfade'
    AND NOT (d.classoid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objoid AND c.relkind IN ('r', 'p', 't')))
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid) AND d.classoid <> 'pg_extension'::regclass
-- The rest, by what the server calls it.
UNION ALL SELECT i.type, i.identity, '', o.of_table FROM (
    SELECT 'pg_statistic_ext'::regclass AS class, oid, stxrelid AS of_table FROM pg_statistic_ext UNION ALL SELECT 'pg_operator'::regclass, oid, 0 FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, 0 FROM pg_opclass UNION ALL SELECT 'pg_cast'::regclass, oid, 0 FROM pg_cast
    UNION ALL SELECT 'pg_collation'::regclass, oid, 0 FROM pg_collation UNION ALL SELECT 'pg_conversion'::regclass, oid, 0 FROM pg_conversion
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, 0 FROM pg_ts_config UNION ALL SELECT 'pg_ts_dict'::regclass, oid, 0 FROM pg_ts_dict
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0 FROM pg_foreign_data_wrapper UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0 FROM pg_foreign_server
    UNION ALL SELECT 'pg_language'::regclass, oid, 0 FROM pg_language UNION ALL SELECT 'pg_am'::regclass, oid, 0 FROM pg_am
    UNION ALL SELECT 'pg_publication'::regclass, oid, 0 FROM pg_publication WHERE pubname !~ '^crossfade_'
    UNION ALL SELECT 'pg_subscription'::regclass, s.oid, 0 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()
    ) o CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i WHERE o.oid >= 16384 AND coalesce(i.schema, '') <> 'crossfade'
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = o.class AND m.objid = o.oid)
) o (kind, name, detail, of_table) ORDER BY 1, 2
