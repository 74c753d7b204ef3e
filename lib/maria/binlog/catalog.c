/* Owns: questions to information_schema. See catalog.h. */
#include "maria/binlog/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/quote.h"

#define COLLATIONS_MAX 20000
#define COLUMNS_MAX    4096

struct collation {
    uint32_t id;
    size_t set; /* index */
};

struct charsets {
    struct maria_conn *conn; /* NULL = none */
    struct charset **sets;   /* each by itself: plans point to them */
    size_t set_count;
    struct collation *collations;
    size_t collation_count;
};

/* --- character sets --- */

static size_t add_set(struct charsets *sets, const char *name, unsigned max_bytes)
{
    for (size_t i = 0; i < sets->set_count; i++) {
        if (strcmp(sets->sets[i]->name, name) == 0)
            return i;
    }
    sets->sets = xrealloc(sets->sets, (sets->set_count + 1) * sizeof *sets->sets);
    sets->sets[sets->set_count] = xcalloc(1, sizeof **sets->sets);
    charset_init(sets->sets[sets->set_count], name, max_bytes);
    return sets->set_count++;
}

static void add_collation(struct charsets *sets, uint32_t id, const char *set, unsigned max_bytes)
{
    sets->collations = xrealloc(sets->collations, (sets->collation_count + 1) * sizeof *sets->collations);
    sets->collations[sets->collation_count++] =
        (struct collation){.id = id, .set = add_set(sets, set, max_bytes)};
}

static bool each_collation(void *ctx, char **cells, size_t count, struct err *err)
{
    struct charsets *sets = ctx;
    if (count != 3 || cells[0] == NULL || cells[1] == NULL || cells[2] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of collations");
    if (sets->collation_count == COLLATIONS_MAX)
        return err_set(err, ERR_NO_MEMORY, "more than %d collations", COLLATIONS_MAX);
    add_collation(sets, (uint32_t)strtoul(cells[0], NULL, 10), cells[1],
                  (unsigned)strtoul(cells[2], NULL, 10));
    return true;
}

/* From 10.10 on collations without a character set of their own (uca1400_…) have a number for each set, in another view. */
bool charsets_open(struct maria_conn *conn, struct charsets **ret, struct err *err)
{
    const char *sql =
        maria_version(conn) >= 101000
            ? "SELECT a.ID, a.CHARACTER_SET_NAME, s.MAXLEN FROM "
              "information_schema.COLLATION_CHARACTER_SET_APPLICABILITY a JOIN "
              "information_schema.CHARACTER_SETS s USING (CHARACTER_SET_NAME)"
            : "SELECT c.ID, c.CHARACTER_SET_NAME, s.MAXLEN FROM information_schema.COLLATIONS c JOIN "
              "information_schema.CHARACTER_SETS s USING (CHARACTER_SET_NAME)";
    struct charsets *sets = xcalloc(1, sizeof *sets);
    sets->conn = conn;
    if (!maria_query(conn, sql, each_collation, sets, err)) {
        charsets_close(sets);
        return false;
    }
    *ret = sets;
    return true;
}

struct charsets *charsets_plain(void)
{
    struct charsets *sets = xcalloc(1, sizeof *sets);
    add_collation(sets, COLLATION_OF_BYTES, "binary", 1);
    add_collation(sets, 45, "utf8mb4", 4);
    add_collation(sets, 33, "utf8mb3", 3);
    add_collation(sets, 35, "ucs2", 2);
    add_collation(sets, 28, "gbk", 2);
    return sets;
}

void charsets_close(struct charsets *sets)
{
    if (sets == NULL)
        return;
    for (size_t i = 0; i < sets->set_count; i++) {
        charset_release(sets->sets[i]);
        free(sets->sets[i]);
    }
    free(sets->sets);
    free(sets->collations);
    free(sets);
}

/* Asked of the server itself: its tables decide what a byte means, in every part of it. */
static bool read_table(struct charsets *sets, struct charset *cs, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4096);
    char *text = NULL;
    strbuf_adds(&sql, "SELECT CONVERT(CONVERT(X'");
    for (unsigned i = 1; i < 256; i++)
        strbuf_addf(&sql, "%02X", i);
    strbuf_addf(&sql, "' USING %s) USING utf8mb4)", cs->name); /* a name of the server's own */
    bool ok = maria_query_text(sets->conn, sql.data, 0, &text, err);
    strbuf_release(&sql);
    if (ok && text == NULL)
        ok = err_set(err, ERR_PROTOCOL, "the server has no table of the character set %s", cs->name);
    if (ok) {
        size_t len = strlen(text);
        char *whole = xmalloc(len + 1); /* the NUL in front */
        whole[0] = '\0';
        memcpy(whole + 1, text, len);
        ok = charset_set_table(cs, whole, len + 1, err);
        free(whole);
    }
    free(text);
    return ok;
}

static bool make_ready(struct charsets *sets, struct charset *cs, struct charset **ret, struct err *err)
{
    if (cs->way == CHARSET_TABLE && !cs->has_table) {
        if (sets->conn == NULL)
            return err_set(err, ERR_SCHEMA, "the character set %s has no table", cs->name);
        if (!read_table(sets, cs, err))
            return false;
    }
    *ret = cs;
    return true;
}

bool charsets_by_collation(struct charsets *sets, uint32_t id, struct charset **ret, struct err *err)
{
    for (size_t i = 0; i < sets->collation_count; i++) {
        if (sets->collations[i].id == id)
            return make_ready(sets, sets->sets[sets->collations[i].set], ret, err);
    }
    return err_set(err, ERR_SCHEMA, "collation number %u, which the server does not know", id);
}

bool charsets_by_name(struct charsets *sets, const char *name, struct charset **ret, struct err *err)
{
    for (size_t i = 0; i < sets->set_count; i++) {
        if (strcmp(sets->sets[i]->name, name) == 0)
            return make_ready(sets, sets->sets[i], ret, err);
    }
    return err_set(err, ERR_SCHEMA, "character set %s, which the server does not know", name);
}

/* --- tables --- */

static char *text_or_null(const char *cell)
{
    return cell != NULL ? xstrdup(cell) : NULL;
}

static unsigned number_of(const char *cell)
{
    return cell != NULL ? (unsigned)strtoul(cell, NULL, 10) : 0;
}

enum {
    C_NAME,
    C_DATA_TYPE,
    C_TYPE,
    C_CHARSET,
    C_OCTETS,
    C_PRECISION,
    C_SCALE,
    C_NULLABLE,
    C_KEY,
    C_PREFIX,
    C_COUNT
};

static bool each_column(void *ctx, char **cells, size_t count, struct err *err)
{
    struct catalog_table *table = ctx;
    if (count != C_COUNT || cells[C_NAME] == NULL || cells[C_DATA_TYPE] == NULL || cells[C_TYPE] == NULL ||
        cells[C_NULLABLE] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of columns");
    if (table->count == COLUMNS_MAX)
        return err_set(err, ERR_PROTOCOL, "more than %d columns", COLUMNS_MAX);
    table->columns = xrealloc(table->columns, (table->count + 1) * sizeof *table->columns);
    table->columns[table->count++] =
        (struct catalog_column){.name = xstrdup(cells[C_NAME]),
                                .data_type = xstrdup(cells[C_DATA_TYPE]),
                                .column_type = xstrdup(cells[C_TYPE]),
                                .charset = text_or_null(cells[C_CHARSET]),
                                .octets = cells[C_OCTETS] != NULL ? strtoull(cells[C_OCTETS], NULL, 10) : 0,
                                .precision = number_of(cells[C_PRECISION]),
                                .scale = number_of(cells[C_SCALE]),
                                .nullable = strcmp(cells[C_NULLABLE], "YES") == 0,
                                .key = number_of(cells[C_KEY])};
    table->key_prefix = table->key_prefix || number_of(cells[C_PREFIX]) > 0;
    return true;
}

static bool read_columns(struct maria_conn *conn, const char *database, const char *table,
                         struct catalog_table *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(8192);
    strbuf_adds(
        &sql,
        "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.CHARACTER_SET_NAME, "
        "c.CHARACTER_OCTET_LENGTH, c.NUMERIC_PRECISION, COALESCE(c.DATETIME_PRECISION, c.NUMERIC_SCALE), "
        "c.IS_NULLABLE, s.SEQ_IN_INDEX, s.SUB_PART FROM information_schema.COLUMNS c LEFT JOIN "
        "information_schema.STATISTICS s ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = "
        "c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.INDEX_NAME = 'PRIMARY' WHERE "
        "c.TABLE_SCHEMA = ");
    maria_quote_literal(&sql, database);
    strbuf_adds(&sql, " AND c.TABLE_NAME = ");
    maria_quote_literal(&sql, table);
    strbuf_adds(&sql, " ORDER BY c.ORDINAL_POSITION");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query(conn, sql.data, each_column, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool read_position(struct maria_conn *conn, struct gtid_list *ret, struct err *err)
{
    char *text = NULL;
    bool ok = maria_query_text(conn, "SELECT @@global.gtid_binlog_pos", 0, &text, err) &&
              gtid_list_parse(text != NULL ? text : "", ret, err);
    free(text);
    return ok;
}

bool catalog_table_read(struct maria_conn *conn, const char *database, const char *table,
                        struct catalog_table *ret, struct err *err)
{
    struct catalog_table found = {0};
    bool ok = read_columns(conn, database, table, &found, err) && read_position(conn, &found.position, err);
    if (ok && found.count == 0)
        ok = err_set(
            err, ERR_SCHEMA,
            "table=%s.%s: the binlog has rows of it, but the server does not show it any more, nor can tell "
            "what they are made of. Hint: set binlog_row_metadata=FULL, so that the binlog itself tells; or "
            "it lacks the right to see the table (SELECT)",
            database, table);
    if (!ok) {
        catalog_table_release(&found);
        return false;
    }
    *ret = found;
    return true;
}

void catalog_table_release(struct catalog_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->columns[i].name);
        free(table->columns[i].data_type);
        free(table->columns[i].column_type);
        free(table->columns[i].charset);
    }
    free(table->columns);
    gtid_list_release(&table->position);
    *table = (struct catalog_table){0};
}
