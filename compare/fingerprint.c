/* Owns: fingerprints. See fingerprint.h. */
#include "compare/fingerprint.h"

#include "config/table_rules.h"
#include "plan.h"
#include "scope.h"
#include "sqlgen.h"

#define NAME "fingerprint"

struct reading {
    struct session *session[SIDE_COUNT];
    struct catalog cats[SIDE_COUNT];
    struct table_rules *none;
    struct plan plan;
};

static bool open_all(struct reading *r, const char *const urls[SIDE_COUNT], const struct table_filter *tables,
                     struct err *err)
{
    static const struct scope whole = {0};
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!session_open(urls[side], side_name(side), NAME, &r->session[side], err))
            return false;
        if (!session_begin(r->session[side], NULL, err) ||
            !catalog_read(r->session[side], &r->cats[side], err))
            return err_wrap(err, "%s", side_name(side));
    }
    if (!table_rules_new(NULL, 0, NULL, &r->none, err))
        return false;
    plan_make(r->cats, false, tables, r->none, NULL, &whole, &r->plan);
    return true;
}

static void close_all(struct reading *r)
{
    plan_release(&r->plan);
    table_rules_free(r->none);
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        catalog_release(&r->cats[side]);
        session_close(r->session[side]);
    }
}

/* All rows as one bucket: none where there is none. */
static bool add_rows(struct reading *r, const struct plan_table *pt, enum side side, struct strbuf *out,
                     struct err *err)
{
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    ROWSET_AUTO rs = NULL;
    sql_bucket_digests(pt, side, 1, &st.sql);
    bool ok = strbuf_ok(&st.sql, "statement", err) && session_query(r->session[side], &st, &rs, err);
    strbuf_release(&st.sql);
    if (!ok)
        return false;
    if (rowset_rows(rs) == 0) {
        strbuf_adds(out, ": 0 rows\n");
        return true;
    }
    if (rowset_is_null(rs, 0, 2))
        return err_set(err, ERR_DATA, "its rows are more, or longer, than the server can hash at once");
    strbuf_addf(out, ": %s rows (%.16s)\n", rowset_cell(rs, 0, 1), rowset_cell(rs, 0, 2));
    return true;
}

/* What a comparison would leave out, too, is told of both sides in the same words. */
static bool add_table(struct reading *r, const struct plan_table *pt, enum side side, struct strbuf *out,
                      struct err *err)
{
    if (pt->out.verdict == VERDICT_FAIL)
        return err_set(err, ERR_DATA, "%s", pt->out.reason);
    strbuf_addf(out, "%s.%s", pt->out.schema, pt->out.table);
    if (pt->comparable)
        return add_rows(r, pt, side, out, err);
    strbuf_addf(out, ": %s\n", pt->out.reason);
    return true;
}

bool fingerprints_add(const char *const urls[SIDE_COUNT], const struct table_filter *tables, enum side side,
                      struct strbuf *out, struct err *err)
{
    struct reading r = {0};
    bool ok = open_all(&r, urls, tables, err);
    for (size_t i = 0; ok && i < r.plan.count; i++) {
        const struct plan_table *pt = r.plan.by_name[i];
        ok = add_table(&r, pt, side, out, err) || err_wrap(err, "table=%s.%s", pt->out.schema, pt->out.table);
    }
    close_all(&r);
    return ok && strbuf_ok(out, "fingerprints", err);
}
