/*
 * Owns: tables of foreign records: what a value's schema says, with the key's columns and the exact names, and
 * columns of MariaDB and MySQL in terms that do not depend on the server.
 */
#include <stdlib.h>
#include <string.h>

#include "change/foreign_internal.h"
#include "change/foreign_table.h"
#include "core/alloc.h"

static char *dup_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static bool begins(const char *text, const char *with)
{
    return text != NULL && strncmp(text, with, strlen(with)) == 0;
}

static bool means(const struct field *f, const char *semantic)
{
    return f->semantic != NULL && strcmp(f->semantic, semantic) == 0;
}

static void rename_type(struct field *f, const char *type)
{
    free(f->source_type);
    f->source_type = dup_or_null(type);
}

/* MariaDB's names of types are not PostgreSQL's, though some are spelled alike (CHAR, TIMESTAMP, BIT): what a value is,
 * its form says, but for the length of texts and numbers. */
static void neutral_mysql(struct field *f)
{
    const char *type = f->source_type;
    bool number =
        begins(type, "DECIMAL") || begins(type, "NUMERIC") || begins(type, "FIXED") || begins(type, "DEC");
    f->unsigned_wraps = f->phys == PHYS_INT64 && begins(type, "BIGINT") && strstr(type, "UNSIGNED") != NULL;
    if (number && (means(f, SEMANTIC_DECIMAL) || (f->semantic == NULL && f->phys != PHYS_BYTES))) {
        rename_type(f, "NUMERIC");
        return;
    }
    f->labels_escaped = means(f, "io.debezium.data.Enum");
    bool text = f->phys == PHYS_STRING && f->semantic == NULL;
    bool sized = text && (begins(type, "VARCHAR") || begins(type, "CHAR"));
    rename_type(f, sized ? "VARCHAR" : NULL);
    if (!sized)
        f->source_length = -1;
    f->source_scale = -1;
}

/* A bit string tells its length in any case; one without end is a varbit. */
static void name_bits(struct field *f)
{
    if (f->source_type != NULL || f->phys != PHYS_BYTES || !means(f, "io.debezium.data.Bits") ||
        f->bits_length <= 0)
        return;
    bool fixed = f->bits_length < INT32_MAX;
    f->source_type = xstrdup(fixed ? "BIT" : "VARBIT");
    f->source_length = fixed ? f->bits_length : -1;
}

void foreign_field_of_ours(struct field *f)
{
    f->foreign = true;
    neutral_mysql(f);
    f->unsigned_wraps = f->labels_escaped = false; /* our reader writes both exactly */
    name_bits(f);
}

static void copy_fields(const struct table_schema *from, bool mysql, struct table_schema *to)
{
    to->fields = xcalloc(from->field_count + 1, sizeof *to->fields);
    to->field_count = from->field_count;
    for (size_t i = 0; i < from->field_count; i++) {
        struct field *f = &to->fields[i];
        *f = from->fields[i];
        f->name = xstrdup(f->name);
        f->semantic = dup_or_null(f->semantic);
        f->source_type = dup_or_null(f->source_type);
        f->allowed = dup_or_null(f->allowed);
        f->text_encoding = dup_or_null(f->text_encoding);
        f->foreign = true;
        f->key = false;
        if (mysql)
            neutral_mysql(f);
        name_bits(f);
    }
}

struct table_schema *foreign_table_make(const struct table_schema *from, const char *const *wire_names,
                                        const struct foreign_schema *key, bool mysql, char *schema,
                                        char *table, struct err *err)
{
    struct table_schema *made = xcalloc(1, sizeof *made);
    copy_fields(from, mysql, made);
    made->topic = xstrdup(from->topic);
    made->name_space = xstrdup(from->name_space);
    made->schema = schema;
    made->table = table;
    made->value_schema_id = from->value_schema_id;
    made->silent_cascades = mysql;
    made->version = from->version;
    size_t count = key != NULL ? key->field_count : 0;
    made->key_fields = xcalloc(count + 1, sizeof *made->key_fields);
    for (size_t k = 0; k < count; k++) {
        size_t at = 0;
        while (at < made->field_count && strcmp(wire_names[at], key->fields[k]) != 0)
            at++;
        if (strcmp(key->fields[k], SHARED_ID_FIELD) == 0)
            continue;
        if (at == made->field_count || made->fields[at].key) {
            err_set(err, ERR_PROTOCOL, "the key has a column %s, the row has none of this name",
                    key->fields[k]);
            table_schema_free(made);
            return NULL;
        }
        made->fields[at].key = true;
        made->key_fields[made->key_count++] = at;
    }
    return made;
}
