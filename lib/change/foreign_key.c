/* Owns: keys of foreign records in a form that can be compared. See foreign.h. */
#include <string.h>

#include "change/foreign_internal.h"
#include "change/json_nested.h"
#include "change/json_read.h"

/* Per column: one byte (there or null), then 8 bytes of a number, or length and bytes. */
static size_t room_of(const struct table_schema *table, const struct datum *const *values)
{
    size_t room = 1;
    for (size_t k = 0; k < table->key_count; k++) {
        const struct field *f = &table->fields[table->key_fields[k]];
        bool sized = f->phys >= PHYS_STRING && values[k]->state == DATUM_VALUE;
        room += 9 + (sized ? values[k]->s.len : 0);
    }
    return room;
}

static const void *encode(const struct table_schema *table, const struct datum *const *values,
                          struct arena *arena, uint32_t *ret_len)
{
    size_t room = room_of(table, values);
    unsigned char *bytes = room < UINT32_MAX ? arena_alloc(arena, room) : NULL, *to = bytes;
    for (size_t k = 0; bytes != NULL && k < table->key_count; k++) {
        const struct datum *d = values[k];
        bool there = d->state == DATUM_VALUE;
        bool sized = table->fields[table->key_fields[k]].phys >= PHYS_STRING;
        uint64_t head = !there ? 0 : sized ? d->s.len : (uint64_t)d->i;
        *to++ = there;
        memcpy(to, &head, sizeof head);
        to += sizeof head;
        if (there && sized && d->s.len > 0) {
            memcpy(to, d->s.p, d->s.len);
            to += d->s.len;
        }
    }
    *ret_len = (uint32_t)(to - bytes);
    return bytes;
}

const void *foreign_key_of_row(const struct table_schema *table, const struct datum *row, struct arena *arena,
                               uint32_t *ret_len, struct err *err)
{
    const struct datum **values = arena_alloc(arena, (table->key_count + 1) * sizeof *values);
    for (size_t k = 0; values != NULL && k < table->key_count; k++) {
        values[k] = &row[table->key_fields[k]];
        if (values[k]->state == DATUM_UNAVAILABLE) {
            err_set(err, ERR_PROTOCOL, "column %s of the key has no value",
                    table->fields[table->key_fields[k]].name);
            return NULL;
        }
        if (values[k]->state == DATUM_NULL) { /* no database finds a row by it */
            err_set(err, ERR_UNSUPPORTED,
                    "table=%s.%s: column %s of the key is NULL: choose columns for message.key.columns that "
                    "are never NULL",
                    table->schema, table->table, table->fields[table->key_fields[k]].name);
            return NULL;
        }
    }
    const void *key = values != NULL ? encode(table, values, arena, ret_len) : NULL;
    if (key == NULL)
        err_set(err, ERR_NO_MEMORY, "the record does not fit into memory");
    return key;
}

static bool name_is(const char *name, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(name, text, len) == 0;
}

static void take_value(struct json_reader *jr, const struct field *f, struct datum *ret)
{
    bool number_elsewhere = f->semantic != NULL && strcmp(f->semantic, SEMANTIC_DECIMAL) == 0;
    if (json_take_null(jr))
        ret->state = DATUM_NULL;
    else if (f->phys < PHYS_ARRAY && !number_elsewhere)
        json_take_scalar(jr, f->phys, ret);
    else /* a Decimal is written as a number there */
        json_fail(jr, "a value in another form");
}

static bool take_columns(struct json_reader *jr, const struct table_schema *table, struct datum *values)
{
    const char *name;
    size_t len, found = 0;
    bool first = true;
    json_open(jr, '{');
    while (json_member(jr, &first, &name, &len)) {
        size_t k = 0;
        while (k < table->key_count && !name_is(name, len, table->fields[table->key_fields[k]].name))
            k++;
        if (k == table->key_count) {
            json_skip(jr);
            continue;
        }
        take_value(jr, &table->fields[table->key_fields[k]], &values[k]);
        found++;
    }
    return jr->failed == NULL && found == table->key_count;
}

/* What stands under "payload" of a key with its schema; any other text as it is. */
static void look_inside(struct json_reader *jr)
{
    struct json_reader in = *jr;
    const char *name;
    size_t len;
    bool first = true, schema = false;
    json_open(&in, '{');
    while (json_member(&in, &first, &name, &len)) {
        if (schema && name_is(name, len, "payload")) {
            jr->p = in.p;
            return;
        }
        schema = schema || name_is(name, len, "schema");
        json_skip(&in);
    }
}

const void *foreign_key_of_header(const struct table_schema *table, const void *text, size_t len,
                                  struct arena *arena, uint32_t *ret_len)
{
    struct json_reader jr;
    struct datum *values = arena_alloc(arena, (table->key_count + 1) * sizeof *values);
    const struct datum **places = arena_alloc(arena, (table->key_count + 1) * sizeof *places);
    if (text == NULL || table->key_count == 0 || values == NULL || places == NULL)
        return NULL;
    json_reader_init(&jr, text, len, arena);
    look_inside(&jr);
    for (size_t k = 0; k < table->key_count; k++)
        places[k] = &values[k];
    return take_columns(&jr, table, values) ? encode(table, places, arena, ret_len) : NULL;
}
