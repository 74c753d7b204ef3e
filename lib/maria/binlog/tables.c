/* Owns: the cache of tables, and the danger that the catalog tells of another time than the binlog. See tables.h. */
#include "maria/binlog/tables.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define MAP_BYTES_MAX  ((size_t)16 << 20)
#define NUMBERS_MAX    4096 /* tables of one statement */
#define NAME_BYTES_MAX 256

struct cached {
    struct known_table table;
    char name[2 * NAME_BYTES_MAX + 2]; /* database, NUL, table, NUL */
    size_t name_len;
    char *body; /* of the event it was made of; the map's spans point into it */
    size_t body_len;
    struct arena arena;
    bool by_catalog;
    uint64_t altered; /* count of statements that altered something when it was made */
    struct gtid_list catalog_position;
    uint32_t version;
    UT_hash_handle hh;
};

struct number {
    uint64_t id;
    struct cached *table;
};

struct tables {
    struct tables_options options;
    struct cached *cached;
    uint64_t altered;
    struct number *numbers;
    size_t number_count, number_room;
    struct table_schema **retired; /* callers may still hold them */
    size_t retired_count;
};

struct tables *tables_new(const struct tables_options *options)
{
    struct tables *tables = xcalloc(1, sizeof *tables);
    tables->options = *options;
    return tables;
}

/* Back to nothing but its name. */
static void forget(struct tables *tables, struct cached *c)
{
    if (c->table.shape.schema != NULL) {
        tables->retired =
            xrealloc(tables->retired, (tables->retired_count + 1) * sizeof(struct table_schema *));
        tables->retired[tables->retired_count++] = c->table.shape.schema;
        shape_release(&c->table.shape, true);
    }
    arena_clear(&c->arena);
    free(c->body);
    c->body = NULL;
    c->body_len = 0;
    c->table = (struct known_table){0};
    gtid_list_release(&c->catalog_position);
}

void tables_free(struct tables *tables)
{
    struct cached *c, *next;
    if (tables == NULL)
        return;
    HASH_ITER(hh, tables->cached, c, next)
    {
        HASH_DEL(tables->cached, c);
        forget(tables, c);
        arena_release(&c->arena);
        free(c);
    }
    for (size_t i = 0; i < tables->retired_count; i++)
        table_schema_free(tables->retired[i]);
    free(tables->retired);
    free(tables->numbers);
    free(tables);
}

/* "database\0table\0" of the event's body. */
static bool name_of(struct binlog_span body, char out[2 * NAME_BYTES_MAX + 2], size_t *ret_len,
                    struct err *err)
{
    struct bytes b = bytes_of(body.p, body.len);
    size_t len = 0;
    for (int i = 0; i < 2; i++) {
        uint64_t part = bytes_le(&b, 1);
        const uint8_t *p = bytes_take(&b, part + 1);
        if (p == NULL || p[part] != '\0')
            return err_set(err, ERR_PROTOCOL, "a broken TABLE_MAP event: no name");
        memcpy(out + len, p, (size_t)part + 1);
        len += (size_t)part + 1;
    }
    *ret_len = len;
    return true;
}

static struct cached *cached_of(struct tables *tables, const char *name, size_t len)
{
    struct cached *c = NULL;
    HASH_FIND(hh, tables->cached, name, len, c);
    if (c != NULL)
        return c;
    c = xcalloc(1, sizeof *c);
    memcpy(c->name, name, len);
    c->name_len = len;
    arena_init(&c->arena, 1024, MAP_BYTES_MAX);
    HASH_ADD(hh, tables->cached, name[0], (unsigned)c->name_len, c);
    return c;
}

static bool is_current(const struct tables *tables, const struct cached *c, struct binlog_span body)
{
    return c->body != NULL && c->body_len == body.len && memcmp(c->body, body.p, body.len) == 0 &&
           (!c->by_catalog || c->altered == tables->altered);
}

static bool make(struct tables *tables, struct cached *c, struct err *err)
{
    const char *database = c->name, *table = c->name + strlen(c->name) + 1;
    struct catalog_table cat = {0};
    c->table.wanted =
        tables->options.wanted == NULL || tables->options.wanted(tables->options.wanted_ctx, database, table);
    c->by_catalog = false;
    if (!c->table.wanted)
        return true;
    if (!table_map_decode((struct binlog_span){c->body, c->body_len}, &c->arena, &c->table.map, err))
        return false;
    bool ask = shape_needs_catalog(&c->table.map);
    if (ask && tables->options.catalog == NULL)
        return err_set(err, ERR_SCHEMA, "table=%s.%s: there is no catalog to ask", database, table);
    if (ask && !catalog_table_read(tables->options.catalog, database, table, &cat, err))
        return false;
    bool ok = shape_make(&c->table.map, ask ? &cat : NULL, tables->options.sets, &tables->options.shape,
                         &c->table.shape, err);
    if (ok) {
        c->table.shape.schema->version = ++c->version;
        c->by_catalog = ask;
        c->altered = tables->altered;
        gtid_list_copy(&cat.position, &c->catalog_position);
    }
    catalog_table_release(&cat);
    return ok;
}

static bool add_number(struct tables *tables, uint64_t id, struct cached *c, struct err *err)
{
    for (size_t i = 0; i < tables->number_count; i++) {
        if (tables->numbers[i].id == id) {
            tables->numbers[i].table = c;
            return true;
        }
    }
    if (tables->number_count == NUMBERS_MAX)
        return err_set(err, ERR_PROTOCOL, "a statement of the binlog with more than %d tables", NUMBERS_MAX);
    if (tables->number_count == tables->number_room) {
        tables->number_room = tables->number_room * 2 + 8;
        tables->numbers = xrealloc(tables->numbers, tables->number_room * sizeof *tables->numbers);
    }
    tables->numbers[tables->number_count++] = (struct number){.id = id, .table = c};
    return true;
}

bool tables_map(struct tables *tables, uint64_t table_id, struct binlog_span body, struct err *err)
{
    char name[2 * NAME_BYTES_MAX + 2];
    size_t len = 0;
    if (!name_of(body, name, &len, err))
        return false;
    struct cached *c = cached_of(tables, name, len);
    if (!is_current(tables, c, body)) {
        forget(tables, c);
        c->body = xmalloc(body.len);
        memcpy(c->body, body.p, body.len);
        c->body_len = body.len;
        if (!make(tables, c, err)) {
            forget(tables, c);
            return false;
        }
    }
    return add_number(tables, table_id, c, err);
}

bool tables_find(struct tables *tables, uint64_t table_id, struct known_table **ret, struct err *err)
{
    for (size_t i = 0; i < tables->number_count; i++) {
        if (tables->numbers[i].id == table_id && tables->numbers[i].table->body != NULL) {
            *ret = &tables->numbers[i].table->table;
            return true;
        }
    }
    return err_set(err, ERR_PROTOCOL, "rows of a table that no event of their statement has named");
}

void tables_end_statement(struct tables *tables)
{
    tables->number_count = 0;
}

/* Whether the text has the word, in any case. It may stand in a comment or a literal: said once too often does no harm. */
static bool names(struct binlog_span text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; len <= text.len && i <= text.len - len; i++) {
        size_t k = 0;
        while (k < len && tolower((unsigned char)text.p[i + k]) == tolower((unsigned char)word[k]))
            k++;
        if (k == len)
            return true;
    }
    return false;
}

static bool begins(struct binlog_span text, const char *words)
{
    size_t len = strlen(words);
    return text.len >= len && strncasecmp(text.p, words, len) == 0;
}

/* Of triggers, routines, views and events, which the server writes with their definer: no table has other columns by them. They name tables. */
static bool alters_no_table(struct binlog_span text)
{
    return begins(text, "CREATE DEFINER=") || begins(text, "CREATE OR REPLACE DEFINER=") ||
           begins(text, "DROP TRIGGER ");
}

bool tables_altered(struct tables *tables, struct gtid gtid, struct binlog_span text, struct err *err)
{
    struct cached *c, *next;
    char at[GTID_TEXT_MAX];
    if (alters_no_table(text))
        return true;
    tables->altered++;
    HASH_ITER(hh, tables->cached, c, next)
    {
        const char *table = c->name + strlen(c->name) + 1;
        if (c->by_catalog && gtid_list_covers(&c->catalog_position, gtid) &&
            (names(text, table) ||
             (names(text, c->name) && (names(text, "DATABASE") || names(text, "SCHEMA")))))
            return err_set(
                err, ERR_SCHEMA,
                "table=%s.%s: it was altered at %s, and rows of it from before were read by the definition "
                "of after that (the server shows only the one of now). Hint: copy the table again; set "
                "binlog_row_metadata=FULL on the source, and the binlog itself tells what rows are made of",
                c->name, table, gtid_text(gtid, at));
    }
    return true;
}
