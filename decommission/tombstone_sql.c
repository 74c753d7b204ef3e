/* See tombstone_sql.h. */
#include "tombstone_sql.h"

#include <jansson.h>
#include <string.h>

#include "core/alloc.h"

bool tombstone_is_superuser(struct decom *d, bool *ret, struct err *err)
{
    return pg_query_bool(d->source, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
                         0, NULL, ret, err);
}

void tombstone_add_database(struct strbuf *sql, const struct tombstone *t, const char *words)
{
    strbuf_addf(sql, "%s ", words);
    pg_quote_ident(sql, pg_database(t->d->source));
}

static void add_comment(struct strbuf *sql, const struct tombstone *t, const char *text)
{
    tombstone_add_database(sql, t, "COMMENT ON DATABASE");
    strbuf_adds(sql, " IS ");
    if (text != NULL)
        pg_quote_literal(sql, text);
    else
        strbuf_adds(sql, "NULL");
    strbuf_adds(sql, ";\n");
}

void tombstone_add_comment(struct strbuf *sql, const struct tombstone *t)
{
    add_comment(sql, t, t->message);
}

bool tombstone_add_old_comment(struct strbuf *sql, const struct tombstone *t, struct err *err)
{
    json_t *saved = json_loads(t->saved, 0, NULL);
    if (saved == NULL)
        return err_set(err, ERR_PROTOCOL, "crossfade.tombstone on the target: what was saved does not parse");
    add_comment(sql, t, json_string_value(json_object_get(saved, "comment")));
    json_decref(saved);
    return true;
}

bool tombstone_add_from(struct strbuf *sql, const struct tombstone *t, const char *query, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char *allowed CLEANUP(free_ptr) = decom_allowed(t->d);
    const char *params[] = {t->d->source_user, allowed, t->message, t->saved};
    if (!pg_query(t->d->source, query, 4, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        strbuf_addf(sql, "%s;\n", pg_cell(res, i, 0));
    return true;
}
