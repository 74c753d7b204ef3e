/* Owns: the bytes of nested values, and stand-ins. See nested.h. */
#include "change/nested.h"

#include "change/avro_wire.h"
#include "change/envelope.h"

static const struct nested_struct structs[] = {
    {SEMANTIC_VARIABLE,
     "Variable scaled decimal",
     2,
     {{"scale", PHYS_INT32, false}, {"value", PHYS_BYTES, false}}},
    {SEMANTIC_POINT,
     "Geometry (POINT)",
     4,
     {{"x", PHYS_FLOAT64, false},
      {"y", PHYS_FLOAT64, false},
      {"wkb", PHYS_BYTES, true},
      {"srid", PHYS_INT32, true}}},
    {SEMANTIC_GEOMETRY, "Geometry", 2, {{"wkb", PHYS_BYTES, false}, {"srid", PHYS_INT32, true}}},
};

const struct nested_struct *nested_struct_find(const char *semantic)
{
    for (size_t i = 0; semantic != NULL && i < ARRAY_LEN(structs); i++) {
        if (strcmp(structs[i].semantic, semantic) == 0)
            return &structs[i];
    }
    return NULL;
}

/* --- making --- */

void nested_add_long(struct strbuf *out, int64_t v)
{
    uint8_t bytes[AVRO_LONG_MAX];
    strbuf_add(out, bytes, (size_t)(put_long(bytes, v) - bytes));
}

void nested_add(struct strbuf *out, enum phys phys, bool optional, const struct datum *d)
{
    uint8_t bytes[AVRO_LONG_MAX];
    if (optional)
        strbuf_addc(out, d->state == DATUM_NULL ? 0 : 2);
    if (d->state == DATUM_NULL)
        return;
    switch (phys) {
    case PHYS_BOOL:
        strbuf_addc(out, d->i != 0);
        return;
    case PHYS_INT16:
    case PHYS_INT32:
    case PHYS_INT64:
        nested_add_long(out, d->i);
        return;
    case PHYS_FLOAT32:
        strbuf_add(out, bytes, (size_t)(put_float(bytes, (float)d->f) - bytes));
        return;
    case PHYS_FLOAT64:
        strbuf_add(out, bytes, (size_t)(put_double(bytes, d->f) - bytes));
        return;
    case PHYS_STRING:
    case PHYS_BYTES:
        nested_add_long(out, d->s.len);
        strbuf_add(out, d->s.p, d->s.len);
        return;
    case PHYS_ARRAY:
    case PHYS_STRUCT:
    case PHYS_MAP:
        strbuf_add(out, d->s.p, d->s.len);
        return;
    case PHYS_UNKNOWN:
    case PHYS_MAX_:
        break;
    }
    BUG("physical type %d", (int)phys);
}

/* --- reading --- */

static struct avro_cursor cursor_of(const struct nested_reader *r)
{
    return (struct avro_cursor){.p = r->p, .end = r->end, .failed = r->failed};
}

static void put_back(struct nested_reader *r, const struct avro_cursor *c)
{
    r->p = c->p;
    r->failed = c->failed;
}

void nested_open(struct nested_reader *r, const void *body, size_t len)
{
    *r = (struct nested_reader){.p = body, .end = (const unsigned char *)body + len};
}

static bool enter(struct avro_cursor *c, bool optional)
{
    if (!optional)
        return true;
    int64_t branch = get_long(c);
    if (branch != 0 && branch != 1)
        cursor_fail(c, "union branch out of range");
    return branch == 1;
}

static void take_scalar(struct avro_cursor *c, enum phys phys, struct datum *d)
{
    if (!get_scalar(c, phys, d))
        cursor_fail(c, "a nested value of a type without a form");
}

static void take_member(struct avro_cursor *c, const struct nested_member *m, struct datum *ret)
{
    ret->state = enter(c, m->optional) ? DATUM_VALUE : DATUM_NULL;
    if (ret->state == DATUM_VALUE)
        take_scalar(c, m->phys, ret);
}

/* Advances to the next element of the block at hand, or of the next block. */
static bool next_element(struct avro_cursor *c, int64_t *block)
{
    if (*block == 0) {
        *block = get_long(c);
        if (*block < 0) { /* with its size in bytes */
            *block = *block == INT64_MIN ? INT64_MAX : -*block;
            (void)get_long(c);
        }
    }
    if (*block == 0 || c->failed != NULL)
        return false;
    if (c->p == c->end) { /* an element takes at least a byte */
        cursor_fail(c, "record is cut short");
        return false;
    }
    --*block;
    return true;
}

static void take_entry(struct avro_cursor *c, struct datum *key, struct datum *value)
{
    static const struct nested_member text = {.phys = PHYS_STRING, .optional = true};
    key->state = DATUM_VALUE;
    take_scalar(c, PHYS_STRING, key);
    take_member(c, &text, value);
}

static void skip_map(struct avro_cursor *c)
{
    struct datum key, value;
    for (int64_t block = 0; next_element(c, &block);)
        take_entry(c, &key, &value);
}

static void take_element(struct avro_cursor *c, const struct field *f, struct datum *ret)
{
    const uint8_t *start;
    struct datum ignored;
    ret->state = enter(c, !f->elem_required) ? DATUM_VALUE : DATUM_NULL;
    if (ret->state == DATUM_NULL)
        return;
    if (f->elem != PHYS_STRUCT && f->elem != PHYS_MAP) {
        take_scalar(c, f->elem, ret);
        return;
    }
    start = c->p;
    const struct nested_struct *shape = nested_struct_find(f->semantic);
    if (f->elem == PHYS_MAP)
        skip_map(c);
    else if (shape == NULL)
        cursor_fail(c, "a struct of unknown shape");
    for (size_t i = 0; f->elem == PHYS_STRUCT && shape != NULL && i < shape->count; i++)
        take_member(c, &shape->members[i], &ignored);
    ret->s.p = (const char *)start;
    ret->s.len = (uint32_t)(c->p - start);
}

bool nested_next(struct nested_reader *r, const struct field *f, struct datum *ret)
{
    struct avro_cursor c = cursor_of(r);
    bool more = next_element(&c, &r->block);
    if (more)
        take_element(&c, f, ret);
    put_back(r, &c);
    return more && r->failed == NULL;
}

bool nested_next_entry(struct nested_reader *r, struct datum *ret_key, struct datum *ret_value)
{
    struct avro_cursor c = cursor_of(r);
    bool more = next_element(&c, &r->block);
    if (more)
        take_entry(&c, ret_key, ret_value);
    put_back(r, &c);
    return more && r->failed == NULL;
}

void nested_members(struct nested_reader *r, const struct nested_struct *shape,
                    struct datum ret[NESTED_MEMBERS_MAX])
{
    struct avro_cursor c = cursor_of(r);
    for (size_t i = 0; i < shape->count; i++)
        take_member(&c, &shape->members[i], &ret[i]);
    put_back(r, &c);
}

bool nested_at_end(const struct nested_reader *r)
{
    return r->failed == NULL && r->p == r->end;
}

bool nested_valid(const struct field *f, const void *body, size_t len)
{
    struct nested_reader r;
    struct datum d[NESTED_MEMBERS_MAX];
    nested_open(&r, body, len);
    if (f->phys == PHYS_ARRAY) {
        while (nested_next(&r, f, &d[0]))
            continue;
    } else if (f->phys == PHYS_MAP) {
        while (nested_next_entry(&r, &d[0], &d[1]))
            continue;
    } else {
        const struct nested_struct *shape = nested_struct_find(f->semantic);
        if (shape == NULL)
            return false;
        nested_members(&r, shape, d);
    }
    return nested_at_end(&r);
}

/* --- stand-ins --- */

#define PLACEHOLDER_UUID "b68a35a7-17ad-35b3-af2a-ae46edb4545a"

static bool means(const struct field *f, const char *semantic)
{
    return f->semantic != NULL && strcmp(f->semantic, semantic) == 0;
}

static struct datum text_datum(const char *p, size_t len)
{
    return (struct datum){.state = DATUM_VALUE, .s = {p, (uint32_t)len}};
}

/* [placeholder]; for integers the codes of its letters, as the connector's Java code has it. */
static struct datum array_stand_in(const struct field *f, char room[NESTED_STAND_IN_MAX])
{
    uint8_t *start = (uint8_t *)room, *to = start;
    bool integers = f->elem == PHYS_INT16 || f->elem == PHYS_INT32 || f->elem == PHYS_INT64;
    const char *text = means(f, "io.debezium.data.Uuid") ? PLACEHOLDER_UUID : UNAVAILABLE_TEXT;
    if (!integers && f->elem != PHYS_STRING && (f->elem != PHYS_BYTES || means(f, SEMANTIC_DECIMAL)))
        return (struct datum){.state = DATUM_NULL};
    to = put_long(to, integers ? (int64_t)UNAVAILABLE_LEN : 1);
    for (size_t i = 0; i < (integers ? UNAVAILABLE_LEN : 1); i++) {
        if (!f->elem_required)
            *to++ = 2;
        to = integers ? put_long(to, UNAVAILABLE_TEXT[i]) : put_bytes(to, text, strlen(text));
    }
    *to++ = 0;
    return text_datum(room, (size_t)(to - start));
}

static struct datum map_stand_in(char room[NESTED_STAND_IN_MAX])
{
    uint8_t *start = (uint8_t *)room, *to = put_long(start, 1);
    to = put_bytes(to, UNAVAILABLE_TEXT, UNAVAILABLE_LEN);
    *to++ = 2;
    to = put_bytes(to, UNAVAILABLE_TEXT, UNAVAILABLE_LEN);
    *to++ = 0;
    return text_datum(room, (size_t)(to - start));
}

struct datum nested_stand_in(const struct field *f, char room[NESTED_STAND_IN_MAX])
{
    static const char hstore[] = "{\"" UNAVAILABLE_TEXT "\":\"" UNAVAILABLE_TEXT "\"}";
    struct datum d = {.state = DATUM_NULL};
    bool is_hstore = f->source_type != NULL && strcmp(f->source_type, "HSTORE") == 0;
    if (f->phys == PHYS_STRING && is_hstore && means(f, "io.debezium.data.Json"))
        d = text_datum(hstore, sizeof hstore - 1);
    else if (f->phys == PHYS_STRING || (f->phys == PHYS_BYTES && f->semantic == NULL))
        d = text_datum(UNAVAILABLE_TEXT, UNAVAILABLE_LEN);
    else if (f->phys == PHYS_ARRAY)
        d = array_stand_in(f, room);
    else if (f->phys == PHYS_MAP)
        d = map_stand_in(room);
    return d.state == DATUM_NULL && !f->optional ? nested_empty(f) : d;
}

static bool same_scalar(enum phys phys, const struct datum *a, const struct datum *b)
{
    if (a->state != b->state || a->state != DATUM_VALUE)
        return false;
    if (phys == PHYS_STRING || phys == PHYS_BYTES)
        return a->s.len == b->s.len && memcmp(a->s.p, b->s.p, a->s.len) == 0;
    return phys < PHYS_FLOAT32 && a->i == b->i;
}

bool nested_is_stand_in(const struct field *f, const struct datum *d)
{
    char room[NESTED_STAND_IN_MAX];
    struct datum stand_in = f->phys == PHYS_ARRAY || f->phys == PHYS_MAP
                                ? nested_stand_in(f, room)
                                : (struct datum){.state = DATUM_NULL};
    struct nested_reader a, b;
    struct datum x[2], y[2];
    size_t count = 0;
    if (stand_in.state != DATUM_VALUE)
        return false;
    nested_open(&a, d->s.p, d->s.len);
    nested_open(&b, stand_in.s.p, stand_in.s.len);
    if (f->phys == PHYS_MAP)
        return nested_next_entry(&a, &x[0], &x[1]) && nested_next_entry(&b, &y[0], &y[1]) &&
               same_scalar(PHYS_STRING, &x[0], &y[0]) && same_scalar(PHYS_STRING, &x[1], &y[1]);
    while (nested_next(&b, f, &y[0])) {
        if (!nested_next(&a, f, &x[0]) || !same_scalar(f->elem, &x[0], &y[0]))
            return false;
        count++;
    }
    return count > 0 && !nested_next(&a, f, &x[0]) && a.failed == NULL;
}

struct datum nested_empty(const struct field *f)
{
    /* an empty block; a point at (0,0) without the rest; no bytes and no srid */
    static const char zeros[8 + 8 + 1 + 1] = {0};
    /* scale 0, one byte 0: a number of no bytes is none for a converter, which would refuse the record */
    static const char zero_number[] = {0, 2, 0};
    switch (f->phys) {
    case PHYS_FLOAT32:
    case PHYS_FLOAT64:
        return (struct datum){.state = DATUM_VALUE, .f = 0};
    case PHYS_STRING:
    case PHYS_BYTES:
        return text_datum(zeros, means(f, SEMANTIC_DECIMAL));
    case PHYS_ARRAY:
    case PHYS_MAP:
        return text_datum(zeros, 1);
    case PHYS_STRUCT:
        if (means(f, SEMANTIC_VARIABLE))
            return text_datum(zero_number, sizeof zero_number);
        return text_datum(zeros, means(f, SEMANTIC_POINT) ? sizeof zeros : 2);
    default:
        return (struct datum){.state = DATUM_VALUE, .i = 0};
    }
}
