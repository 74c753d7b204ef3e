/*
 * Owns: a repair's statements for MariaDB. See statements.h. What is compared are canonical texts (canonical_mariadb.h); what is written
 * is what stands for them: a row that was read from the source has it behind the guard's place.
 */
#include <inttypes.h>
#include <string.h>

#include "compare/mariadb/pairing.h"
#include "compare/mariadb_type.h"
#include "compare/repair/statements.h"
#include "maria/quote.h"
#include "pg/conn.h"

#define OID_BYTEA 17
/* As apply's sessions have them (lib/target/mariadb/conn.c). */
#define MODES                                                                                                \
    "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,"      \
    "NO_ENGINE_SUBSTITUTION'"
static const char *const settings[] = {
    "SET NAMES utf8mb4",
    "SET SESSION sql_mode = " MODES,
    "SET SESSION time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 1, autocommit = 1",
};

static enum maria_kind kind_of(const struct repair_columns *c, size_t i)
{
    return mariadb_kind(cat_table_column(c->target, c->pt->columns[i].name));
}

static bool is_bytea(const struct repair_columns *c, size_t i)
{
    const struct cat_column *s = cat_table_column(c->source, c->pt->columns[i].name);
    return s != NULL && s->type_oid == OID_BYTEA;
}

/* Forms of arrays in JSON have U+0001 for each pair of backslashes. */
static void put_json(const char *text, struct strbuf *out)
{
    struct strbuf plain = STRBUF_INIT(STRBUF_SQL_MAX);
    for (; *text != '\0'; text++)
        strbuf_adds(&plain, *text == '\x01' ? "\\\\" : (const char[]){*text, '\0'});
    maria_quote_literal(out, plain.data != NULL ? plain.data : "");
    out->failed = out->failed || plain.failed;
    strbuf_release(&plain);
}

static void put_value(const struct repair_columns *c, const struct repair_cells *cells, size_t i,
                      struct strbuf *out)
{
    size_t cell = c->pt->column_count + 2 + i;
    const char *text = repair_text(cells, cell);
    enum maria_kind kind = kind_of(c, i);
    if (repair_is_null(cells, cell)) {
        strbuf_adds(out, "NULL");
    } else if (kind == MARIA_BYTES || kind == MARIA_BINARY) { /* hexadecimal */
        strbuf_addf(out, "x'%s'", text);
    } else if (kind == MARIA_BIT) {
        strbuf_addf(out, "b'%s'", text);
    } else if (cat_table_column(c->target, c->pt->columns[i].name)->json) {
        put_json(text, out);
    } else {
        maria_quote_literal(out, text);
    }
}

/* --- reading --- */

/* What apply would write, as text: the form, but where that is none. */
static void put_source_value(const struct repair_columns *c, size_t i, struct strbuf *out)
{
    const struct plan_column *col = &c->pt->columns[i];
    enum maria_kind kind = kind_of(c, i);
    if ((kind == MARIA_BYTES || kind == MARIA_BINARY) && is_bytea(c, i)) {
        strbuf_adds(out, "encode(t.");
        pg_quote_ident(out, col->name);
        strbuf_adds(out, ",'hex')");
    } else {
        strbuf_adds(out, col->shown[SIDE_SOURCE] != NULL ? col->shown[SIDE_SOURCE] : col->form[SIDE_SOURCE]);
    }
}

static void read_source(const struct repair_columns *c, const struct key_list *keys, struct strbuf *out)
{
    const struct plan_table *pt = c->pt;
    strbuf_adds(out, "SELECT u.n");
    for (size_t i = 0; i < pt->column_count; i++)
        strbuf_addf(out, ", %s", pt->columns[i].form[SIDE_SOURCE]);
    strbuf_adds(out, ", NULL");
    for (size_t i = 0; i < pt->column_count; i++) {
        strbuf_adds(out, ", ");
        put_source_value(c, i, out);
    }
    sql_postgres_keys_join(pt, SIDE_SOURCE, keys, out);
    strbuf_adds(out, " ORDER BY u.n");
}

static void put_guard(const struct repair_columns *c, struct strbuf *out)
{
    strbuf_adds(out, "SHA2(CONCAT_WS(''");
    for (size_t i = 0; i < c->pt->column_count; i++) {
        const char *form = c->pt->columns[i].form[SIDE_TARGET];
        strbuf_addf(out, ",OCTET_LENGTH(%s),':',IF(OCTET_LENGTH(%s) > %d,SHA2(%s,256),CAST(%s AS BINARY))",
                    form, form, VALUE_INLINE_BYTES, form, form);
    }
    strbuf_adds(out, "),256)");
}

static void put_key_test(const struct plan_key *key, const char *text, struct strbuf *out)
{
    if (key->native)
        strbuf_addf(out, "%s = %s", key->column[SIDE_TARGET], key->head[SIDE_TARGET]);
    else
        strbuf_addf(out, "CAST(%s AS BINARY) = CAST(", key->text[SIDE_TARGET]);
    maria_quote_literal(out, text);
    strbuf_adds(out, key->native ? key->tail[SIDE_TARGET] : " AS BINARY)");
}

static void read_target(const struct repair_columns *c, const struct key_list *keys, struct strbuf *out)
{
    const struct plan_table *pt = c->pt;
    for (size_t n = 0; n < keys->count; n++) {
        strbuf_addf(out, "%sSELECT %zu AS n", n > 0 ? " UNION ALL " : "", n + 1);
        for (size_t i = 0; i < pt->column_count; i++)
            strbuf_addf(out, ", %s", pt->columns[i].form[SIDE_TARGET]);
        strbuf_adds(out, ", ");
        put_guard(c, out);
        strbuf_addf(out, " FROM %s WHERE ", pt->from[SIDE_TARGET]);
        for (size_t k = 0; k < pt->key_count; k++) {
            strbuf_adds(out, k > 0 ? " AND " : "");
            put_key_test(&pt->keys[k], keys->cells[n * pt->key_count + k], out);
        }
    }
    strbuf_adds(out, " ORDER BY n");
}

static void read_rows(const struct repair_columns *c, enum side side, const struct key_list *keys,
                      struct strbuf *out)
{
    if (side == SIDE_SOURCE)
        read_source(c, keys, out);
    else
        read_target(c, keys, out);
}

/* --- statements --- */

/* The key's texts are their forms: what the comparison pairs rows by. */
static void put_key_condition(const struct repair_columns *c, const struct repair_cells *cells,
                              struct strbuf *out)
{
    for (size_t k = 0; k < c->pt->key_count; k++) {
        size_t i = 0;
        while (strcmp(c->pt->columns[i].name, c->pt->keys[k].name) != 0)
            i++;
        strbuf_adds(out, k > 0 ? " AND " : "");
        put_key_test(&c->pt->keys[k], repair_text(cells, i + 1), out);
    }
}

/* Not INSERT IGNORE, and not ON DUPLICATE KEY UPDATE: another unique key that is taken must be an error, not a row less. */
static void put_unless_there(const struct repair_columns *c, const struct repair_cells *source,
                             struct strbuf *out)
{
    strbuf_addf(out, " FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM %s WHERE ", c->pt->from[SIDE_TARGET]);
    put_key_condition(c, source, out);
    strbuf_addc(out, ')');
}

/* --- carrying them out --- */

static bool prepare(struct session *writer, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (!session_exec(writer, settings[i], err))
            return false;
    }
    return true;
}

static bool lock_position(struct session *writer, const char *pipeline, struct err *err)
{
    ROWSET_AUTO res = NULL;
    return session_ask(writer,
                       "SELECT shard FROM crossfade_position WHERE pipeline = $1 ORDER BY shard LOCK IN "
                       "SHARE MODE",
                       1, &pipeline, &res, err) ||
           err_wrap(err, "target: statements are carried out by apply's role (docs/PRIVILEGES.md)");
}

static bool carry_out(struct session *writer, const char *sql, int64_t *ret, struct err *err)
{
    return session_exec(writer, sql, err) && session_int64(writer, "SELECT ROW_COUNT()", 0, NULL, ret, err);
}

static void head(const struct repair_columns *c, uint64_t fence_id, lsn_t lsn, struct strbuf *out)
{
    strbuf_adds(out, "-- ");
    for (const char *p = c->target->name; *p != '\0'; p++)
        strbuf_addc(out, (unsigned char)*p < ' ' ? '?' : *p);
    strbuf_addf(out,
                " as the source had it at fence %" PRIu64 ", " LSN_FMT
                ". A row that has changed since is left alone.\n",
                fence_id, LSN_ARGS(lsn));
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        strbuf_addf(out, "%s;\n", settings[i]);
    strbuf_adds(out, "START TRANSACTION;\n");
}

const struct repair_statements repair_statements_mariadb = {
    .writing = {.begin = "START TRANSACTION",
                .prepare = prepare,
                .lock_position = lock_position,
                .carry_out = carry_out},
    .head = head,
    .read_rows = read_rows,
    .ident = maria_quote_ident,
    .literal = maria_quote_literal,
    .put_value = put_value,
    .put_guard = put_guard,
    .put_key_condition = put_key_condition,
    .insert_values = ") SELECT ",
    .put_unless_there = put_unless_there,
    .set_alias = "t.",
    .delete_from = "DELETE t FROM ",
};
