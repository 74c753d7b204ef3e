/* Owns: asking a server what its collations take for equal. See collated.h. */
#include "collated.h"

#include <stdlib.h>
#include <string.h>

#include "canonical_family.h"
#include "core/alloc.h"
#include "maria/quote.h"
#include "mariadb/pairing.h"
#include "pg/conn.h"

/* Of one statement: columns of a row (PostgreSQL has 1664), and its length, far below what any server takes. */
#define PAIRS_ASKED 500
#define ASKED_BYTES ((size_t)256 << 10)

bool collated_is_text(enum dialect_kind dialect, const struct cat_column *c)
{
    if (dialect == DIALECT_MARIADB) {
        enum maria_kind kind = mariadb_kind(c);
        return (kind == MARIA_CHAR || kind == MARIA_TEXT) && c->collation != NULL && !c->json;
    }
    return (c->collation == NULL || *c->collation != '\0') && !canonical_is_array(canonical_family(c));
}

static void describe_mariadb(const struct cat_column *c, struct collation *ret)
{
    ret->name = xstrdup(c->collation);
    ret->narrow = strncmp(c->collation, "utf8mb4_", 8) != 0;
    ret->head = xstrdup("CONVERT(");
    ret->tail =
        xasprintf(" USING %.*s) COLLATE %s", (int)strcspn(c->collation, "_"), c->collation, c->collation);
}

/* citext has no collation of that kind: its functions compare what lower() gives. */
static void describe_postgres(const struct cat_column *c, struct collation *ret)
{
    bool by_type = c->lax_type;
    ret->name = xstrdup(by_type ? c->type : c->collation_named);
    ret->head = xstrdup(by_type ? "lower(" : "(");
    ret->tail = by_type ? xstrdup("::text)") : xasprintf("::text COLLATE %s)", c->collation_named);
}

struct collation collated_of(const enum dialect_kind dialects[SIDE_COUNT], const struct cat_column *source,
                             const struct cat_column *target)
{
    struct collation ret = {.side = target->lax ? SIDE_TARGET : SIDE_SOURCE};
    const struct cat_column *c = target->lax ? target : source;
    ret.dialect = dialects[ret.side];
    if (!c->lax)
        return (struct collation){0};
    if (ret.dialect == DIALECT_MARIADB)
        describe_mariadb(c, &ret);
    else
        describe_postgres(c, &ret);
    return ret;
}

void collation_release(struct collation *collation)
{
    free(collation->name);
    free(collation->head);
    free(collation->tail);
    *collation = (struct collation){0};
}

static void add_literal(const struct collation *by, const char *text, struct strbuf *out)
{
    if (by->dialect == DIALECT_MARIADB)
        maria_quote_literal(out, text);
    else
        pg_quote_literal(out, text);
}

static void add_value(const struct collation *by, const char *text, struct strbuf *out)
{
    strbuf_adds(out, by->head);
    add_literal(by, text, out);
    strbuf_adds(out, by->tail);
}

/* A character that the set has not becomes a question mark, and would be one with it. */
static void add_holds(const struct collation *by, const char *text, struct strbuf *out)
{
    strbuf_addf(out, " AND CAST(CONVERT(CONVERT(");
    add_literal(by, text, out);
    strbuf_addf(out, " USING %.*s) USING utf8mb4) AS BINARY) = CAST(", (int)strcspn(by->name, "_"), by->name);
    add_literal(by, text, out);
    strbuf_adds(out, " AS BINARY)");
}

static void add_pair(const struct collated_pair *p, struct strbuf *out)
{
    add_value(p->by, p->a, out);
    strbuf_adds(out, " = ");
    add_value(p->by, p->b, out);
    if (p->by->narrow) {
        add_holds(p->by, p->a, out);
        add_holds(p->by, p->b, out);
    }
}

/* As pair_query() does of both sides. */
static bool ask(struct pair *pair, enum side side, const struct statement *st, struct rowset **ret,
                struct err *err)
{
    struct session *s = pair->session[side];
    struct err later = ERR_INIT;
    if (strbuf_ok(&st->sql, "statement", err) && session_query(s, st, ret, err))
        return true;
    if (!session_recover(s, &later)) /* without it the run cannot go on: that is told */
        *err = later;
    return err_wrap(err, "%s: comparing texts by collation", side_name(side));
}

/* Some of `pairs`, from the first on, that this side answers with one statement. */
static bool ask_some(struct pair *pair, enum side side, struct collated_pair *pairs, size_t count,
                     size_t *ret_done, struct err *err)
{
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    size_t asked[PAIRS_ASKED], n = 0, i = 0;
    ROWSET_AUTO res = NULL;
    for (; i < count && n < PAIRS_ASKED && st.sql.len < ASKED_BYTES; i++) {
        if (pairs[i].by->side != side)
            continue;
        strbuf_adds(&st.sql, n > 0 ? ", " : "SELECT ");
        add_pair(&pairs[i], &st.sql);
        asked[n++] = i;
    }
    bool ok = n == 0 || ask(pair, side, &st, &res, err);
    for (size_t a = 0; ok && a < n; a++)
        pairs[asked[a]].same = rowset_bool(res, 0, (int)a);
    strbuf_release(&st.sql);
    *ret_done = i;
    return ok;
}

bool collated_ask(struct pair *pair, struct collated_pair *pairs, size_t count, struct err *err)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        for (size_t at = 0, done = 0; at < count; at += done) {
            if (!ask_some(pair, side, &pairs[at], count - at, &done, err))
                return false;
        }
    }
    return true;
}

bool collated_ranks(struct pair *pair, const struct collation *by, char *const *texts, size_t count,
                    int64_t *ret_ranks, struct err *err)
{
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    ROWSET_AUTO res = NULL;
    strbuf_adds(&st.sql, "WITH u(n,v) AS (VALUES ");
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(&st.sql, "%s(%zu,", i > 0 ? "," : "", i);
        add_literal(by, texts[i], &st.sql);
        strbuf_addc(&st.sql, ')');
    }
    strbuf_addf(&st.sql, ") SELECT n, DENSE_RANK() OVER (ORDER BY %sv%s", by->head, by->tail);
    if (by->narrow) /* what the set does not hold is apart from what it does: see add_holds() */
        strbuf_addf(&st.sql,
                    ", CAST(CONVERT(CONVERT(v USING %.*s) USING utf8mb4) AS BINARY) = CAST(v AS BINARY)",
                    (int)strcspn(by->name, "_"), by->name);
    strbuf_adds(&st.sql, ") FROM u ORDER BY n");
    bool ok = ask(pair, by->side, &st, &res, err);
    for (size_t i = 0; ok && i < count; i++)
        ret_ranks[i] = rowset_int64(res, (int)i, 1);
    strbuf_release(&st.sql);
    return ok;
}
