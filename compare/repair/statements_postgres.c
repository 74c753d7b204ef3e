/* Owns: a repair's statements for PostgreSQL. See statements.h. */
#include <inttypes.h>
#include <string.h>

#include "compare/repair/statements.h"
#include "pg/conn.h"

/* Under these settings a value's text is the same as when it was read, and reads as the same value. */
#define SETTINGS                                                                                             \
    "SET LOCAL client_encoding = 'UTF8'; SET LOCAL standard_conforming_strings = on; SET LOCAL search_path " \
    "= 'pg_catalog'; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle " \
    "= 'postgres'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary " \
    "= 'C'; SET LOCAL array_nulls = on; SET LOCAL xmloption = content; SET LOCAL row_security = off;\n"
/* Triggers and foreign keys have run on the source. A role that may not say so goes on without. */
#define QUIET_TRIGGERS                                                                                       \
    "DO $$ BEGIN PERFORM pg_catalog.set_config('session_replication_role', 'replica', true); EXCEPTION "     \
    "WHEN insufficient_privilege THEN RAISE NOTICE 'triggers and foreign keys of the target run: this role " \
    "may not set session_replication_role'; END $$;\n"

static const struct cat_column *column_of(const struct repair_columns *c, size_t i)
{
    return cat_table_column(c->target, c->pt->columns[i].name);
}

static void put_value(const struct repair_columns *c, const struct repair_cells *cells, size_t i,
                      struct strbuf *out)
{
    if (repair_is_null(cells, i + 1)) {
        strbuf_adds(out, "NULL");
        return;
    }
    pg_quote_literal(out, repair_text(cells, i + 1));
    strbuf_addf(out, "::%s", column_of(c, i)->type);
}

/* --- reading --- */

static void put_guard(const struct repair_columns *c, struct strbuf *out)
{
    strbuf_adds(out, "encode(sha256(convert_to(ROW(");
    for (size_t i = 0; i < c->pt->column_count; i++) {
        strbuf_adds(out, i > 0 ? ", t." : "t.");
        pg_quote_ident(out, c->pt->columns[i].name);
        strbuf_adds(out, "::text");
    }
    strbuf_adds(out, ")::text, 'UTF8')), 'hex')");
}

static void read_rows(const struct repair_columns *c, enum side side, const struct key_list *keys,
                      struct strbuf *out)
{
    const struct plan_table *pt = c->pt;
    strbuf_adds(out, "SELECT u.n");
    for (size_t i = 0; i < pt->column_count; i++) {
        strbuf_adds(out, ", t.");
        pg_quote_ident(out, c->pt->columns[i].name);
        strbuf_adds(out, "::text");
    }
    strbuf_adds(out, ", ");
    put_guard(c, out);
    sql_postgres_keys_join(pt, side, keys, out);
    strbuf_adds(out, " ORDER BY u.n");
}

/* --- statements --- */

static void put_key_condition(const struct repair_columns *c, const struct repair_cells *cells,
                              struct strbuf *out)
{
    const char *and = "";
    for (size_t i = 0; i < c->pt->column_count; i++) {
        if (!c->pt->columns[i].is_key)
            continue;
        strbuf_addf(out, "%st.", and);
        pg_quote_ident(out, c->pt->columns[i].name);
        strbuf_adds(out, " = ");
        put_value(c, cells, i, out);
        and = " AND ";
    }
}

static void put_unless_there(const struct repair_columns *c, const struct repair_cells *source,
                             struct strbuf *out)
{
    (void)source;
    strbuf_adds(out, ") ON CONFLICT (");
    for (size_t k = 0; k < c->pt->key_count; k++) {
        strbuf_adds(out, k > 0 ? ", " : "");
        pg_quote_ident(out, c->pt->keys[k].name);
    }
    strbuf_adds(out, ") DO NOTHING");
}

/* --- carrying them out --- */

/* Settings of a comparison's session, but that one may write. */
static bool prepare(struct session *writer, struct err *err)
{
    return session_exec(writer, "SET client_min_messages = error", err);
}

static bool lock_position(struct session *writer, const char *pipeline, struct err *err)
{
    ROWSET_AUTO res = NULL;
    return session_ask(writer,
                       "SELECT 1 FROM crossfade.position WHERE pipeline = $1 ORDER BY shard FOR SHARE", 1,
                       &pipeline, &res, err) ||
           err_wrap(err, "target: statements are carried out by apply's role (docs/PRIVILEGES.md)");
}

static bool carry_out(struct session *writer, const char *sql, int64_t *ret, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, "WITH changed AS (");
    strbuf_adds(&st.sql, sql);
    strbuf_adds(&st.sql, " RETURNING 1) SELECT count(*) FROM changed");
    bool ok = session_query(writer, &st, &res, err);
    strbuf_release(&st.sql);
    *ret = ok ? rowset_int64(res, 0, 0) : 0;
    return ok;
}

/* In a comment: on one line. */
static void put_comment_name(const struct cat_table *t, struct strbuf *out)
{
    struct strbuf name = STRBUF_INIT(4096);
    pg_quote_table(&name, t->schema, t->name);
    for (size_t i = 0; i < name.len; i++)
        strbuf_addc(out, (unsigned char)name.data[i] < ' ' ? '?' : name.data[i]);
    strbuf_release(&name);
}

static void head(const struct repair_columns *c, uint64_t fence_id, lsn_t lsn, struct strbuf *out)
{
    strbuf_adds(out, "-- ");
    put_comment_name(c->target, out);
    strbuf_addf(out,
                " as the source had it at fence %" PRIu64 ", " LSN_FMT
                ". A row that has changed since is left alone.\nBEGIN;\n" SETTINGS QUIET_TRIGGERS,
                fence_id, LSN_ARGS(lsn));
}

const struct repair_statements repair_statements_postgres = {
    .writing = {.begin = "BEGIN;\n" SETTINGS QUIET_TRIGGERS,
                .prepare = prepare,
                .lock_position = lock_position,
                .carry_out = carry_out},
    .head = head,
    .read_rows = read_rows,
    .ident = pg_quote_ident,
    .literal = pg_quote_literal,
    .put_value = put_value,
    .put_guard = put_guard,
    .put_key_condition = put_key_condition,
    .insert_values = ") OVERRIDING SYSTEM VALUE VALUES (",
    .put_unless_there = put_unless_there,
    .set_alias = "",
    .delete_from = "DELETE FROM ",
};
