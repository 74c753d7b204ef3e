/* Owns: the columns of a table that is written on both sides, as the target's catalog has them. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/quote.h"
#include "watch.h"

void md_watched_free(struct md_watched *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(columns[i].name);
        free(columns[i].type_text);
    }
    free(columns);
}

enum { C_NAME, C_DATA, C_TYPE, C_KEY, C_JSON };

/* A column of type json is text with a check of its own name. */
static bool query_columns(struct md_target *mt, const char *schema_name, const char *table_name,
                          struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.COLUMN_KEY, EXISTS (SELECT 1 FROM "
                "information_schema.CHECK_CONSTRAINTS k WHERE k.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA AND "
                "k.TABLE_NAME = c.TABLE_NAME AND k.LEVEL = 'Column' AND k.CONSTRAINT_NAME = c.COLUMN_NAME "
                "AND k.CHECK_CLAUSE LIKE 'json_valid(%') FROM information_schema.COLUMNS c WHERE "
                "c.TABLE_SCHEMA = ");
    maria_quote_literal(&sql, md_database_of(mt, schema_name));
    strbuf_adds(&sql, " AND c.TABLE_NAME = ");
    maria_quote_literal(&sql, table_name);
    strbuf_adds(&sql, " AND c.IS_GENERATED = 'NEVER' ORDER BY c.ORDINAL_POSITION");
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

static struct md_watched watched_from(char **cell)
{
    enum md_type type = md_type_named(cell[C_DATA]);
    return (struct md_watched){.name = xstrdup(cell[C_NAME]),
                               .type_text = xstrdup(cell[C_TYPE]),
                               .type = type,
                               .json = type == MD_TEXT && strcmp(cell[C_JSON], "1") == 0};
}

bool md_watched_read(struct md_target *mt, const char *schema_name, const char *table_name,
                     struct md_watched **ret_columns, size_t *ret_count, struct md_watched **ret_key,
                     size_t *ret_key_count, struct err *err)
{
    MD_ROWS rows = {0};
    if (!query_columns(mt, schema_name, table_name, &rows, err))
        return false;
    struct md_watched *columns = xcalloc(MD_MAX_COLUMNS + 1, sizeof *columns);
    struct md_watched *key = xcalloc(MD_MAX_COLUMNS + 1, sizeof *key);
    size_t count = 0, key_count = 0;
    while (md_next(&rows) && count < MD_MAX_COLUMNS) {
        columns[count++] = watched_from(rows.cell);
        if (strcmp(rows.cell[C_KEY], "PRI") == 0)
            key[key_count++] = watched_from(rows.cell);
    }
    *ret_columns = columns;
    *ret_count = count;
    *ret_key = key;
    *ret_key_count = key_count;
    return true;
}

/* `a``b`: its end, NULL if it has none. */
static const char *parse_name(const char *p, char **ret)
{
    char *name = xmalloc(strlen(p) + 1);
    size_t len = 0;
    if (*p == '`')
        p++;
    for (; *p != '\0' && (*p != '`' || p[1] == '`'); p++) {
        p += *p == '`';
        name[len++] = *p;
    }
    name[len] = '\0';
    *ret = name;
    return *p == '`' ? p + 1 : NULL;
}

/* int(11) unsigned, enum('a','b, `'), longtext json: its end. */
static const char *parse_type(const char *p, struct md_watched *ret)
{
    static const char json[] = " json";
    const char *end = p;
    size_t word = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
    for (bool quoted = false; *end != '\0'; end++) {
        if (!quoted && (strncmp(end, ", `", 3) == 0 || strncmp(end, " / `", 4) == 0))
            break;
        quoted = quoted != (*end == '\'');
    }
    size_t len = (size_t)(end - p), tail = sizeof json - 1;
    ret->json = len > tail && strncmp(end - tail, json, tail) == 0;
    ret->type_text = xstrndup(p, ret->json ? len - tail : len);
    char *name = xstrndup(p, word);
    ret->type = md_type_named(name);
    free(name);
    return end;
}

static const char *parse_list(const char *p, struct md_watched *ret, size_t *ret_count)
{
    while (*p == '`' && *ret_count < MD_MAX_COLUMNS) {
        struct md_watched *col = &ret[(*ret_count)++];
        p = parse_name(p, &col->name);
        if (p == NULL || *p != ' ')
            return NULL;
        p = parse_type(p + 1, col);
        if (strncmp(p, ", `", 3) != 0)
            return p;
        p += 2;
    }
    return NULL;
}

bool md_watched_parse(const char *text, struct md_watched **ret_columns, size_t *ret_count,
                      struct md_watched **ret_key, size_t *ret_key_count)
{
    size_t count = 0, key_count = 0;
    struct md_watched *columns = xcalloc(MD_MAX_COLUMNS + 1, sizeof *columns);
    struct md_watched *key = xcalloc(MD_MAX_COLUMNS + 1, sizeof *key);
    const char *p = parse_list(text, key, &key_count);
    if (p != NULL && strncmp(p, " / ", 3) == 0)
        p = parse_list(p + 3, columns, &count);
    *ret_columns = columns;
    *ret_count = count;
    *ret_key = key;
    *ret_key_count = key_count;
    return p != NULL && *p == '\0' && count > 0;
}
