/* Owns the sequences of the source as a list, and where they stand on either side. See sequence_list.h. */
#include "sequence_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "pg/pipeline.h"
#include "sql/embedded.h"

bool sequence_list_read(struct cutover *co, struct sequence_list *ret, struct err *err)
{
    char publication[80];
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    const char *params[] = {publication};
    PG_RESULT_AUTO res = NULL;
    *ret = (struct sequence_list){0};
    if (!pg_query(co->source, embedded_sql_cutover_sequences_sql, 1, params, &res, err))
        return err_wrap(err, "sequences of the source");
    ret->items = xcalloc((size_t)pg_rows(res) + 1, sizeof *ret->items);
    for (int i = 0; i < pg_rows(res); i++)
        ret->items[ret->count++] = (struct sequence){.schema = xstrdup(pg_cell(res, i, 0)),
                                                     .name = xstrdup(pg_cell(res, i, 1)),
                                                     .about = xstrdup(pg_cell(res, i, 2))};
    return true;
}

void sequence_list_release(struct sequence_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct sequence *s = &list->items[i];
        free(s->schema);
        free(s->name);
        free(s->about);
        free(s->twin_schema);
        free(s->twin_name);
    }
    free(list->items);
    *list = (struct sequence_list){0};
}

void sequence_abouts(const struct sequence_list *list, size_t from, size_t count, struct strbuf *out)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_addc(out, i == 0 ? '[' : ',');
        strbuf_adds(out, list->items[from + i].about);
    }
    strbuf_adds(out, count > 0 ? "]" : "[]");
}

static const char *schema_of(const struct sequence *s, bool twin)
{
    return twin ? s->twin_schema : s->schema;
}

static const char *name_of(const struct sequence *s, bool twin)
{
    return twin ? s->twin_name : s->name;
}

/* Those that were used: one look at the catalog's function. It tells nothing of the others. */
static bool read_called(struct pg_conn *conn, const struct sequence_list *list, size_t from, size_t count,
                        bool twin, int64_t *values, bool *called, struct err *err)
{
    struct strbuf schemas = STRBUF_INIT(STRBUF_SQL_MAX), names = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    for (size_t i = 0; i < count; i++) {
        pg_array_text(&schemas, i, schema_of(&list->items[from + i], twin));
        pg_array_text(&names, i, name_of(&list->items[from + i], twin));
    }
    pg_array_end(&schemas, count);
    pg_array_end(&names, count);
    const char *params[] = {schemas.data, names.data};
    bool ok = strbuf_ok(&schemas, "schemas", err) && strbuf_ok(&names, "names", err) &&
              pg_query(conn,
                       "SELECT pg_catalog.pg_sequence_last_value(pg_catalog.format('%I.%I', s, n)::regclass)"
                       " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY x (s, n, i) ORDER BY i",
                       2, params, &res, err);
    for (size_t i = 0; ok && i < count; i++) {
        called[i] = !pg_is_null(res, (int)i, 0);
        values[i] = pg_cell_int64(res, (int)i, 0);
    }
    strbuf_release(&schemas);
    strbuf_release(&names);
    return ok;
}

struct uncalled {
    size_t at[SEQUENCES_AT_ONCE]; /* which of the batch the queued statements are of */
    int64_t *values;
    bool *called;
};

static bool take_uncalled(void *ctx, size_t index, const struct pg_result *res, struct err *err)
{
    struct uncalled *u = ctx;
    if (pg_rows(res) != 1)
        return err_set(err, ERR_DATA, "a sequence has %d rows", pg_rows(res));
    u->values[u->at[index]] = pg_cell_int64(res, 0, 0);
    u->called[u->at[index]] = pg_cell_bool(res, 0, 1);
    return true;
}

static bool queue_uncalled(struct pg_conn *conn, const struct sequence_list *list, size_t from, size_t count,
                           bool twin, struct uncalled *u, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        if (u->called[i])
            continue;
        u->at[pg_pipeline_queued(conn)] = i;
        strbuf_adds(&sql, "SELECT last_value, is_called FROM ");
        pg_quote_table(&sql, schema_of(&list->items[from + i], twin), name_of(&list->items[from + i], twin));
        ok = strbuf_ok(&sql, "statement", err) && pg_pipeline_query(conn, sql.data, 0, NULL, err);
        strbuf_release(&sql);
    }
    return ok;
}

/* Where those stand that were not: each is a relation of its own. Many statements in one round trip: one statement with as many parts takes the
 * planner ten times as long. */
static bool read_uncalled(struct pg_conn *conn, const struct sequence_list *list, size_t from, size_t count,
                          bool twin, int64_t *values, bool *called, struct err *err)
{
    struct uncalled u = {.values = values, .called = called};
    struct err ending = ERR_INIT;
    if (!pg_pipeline_begin(conn, err))
        return false;
    bool ok = queue_uncalled(conn, list, from, count, twin, &u, err);
    ok = pg_pipeline_sync(conn, take_uncalled, &u, NULL, ok ? err : &ending) && ok;
    if (pg_pipeline_end(conn, &ending))
        return ok;
    if (ok)
        *err = ending;
    return false;
}

bool sequence_values(struct pg_conn *conn, const struct sequence_list *list, size_t from, size_t count,
                     bool twin, int64_t *ret_values, bool *ret_called, struct err *err)
{
    return (read_called(conn, list, from, count, twin, ret_values, ret_called, err) &&
            read_uncalled(conn, list, from, count, twin, ret_values, ret_called, err)) ||
           err_wrap(err, "where the sequences from %s.%s on stand", schema_of(&list->items[from], twin),
                    name_of(&list->items[from], twin));
}
