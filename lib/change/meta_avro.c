/* Owns: Avro by a schema of Kafka Connect's: strings, int64, bytes, arrays and structs, optional or not, which is all that
 * metadata records have. See meta_internal.h. */
#include "change/meta_internal.h"

#include <stdlib.h>
#include <string.h>

#include "change/avro_wire.h"
#include "change/json_read.h"
#include "change/json_write.h"
#include "core/alloc.h"

enum type { TYPE_STRING = 0, TYPE_LONG, TYPE_BYTES, TYPE_ARRAY, TYPE_STRUCT };

static enum type type_of(const json_t *schema)
{
    static const char *const names[] = {[TYPE_STRING] = "string",
                                        [TYPE_LONG] = "int64",
                                        [TYPE_BYTES] = "bytes",
                                        [TYPE_ARRAY] = "array",
                                        [TYPE_STRUCT] = "struct"};
    const char *name = json_string_value(json_object_get(schema, "type"));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (name != NULL && strcmp(names[i], name) == 0)
            return (enum type)i;
    }
    BUG("a metadata record has type %s", name != NULL ? name : "?");
}

static bool is_optional(const json_t *schema)
{
    return json_is_true(json_object_get(schema, "optional"));
}

/* A union's first branch is that of the field's default: null, where there is none. */
static bool null_is_first(const json_t *schema)
{
    return json_object_get(schema, "default") == NULL;
}

/* --- schemas --- */

static json_t *avro_type(const json_t *schema, const char *name_space);

static json_t *avro_field(const json_t *field, const char *name_space)
{
    json_t *out = json_pack("{s:O, s:o}", "name", json_object_get(field, "field"), "type",
                            avro_type(field, name_space));
    if (is_optional(field))
        json_object_set_new(out, "default",
                            null_is_first(field) ? json_null()
                                                 : json_deep_copy(json_object_get(field, "default")));
    return out;
}

/* What a type means rides along under names of Kafka Connect's. */
static void add_meaning(json_t *out, const json_t *schema)
{
    static const char *const pairs[][2] = {{"version", "connect.version"},
                                           {"parameters", "connect.parameters"},
                                           {"default", "connect.default"},
                                           {"name", "connect.name"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        json_t *value = json_object_get(schema, pairs[i][0]);
        if (value != NULL)
            json_object_set(out, pairs[i][1], value);
    }
}

static json_t *avro_record(const json_t *schema, const char *name_space)
{
    const char *full = json_string_value(json_object_get(schema, "name")), *dot = strrchr(full, '.');
    char *own CLEANUP(free_ptr) = xstrndup(full, (size_t)(dot - full));
    json_t *out = json_pack("{s:s, s:s}", "type", "record", "name", dot + 1), *fields = json_array(), *field;
    size_t i;
    if (name_space == NULL || strcmp(own, name_space) != 0)
        json_object_set_new(out, "namespace", json_string(own));
    json_array_foreach(json_object_get(schema, "fields"), i, field)
        json_array_append_new(fields, avro_field(field, own));
    json_object_set_new(out, "fields", fields);
    add_meaning(out, schema);
    return out;
}

static json_t *avro_type(const json_t *schema, const char *name_space)
{
    static const char *const plain[] = {
        [TYPE_STRING] = "string", [TYPE_LONG] = "long", [TYPE_BYTES] = "bytes"};
    enum type type = type_of(schema);
    json_t *out;
    if (type == TYPE_STRUCT) {
        out = avro_record(schema, name_space);
    } else if (type == TYPE_ARRAY) {
        out = json_pack("{s:s, s:o}", "type", "array", "items",
                        avro_type(json_object_get(schema, "items"), name_space));
    } else if (json_object_get(schema, "name") != NULL) {
        out = json_pack("{s:s}", "type", plain[type]);
        add_meaning(out, schema);
    } else {
        out = json_string(plain[type]);
    }
    if (!is_optional(schema))
        return out;
    return null_is_first(schema) ? json_pack("[s, o]", "null", out) : json_pack("[o, s]", out, "null");
}

json_t *meta_avro_schema(const json_t *connect)
{
    return avro_type(connect, NULL);
}

/* --- writing --- */

static void add_long(struct strbuf *out, int64_t v)
{
    uint8_t room[AVRO_LONG_MAX];
    strbuf_add(out, room, (size_t)(put_long(room, v) - room));
}

static void add_text(struct strbuf *out, const void *bytes, size_t len)
{
    add_long(out, (int64_t)len);
    strbuf_add(out, bytes, len);
}

static void add_base64(struct strbuf *out, const json_t *value)
{
    struct arena arena;
    struct json_reader jr;
    const char *bytes = NULL;
    size_t len = json_string_length(value), bytes_len = 0;
    char *quoted = xasprintf("\"%s\"", json_string_value(value));
    arena_init(&arena, 4096, len + 4096);
    json_reader_init(&jr, quoted, len + 2, &arena);
    json_take_base64(&jr, &bytes, &bytes_len);
    BUG_UNLESS(jr.failed == NULL);
    add_text(out, bytes, bytes_len);
    arena_release(&arena);
    free(quoted);
}

static void write_array(const json_t *schema, const json_t *value, struct strbuf *out)
{
    const json_t *item;
    size_t i;
    if (json_array_size(value) > 0)
        add_long(out, (int64_t)json_array_size(value));
    json_array_foreach(value, i, item) meta_avro_write(json_object_get(schema, "items"), item, out);
    add_long(out, 0);
}

static void write_struct(const json_t *schema, const json_t *value, struct strbuf *out)
{
    const json_t *field;
    size_t i;
    json_array_foreach(json_object_get(schema, "fields"), i, field)
    {
        const json_t *member = json_object_get(value, json_string_value(json_object_get(field, "field")));
        BUG_UNLESS(member != NULL);
        meta_avro_write(field, member, out);
    }
}

void meta_avro_write(const json_t *connect, const json_t *value, struct strbuf *out)
{
    if (is_optional(connect)) {
        add_long(out, json_is_null(value) == null_is_first(connect) ? 0 : 1);
        if (json_is_null(value))
            return;
    }
    switch (type_of(connect)) {
    case TYPE_STRING:
        add_text(out, json_string_value(value), json_string_length(value));
        return;
    case TYPE_LONG:
        add_long(out, json_integer_value(value));
        return;
    case TYPE_BYTES:
        add_base64(out, value);
        return;
    case TYPE_ARRAY:
        write_array(connect, value, out);
        return;
    case TYPE_STRUCT:
        write_struct(connect, value, out);
        return;
    }
}

/* --- reading --- */

static json_t *read_value(const json_t *schema, struct avro_cursor *c);

static json_t *read_text(struct avro_cursor *c)
{
    size_t len;
    const char *text = get_bytes(c, &len);
    json_t *value = text != NULL ? json_stringn(text, len) : NULL;
    if (value == NULL)
        cursor_fail(c, "text is not valid UTF-8");
    return value;
}

json_t *meta_base64(const void *bytes, size_t len)
{
    struct strbuf text = STRBUF_INIT(len / 3 * 4 + 64);
    json_put_base64(&text, bytes, len);
    json_t *value = json_stringn(text.data + 1, text.len - 2); /* without its quotes */
    strbuf_release(&text);
    return value;
}

static json_t *read_bytes(struct avro_cursor *c)
{
    size_t len;
    const unsigned char *bytes = get_bytes(c, &len);
    if (bytes == NULL || len > INT32_MAX / 2) {
        cursor_fail(c, "bytes are cut short");
        return NULL;
    }
    return meta_base64(bytes, len);
}

static json_t *read_array(const json_t *schema, struct avro_cursor *c)
{
    json_t *out = json_array();
    for (int64_t left = get_long(c); left != 0 && c->failed == NULL; left = get_long(c)) {
        if (left < 0)
            cursor_fail(c, "an array's block has a size, which nobody writes");
        for (; left > 0 && c->failed == NULL; left--)
            json_array_append_new(out, read_value(json_object_get(schema, "items"), c));
    }
    return out;
}

static json_t *read_struct(const json_t *schema, struct avro_cursor *c)
{
    json_t *out = json_object(), *field;
    size_t i;
    json_array_foreach(json_object_get(schema, "fields"), i, field)
        json_object_set_new(out, json_string_value(json_object_get(field, "field")), read_value(field, c));
    return out;
}

/* NULL after a failure. */
static json_t *read_value(const json_t *schema, struct avro_cursor *c)
{
    if (is_optional(schema)) {
        int64_t branch = get_long(c);
        if (branch != 0 && branch != 1)
            cursor_fail(c, "a union has no such branch");
        if ((branch == 0) == null_is_first(schema))
            return json_null();
    }
    if (c->failed != NULL)
        return NULL;
    switch (type_of(schema)) {
    case TYPE_STRING:
        return read_text(c);
    case TYPE_LONG:
        return json_integer(get_long(c));
    case TYPE_BYTES:
        return read_bytes(c);
    case TYPE_ARRAY:
        return read_array(schema, c);
    case TYPE_STRUCT:
        return read_struct(schema, c);
    }
    return NULL;
}

json_t *meta_avro_read(const json_t *connect, const void *bytes, size_t len, const char **ret_why)
{
    struct avro_cursor c = {.p = bytes, .end = (const uint8_t *)bytes + len};
    json_t *value = read_value(connect, &c);
    if (c.failed == NULL && c.p != c.end)
        cursor_fail(&c, "bytes are left");
    if (c.failed == NULL)
        return value;
    *ret_why = c.failed;
    json_decref(value);
    return NULL;
}
