/* Owns: nested values and scalars between JSON and datums. See json_nested.h. */
#include "change/json_nested.h"

#include <string.h>

#include "change/avro_wire.h"
#include "change/json_write.h"

/* --- writing --- */

static void put_member(struct strbuf *out, enum phys phys, const struct datum *d)
{
    if (d->state == DATUM_NULL)
        strbuf_add(out, "null", 4);
    else
        json_put_scalar(out, phys, d);
}

static void put_struct(struct strbuf *out, struct nested_reader *r, const struct nested_struct *shape)
{
    struct datum members[NESTED_MEMBERS_MAX];
    nested_members(r, shape, members);
    for (size_t i = 0; i < shape->count && r->failed == NULL; i++) {
        strbuf_addc(out, i == 0 ? '{' : ',');
        json_put_string(out, shape->members[i].name, strlen(shape->members[i].name));
        strbuf_addc(out, ':');
        put_member(out, shape->members[i].phys, &members[i]);
    }
    strbuf_addc(out, '}');
}

static void put_map(struct strbuf *out, struct nested_reader *r)
{
    struct datum key, value;
    bool first = true;
    strbuf_addc(out, '{');
    for (; nested_next_entry(r, &key, &value); first = false) {
        if (!first)
            strbuf_addc(out, ',');
        json_put_string(out, key.s.p, key.s.len);
        strbuf_addc(out, ':');
        put_member(out, PHYS_STRING, &value);
    }
    strbuf_addc(out, '}');
}

static void put_body(struct strbuf *out, enum phys phys, const char *semantic, const struct datum *d)
{
    struct nested_reader r;
    if (phys != PHYS_MAP && phys != PHYS_STRUCT) {
        json_put_scalar(out, phys, d);
        return;
    }
    nested_open(&r, d->s.p, d->s.len);
    if (phys == PHYS_MAP)
        put_map(out, &r);
    else
        put_struct(out, &r, nested_struct_find(semantic));
    out->failed |= r.failed != NULL;
}

static void put_array(struct strbuf *out, const struct field *f, const struct datum *d)
{
    struct nested_reader r;
    struct datum element;
    bool first = true;
    nested_open(&r, d->s.p, d->s.len);
    strbuf_addc(out, '[');
    for (; nested_next(&r, f, &element); first = false) {
        if (!first)
            strbuf_addc(out, ',');
        if (element.state == DATUM_NULL)
            strbuf_add(out, "null", 4);
        else
            put_body(out, f->elem, f->semantic, &element);
    }
    strbuf_addc(out, ']');
    out->failed |= !nested_at_end(&r);
}

void json_put_nested(struct strbuf *out, const struct field *f, const struct datum *d)
{
    if (f->phys == PHYS_ARRAY)
        put_array(out, f, d);
    else
        put_body(out, f->phys, f->semantic, d);
}

/* --- reading --- */

/* A body on its way into the arena. JSON is never less than a fifth as long: a double of one digit and its
 * comma take two bytes there, and nine here. */
struct body {
    uint8_t *to;
    const uint8_t *end;
};

static bool body_begin(struct json_reader *jr, struct body *b, uint8_t **ret_start)
{
    struct json_reader ahead = *jr;
    json_skip(&ahead);
    size_t room = 5 * (size_t)(ahead.p - jr->p) + 64;
    b->to = *ret_start = ahead.failed == NULL ? arena_alloc(jr->arena, room) : NULL;
    b->end = b->to + room;
    if (b->to == NULL)
        json_fail(jr, ahead.failed != NULL ? ahead.failed : "row is larger than its memory limit");
    return b->to != NULL;
}

static void add_scalar(struct json_reader *jr, struct body *b, enum phys phys, const struct datum *d)
{
    bool sized = phys == PHYS_STRING || phys == PHYS_BYTES;
    if (jr->failed != NULL)
        return;
    if ((size_t)(b->end - b->to) < AVRO_LONG_MAX + (sized ? (size_t)d->s.len : 0)) {
        json_fail(jr, "a nested value is larger than its text allows");
        return;
    }
    if (sized)
        b->to = put_bytes(b->to, d->s.p, d->s.len);
    else if (phys == PHYS_BOOL)
        *b->to++ = d->i != 0;
    else if (phys == PHYS_FLOAT32)
        b->to = put_float(b->to, (float)d->f);
    else if (phys == PHYS_FLOAT64)
        b->to = put_double(b->to, d->f);
    else
        b->to = put_long(b->to, d->i);
}

static void add_byte(struct json_reader *jr, struct body *b, uint8_t v)
{
    if (b->to < b->end)
        *b->to++ = v;
    else
        json_fail(jr, "a nested value is larger than its text allows");
}

static void take_member(struct json_reader *jr, struct body *b, enum phys phys, bool optional)
{
    struct datum d;
    if (optional && json_take_null(jr)) {
        add_byte(jr, b, 0);
        return;
    }
    if (optional)
        add_byte(jr, b, 2);
    json_take_scalar(jr, phys, &d);
    add_scalar(jr, b, phys, &d);
}

/* Members in the order of the shape, as every writer of such structs has them. */
static void take_struct(struct json_reader *jr, struct body *b, const struct nested_struct *shape)
{
    const char *name;
    size_t len, n = 0;
    bool first = true;
    json_open(jr, '{');
    for (; json_member(jr, &first, &name, &len); n++) {
        if (shape == NULL || n >= shape->count || strlen(shape->members[n].name) != len ||
            memcmp(shape->members[n].name, name, len) != 0) {
            json_fail(jr, "a struct has another member than its schema");
            return;
        }
        take_member(jr, b, shape->members[n].phys, shape->members[n].optional);
    }
    for (; jr->failed == NULL && shape != NULL && n < shape->count; n++) {
        if (!shape->members[n].optional)
            json_fail(jr, "a struct lacks a member");
        add_byte(jr, b, 0);
    }
}

static void take_map(struct json_reader *jr, struct body *b)
{
    struct datum key = {.state = DATUM_VALUE};
    size_t len;
    bool first = true;
    json_open(jr, '{');
    while (json_member(jr, &first, &key.s.p, &len)) {
        key.s.len = (uint32_t)len;
        add_byte(jr, b, 2); /* a block of one */
        add_scalar(jr, b, PHYS_STRING, &key);
        take_member(jr, b, PHYS_STRING, true);
    }
    add_byte(jr, b, 0);
}

static void take_body(struct json_reader *jr, struct body *b, enum phys phys, const char *semantic)
{
    if (phys == PHYS_MAP)
        take_map(jr, b);
    else if (phys == PHYS_STRUCT)
        take_struct(jr, b, nested_struct_find(semantic));
    else
        take_member(jr, b, phys, false);
}

static void take_array(struct json_reader *jr, struct body *b, const struct field *f)
{
    bool first = true;
    json_open(jr, '[');
    while (json_element(jr, &first)) {
        add_byte(jr, b, 2); /* a block of one */
        if (!f->elem_required && json_take_null(jr)) {
            add_byte(jr, b, 0);
            continue;
        }
        if (!f->elem_required)
            add_byte(jr, b, 2);
        take_body(jr, b, f->elem, f->semantic);
    }
    add_byte(jr, b, 0);
}

void json_take_nested(struct json_reader *jr, const struct field *f, struct datum *ret)
{
    struct body b;
    uint8_t *start;
    ret->state = DATUM_VALUE;
    ret->s.p = "";
    ret->s.len = 0;
    if (!body_begin(jr, &b, &start))
        return;
    if (f->phys == PHYS_ARRAY)
        take_array(jr, &b, f);
    else
        take_body(jr, &b, f->phys, f->semantic);
    ret->s.p = (const char *)start;
    ret->s.len = (uint32_t)(b.to - start);
}

/* --- maps alone --- */

void nested_map_json(struct strbuf *out, const struct datum *map)
{
    put_body(out, PHYS_MAP, NULL, map);
}

bool nested_map_from_json(const char *text, size_t len, struct arena *arena, struct datum *ret)
{
    static const struct field map = {.phys = PHYS_MAP};
    struct json_reader jr;
    json_reader_init(&jr, text, len, arena);
    json_take_nested(&jr, &map, ret);
    json_end(&jr);
    return jr.failed == NULL;
}
