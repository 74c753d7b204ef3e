/* Owns: comparing the shapes of tables, and the names of topics. See table.h. */
#include "change/table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"

void table_schema_free(struct table_schema *schema)
{
    if (schema == NULL)
        return;
    for (size_t i = 0; i < schema->field_count; i++) {
        free(schema->fields[i].name);
        free(schema->fields[i].semantic);
        free(schema->fields[i].source_type);
        free(schema->fields[i].allowed);
        free(schema->fields[i].text_encoding);
    }
    free(schema->fields);
    free(schema->key_fields);
    free(schema->topic);
    free(schema->name_space);
    free(schema->schema);
    free(schema->table);
    free(schema->shared_id);
    free(schema);
}

static bool same_text(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

static bool same_details(const struct field *a, const struct field *b)
{
    return a->source_typmod == b->source_typmod && a->lossy == b->lossy && a->elem == b->elem &&
           a->elem_required == b->elem_required && a->decimal_scale == b->decimal_scale &&
           a->decimal_precision == b->decimal_precision && a->bits_length == b->bits_length &&
           same_text(a->allowed, b->allowed) && same_text(a->text_encoding, b->text_encoding);
}

static bool same_field(const struct field *a, const struct field *b)
{
    return same_details(a, b) && same_text(a->name, b->name) && a->phys == b->phys &&
           same_text(a->semantic, b->semantic) && a->optional == b->optional && a->key == b->key &&
           same_text(a->source_type, b->source_type) && a->source_length == b->source_length &&
           a->source_scale == b->source_scale;
}

bool table_schema_same(const struct table_schema *a, const struct table_schema *b)
{
    if (a->field_count != b->field_count || a->key_count != b->key_count || !same_text(a->topic, b->topic) ||
        !same_text(a->schema, b->schema) || !same_text(a->table, b->table))
        return false;
    for (size_t i = 0; i < a->field_count; i++) {
        if (!same_field(&a->fields[i], &b->fields[i]))
            return false;
    }
    for (size_t i = 0; i < a->key_count; i++) {
        if (a->key_fields[i] != b->key_fields[i])
            return false;
    }
    return true;
}

int table_schema_find(const struct table_schema *schema, const char *field_name)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        if (strcmp(schema->fields[i].name, field_name) == 0)
            return (int)i;
    }
    return -1;
}

char *topic_name(const char *prefix, const char *schema, const char *table)
{
    char *rest CLEANUP(free_ptr) = xasprintf("%s.%s", schema, table);
    return topic_name_of(prefix, rest);
}

char *topic_name_of(const char *prefix, const char *rest)
{
    char *name = xasprintf("%s.%s", prefix, rest), *to = name;
    for (const char *p = name; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        while (((unsigned char)p[1] & 0xc0) == 0x80) /* later bytes of the same character */
            p++;
        bool plain = c < 0x80 && (isalnum(c) || c == '.' || c == '_' || c == '-');
        *to++ = plain ? (char)c : '_';
        if (c >= 0xf0 && to <= p) /* two UTF-16 units; there is room, since it has four bytes */
            *to++ = '_';
    }
    *to = '\0';
    return name;
}

char *topic_name_space(const char *topic)
{
    struct strbuf sb = STRBUF_INIT(4096);
    for (const char *p = topic; *p != '\0'; p++) {
        if (isdigit((unsigned char)*p) && (p == topic || p[-1] == '.'))
            strbuf_addc(&sb, '_');
        strbuf_addc(&sb, *p == '-' ? '_' : *p);
    }
    return strbuf_detach(&sb);
}

char *topic_unified(const char *topic)
{
    char *name = xstrdup(topic);
    for (char *p = strchr(name, '.'); p != NULL; p = strchr(p, '.'))
        *p = '_';
    return name;
}
