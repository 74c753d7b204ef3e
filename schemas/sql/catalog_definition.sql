-- The definition of objects, as far as two servers can be compared by it: lines of a mark, what is meant, a tab, its value. '!': has to be the
-- same; '?': has to be the same where the target has it (what a step of its own makes). Behind a WITH that says:
-- w (at, c, o): objects; gone (t, n): columns that are left out; apart (c, o): defaults, checks and identities with steps of their own.
-- From 17 on a partition has its parent's identity (before, it had none): only the parent's is told.
-- One pass, no join of lists: their sizes are guesses to the planner. Schemas are always shown: the search path is empty. Numbers are those of system catalogs, which never change.
, definition (at, c, o, def) AS (SELECT at, c, o, coalesce((SELECT (SELECT string_agg(l.mark || replace(l.facet, E'\t', ' ') || E'\t' || replace(l.value, E'\n', '\n'), E'\n' ORDER BY l.facet) FROM (
    SELECT '!', 'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END
    UNION ALL SELECT '!', 'kind', CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'foreign table' END
    UNION ALL SELECT '!', 'partitions', coalesce(pg_get_partkeydef(r.oid), 'none')
    UNION ALL SELECT '?', 'place', h.inhparent::regclass::text || ' ' || pg_get_expr(r.relpartbound, r.oid) FROM pg_inherits h WHERE h.inhrelid = r.oid AND r.relispartition
    UNION ALL SELECT '!', 'parents', coalesce((SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno) FROM pg_inherits h
        WHERE h.inhrelid = r.oid AND NOT r.relispartition), 'none')
    UNION ALL SELECT '!', 'options', coalesce((SELECT string_agg(x, ', ' ORDER BY x) FROM unnest(r.reloptions) x), 'none')
    UNION ALL SELECT '!', 'order of columns', coalesce((SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attrelid, a.attname::text) NOT IN (SELECT t, n FROM gone)), '')
    UNION ALL SELECT '!', format('column %I', a.attname), concat(format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END,
        ' collate ' || nullif(a.attcollation, t.typcollation)::regcollation::text,
        CASE a.attgenerated WHEN '' THEN NULL WHEN 'v' THEN ' generated, virtual: ' ELSE ' generated: ' END || pg_get_expr(ad.adbin, ad.adrelid))
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum AND a.attgenerated <> ''
        WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attrelid, a.attname::text) NOT IN (SELECT t, n FROM gone)
    UNION ALL SELECT CASE WHEN ad.oid IN (SELECT p.o FROM apart p WHERE p.c = 2604) THEN '?' ELSE '!' END, format('default of %I', a.attname), pg_get_expr(ad.adbin, ad.adrelid)
        FROM pg_attrdef ad JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
        WHERE ad.adrelid = r.oid AND a.attgenerated = '' AND (a.attrelid, a.attname::text) NOT IN (SELECT t, n FROM gone)
    UNION ALL SELECT '?', format('identity of %I', a.attname), CASE a.attidentity WHEN 'a' THEN 'always' ELSE 'by default' END FROM pg_attribute a
        WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> '' AND (a.attrelid, a.attname::text) NOT IN (SELECT t, n FROM gone)
          AND NOT (r.relispartition AND EXISTS (SELECT FROM pg_inherits h JOIN pg_attribute p ON p.attrelid = h.inhparent AND p.attname = a.attname WHERE h.inhrelid = r.oid AND p.attidentity <> ''))
    UNION ALL SELECT CASE WHEN k.oid IN (SELECT p.o FROM apart p WHERE p.c = 2606) OR k.coninhcount > 0 THEN '?' ELSE '!' END, format('check %I', k.conname), pg_get_constraintdef(k.oid)
        FROM pg_constraint k WHERE k.conrelid = r.oid AND k.contype = 'c' AND NOT EXISTS (SELECT FROM unnest(k.conkey) key (num)
            JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = key.num JOIN gone g ON g.t = r.oid AND g.n = a.attname)
    UNION ALL SELECT '!', 'server', format('%s %s', s.srvname, f.ftoptions::text) FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid
    ) l (mark, facet, value)) FROM pg_class r WHERE w.c = 1259 AND r.oid = w.o AND r.relkind IN ('r', 'p', 'f')),
    E'!definition\t' || replace(CASE c
    WHEN 1259 THEN (SELECT CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(o)
        WHEN r.relkind IN ('i', 'I') THEN pg_get_indexdef(o) || CASE WHEN r.relkind = 'i' AND NOT i.indisvalid THEN ' (not valid)' ELSE '' END
        WHEN r.relkind = 'S' THEN (SELECT concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence WHERE seqrelid = o) END
        FROM pg_class r LEFT JOIN pg_index i ON i.indexrelid = r.oid WHERE r.oid = o)
    WHEN 1255 THEN (SELECT CASE WHEN prokind <> 'a' THEN pg_get_functiondef(o) END FROM pg_proc WHERE oid = o)
    WHEN 2606 THEN pg_get_constraintdef(o)
    WHEN 2620 THEN (SELECT pg_get_triggerdef(o) || CASE tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' (disabled)' ELSE format(' (enabled: %s)', tgenabled) END FROM pg_trigger WHERE oid = o)
    WHEN 2618 THEN pg_get_ruledef(o)
    WHEN 3381 THEN pg_get_statisticsobjdef(o)
    WHEN 2604 THEN (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE oid = o)
    WHEN 3256 THEN (SELECT concat_ws(' ', polcmd, CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END, (SELECT string_agg(coalesce(g.rolname, 'public'), ', ' ORDER BY g.rolname)
        FROM unnest(polroles) u LEFT JOIN pg_roles g ON g.oid = u), 'using ' || pg_get_expr(polqual, polrelid), 'with check ' || pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE oid = o)
    WHEN 3466 THEN (SELECT concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, evttags::text) FROM pg_event_trigger WHERE oid = o)
    WHEN 1247 THEN (SELECT CASE y.typtype
        WHEN 'e' THEN (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = o)
        WHEN 'd' THEN concat_ws(' ', format_type(y.typbasetype, y.typtypmod), y.typnotnull, y.typdefault, (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
            FROM pg_constraint k WHERE k.contypid = o AND k.contype = 'c'))
        WHEN 'c' THEN (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
        WHEN 'r' THEN (SELECT concat_ws(' ', rngsubtype::regtype, nullif(rngsubdiff, 0)::regproc, nullif(rngcanonical, 0)::regproc) FROM pg_range WHERE rngtypid = o) END
        FROM pg_type y WHERE y.oid = o) END, E'\n', '\n')) FROM w)
