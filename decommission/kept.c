/* Owns: asking the new side, whichever server it is. See kept.h. */
#include "kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/script.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

#define COLUMNS_MAX 8

bool kept_open(struct decom *d, struct err *err)
{
    char name[80];
    const char *url = config_text(d->cfg, "target.url");
    if (!maria_is_url(url))
        return decom_open_pg(d, "target.url", &d->target, err);
    (void)snprintf(name, sizeof name, "crossfade decommission %s", d->pipeline);
    return maria_open_as(url, name, &d->maria, err) || err_wrap(err, "target.url");
}

static bool run_script(struct maria_conn *conn, const char *script, struct err *err)
{
    bool ok = true;
    for (char *sql; ok && (sql = maria_script_next(&script)) != NULL; free(sql))
        ok = maria_exec(conn, sql, err);
    return ok;
}

bool kept_make(struct decom *d, struct err *err)
{
    bool seen = false, tombstone = false;
    if (d->maria == NULL)
        return pg_control_tables_ensure(d->target, "crossfade.connection_seen crossfade.tombstone",
                                        embedded_sql_target_decommission_sql, "target", err);
    return (kept_there(d, "connection_seen", &seen, err) && kept_there(d, "tombstone", &tombstone, err) &&
            ((seen && tombstone) ||
             run_script(d->maria, embedded_sql_target_mariadb_decommission_sql, err))) ||
           err_wrap(err, "creating the control tables on the target");
}

bool kept_there(struct decom *d, const char *table, bool *ret, struct err *err)
{
    char name[80], sql[250];
    char *found CLEANUP(free_ptr) = NULL;
    (void)snprintf(name, sizeof name, "crossfade.%s", table);
    if (d->maria == NULL)
        return pg_control_tables_look(d->target, name, ret, err);
    (void)snprintf(sql, sizeof sql,
                   "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                   "TABLE_NAME = 'crossfade_%s'",
                   table);
    bool ok = maria_query_text(d->maria, sql, 0, &found, err);
    *ret = found != NULL && strcmp(found, "0") != 0;
    return ok;
}

static bool ask_postgres(struct decom *d, const char *sql, int count, const char *const *params,
                         kept_row *each, void *ctx, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(d->target, sql, count, params, &res, err))
        return false;
    for (int row = 0; each != NULL && row < pg_rows(res); row++) {
        const char *cells[COLUMNS_MAX] = {NULL};
        for (int i = 0; i < pg_columns(res) && i < COLUMNS_MAX; i++)
            cells[i] = pg_is_null(res, row, i) ? NULL : pg_cell(res, row, i);
        if (!each(ctx, cells, err))
            return false;
    }
    return true;
}

struct rows {
    kept_row *each;
    void *ctx;
};

static bool take_row(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct rows *r = ctx;
    const char *copy[COLUMNS_MAX] = {NULL};
    for (size_t i = 0; i < count && i < COLUMNS_MAX; i++)
        copy[i] = cells[i];
    return r->each == NULL || r->each(r->ctx, copy, err);
}

static bool ask_mariadb(struct decom *d, const char *sql, int count, const char *const *params,
                        kept_row *each, void *ctx, struct err *err)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = maria_add_statement(&text, sql, count, params, err);
    if (ok && each == NULL)
        ok = maria_exec(d->maria, text.data, err);
    else if (ok)
        ok = maria_query(d->maria, text.data, take_row, &(struct rows){each, ctx}, err);
    strbuf_release(&text);
    return ok;
}

bool kept_ask(struct decom *d, enum kept_statement what, int count, const char *const *params, kept_row *each,
              void *ctx, struct err *err)
{
    return d->maria != NULL ? ask_mariadb(d, kept_mariadb[what], count, params, each, ctx, err)
                            : ask_postgres(d, kept_postgres[what], count, params, each, ctx, err);
}

bool kept_audit(struct decom *d, struct audit **ret, struct err *err)
{
    return d->maria != NULL ? audit_on_mariadb(d->maria, d->pipeline, ret, err)
                            : audit_on(d->target, d->pipeline, ret, err);
}
