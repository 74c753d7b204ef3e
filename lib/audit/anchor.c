/* Owns: the last hash as the source keeps it. See audit.h. */
#include <inttypes.h>
#include <stdio.h>

#include "audit/audit.h"
#include "pg/conn.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

bool audit_anchor_put(struct pg_conn *source, const char *pipeline, const struct audit_mark *mark,
                      struct err *err)
{
    char seq[24];
    (void)snprintf(seq, sizeof seq, "%" PRId64, mark->seq);
    const char *params[] = {pipeline, seq, mark->hash};
    PG_RESULT_AUTO res = NULL;
    return (pg_control_tables_ensure(source, "crossfade.audit_anchor", embedded_sql_source_sql, "source",
                                     err) &&
            pg_query(
                source,
                "INSERT INTO crossfade.audit_anchor AS a (pipeline, seq, hash) VALUES ($1, $2::bigint, $3)"
                " ON CONFLICT (pipeline) DO UPDATE SET seq = EXCLUDED.seq, hash = EXCLUDED.hash,"
                " noted_at = pg_catalog.clock_timestamp() WHERE a.seq < EXCLUDED.seq",
                ARRAY_LEN(params), params, &res, err)) ||
           err_wrap(err, "the anchor of the audit chain on the source");
}

bool audit_anchor_get(struct pg_conn *source, const char *pipeline, struct audit_mark *ret, struct err *err)
{
    bool there = false;
    PG_RESULT_AUTO res = NULL;
    *ret = (struct audit_mark){0};
    if (!pg_control_tables_look(source, "crossfade.audit_anchor", &there, err))
        return err_wrap(err, "the anchor of the audit chain on the source");
    if (!there)
        return true;
    if (!pg_query(source, "SELECT seq, hash FROM crossfade.audit_anchor WHERE pipeline = $1", 1, &pipeline,
                  &res, err))
        return err_wrap(err, "the anchor of the audit chain on the source");
    if (pg_rows(res) > 0) {
        ret->seq = pg_cell_int64(res, 0, 0);
        (void)snprintf(ret->hash, sizeof ret->hash, "%s", pg_cell(res, 0, 1));
    }
    return true;
}
