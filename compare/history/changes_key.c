/* Owns: a change's keys as the texts that the databases read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"
#include "history/changes_internal.h"
#include "pg/types/catalog.h"
#include "pg/types/write.h"

#define KEY_BYTES_MAX ((size_t)1 << 20)

/* How the keys of one shape of a table are read. */
struct key_reader {
    const struct table_schema *schema; /* the decoder's, alive as long as it */
    struct pg_type_catalog *types;
    size_t *fields;
    struct pg_column_writer *writers;
    struct strbuf text;
};

void key_reader_free(struct key_reader *reader)
{
    if (reader == NULL)
        return;
    pg_type_catalog_free(reader->types);
    free(reader->fields);
    free(reader->writers);
    strbuf_release(&reader->text);
    free(reader);
}

/* Only if the records carry the comparison's key, no other one, its old and its new value are in the journal. */
static bool plan_field(struct key_reader *reader, struct changed_table *t, size_t k)
{
    const struct table_schema *schema = reader->schema;
    struct err why = ERR_INIT;
    int f = table_schema_find(schema, t->keys[k]);
    if (f < 0 || !schema->fields[f].key || schema->key_count != t->key_count || schema->fields[f].lossy) {
        changed_table_lose(t, "its records have another key than the comparison");
        return false;
    }
    reader->fields[k] = (size_t)f;
    if (pg_writer_plan(&schema->fields[f], PG_OID_TEXT, -1, reader->types, NULL, &reader->writers[k], &why))
        return true;
    changed_table_lose(t, "%s", why.text);
    return false;
}

static bool plan_reader(struct changed_table *t, const struct table_schema *schema)
{
    if (t->reader != NULL && t->reader->schema == schema)
        return true;
    key_reader_free(t->reader);
    struct key_reader *reader = t->reader = xcalloc(1, sizeof *reader);
    reader->schema = schema;
    reader->types = pg_type_catalog_new();
    reader->fields = xcalloc(t->key_count, sizeof *reader->fields);
    reader->writers = xcalloc(t->key_count, sizeof *reader->writers);
    strbuf_init(&reader->text, KEY_BYTES_MAX);
    for (size_t k = 0; k < t->key_count; k++) {
        if (!plan_field(reader, t, k))
            return false;
    }
    return true;
}

static bool take_row(struct changes *changes, struct changed_table *t, const struct datum *row,
                     struct err *err)
{
    struct key_reader *reader = t->reader;
    struct err why = ERR_INIT;
    strbuf_clear(&reader->text);
    for (size_t k = 0; k < t->key_count; k++) {
        const struct datum *value = &row[reader->fields[k]];
        if (value->state != DATUM_VALUE || !pg_write_text(&reader->writers[k], value, &reader->text, &why)) {
            changed_table_lose(t, "a record of it lacks its key%s%s", err_is_set(&why) ? ": " : "", why.text);
            return true;
        }
        strbuf_addc(&reader->text, '\0');
    }
    if (!strbuf_ok(&reader->text, "key", &why)) {
        changed_table_lose(t, "%s", why.text);
        return true;
    }
    t->changes++;
    return changes->key(changes->ctx, t, reader->text.data, reader->text.len, err);
}

bool changes_take(struct changes *changes, struct changed_table *t, const struct change *chg, struct err *err)
{
    if (t->lost != NULL)
        return true;
    if (chg->op == CHANGE_TRUNCATE) {
        changed_table_lose(t, "it was truncated since fence %llu", (unsigned long long)t->since.id);
        return true;
    }
    if (!plan_reader(t, chg->schema))
        return true;
    return (chg->before == NULL || take_row(changes, t, chg->before, err)) &&
           (t->lost != NULL || chg->after == NULL || take_row(changes, t, chg->after, err));
}

void changed_table_lose(struct changed_table *table, const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT(4096);
    va_list ap;
    if (table->lost != NULL)
        return;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    table->lost = strbuf_detach(&text);
}

void changed_table_release(struct changed_table *table)
{
    key_reader_free(table->reader);
    free(table->lost);
    table->reader = NULL;
    table->lost = NULL;
}
