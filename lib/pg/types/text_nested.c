/*
 * Owns: the text form of values made of values: arrays, vectors, ranges, multiranges, composites, hstore. A
 * part is appended to the output as it is, then quoted in place if the form asks for it.
 *
 * Wire forms (all integers big-endian; a part is int32 length, -1 = null, then bytes):
 *   array      int32 ndim, int32 flags, oid element; ndim × (int32 size, int32 lower bound); parts
 *   range      byte flags; a part for each bound that exists
 *   multirange int32 count; parts (ranges)
 *   record     int32 count; count × (oid, part)
 *   hstore     int32 count; count × (part key, part value)
 */
#include <stdio.h>
#include <strings.h>

#include "internal.h"

#define RANGE_EMPTY  0x01
#define RANGE_LB_INC 0x02
#define RANGE_UB_INC 0x04
#define RANGE_LB_INF 0x08
#define RANGE_UB_INF 0x10

/* The rest of a part, its length word already read. NULL bytes with len 0 are fine. */
static bool part(struct text_out *t, uint32_t type, struct wire_in *in, uint32_t len)
{
    const unsigned char *p = wire_bytes(in, len);
    return p == NULL || text_value(t, type, p, len);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Puts what stands from `start` on in double quotes; each `"` and `\` gets a backslash, or is doubled. */
static void quote_from(struct strbuf *out, size_t start, bool doubled)
{
    size_t extra = 2;
    for (size_t i = start; i < out->len; i++)
        extra += out->data[i] == '"' || out->data[i] == '\\';
    if (strbuf_reserve(out, extra) == NULL)
        return;
    char *from = out->data + out->len, *to = from + extra;
    out->len += extra;
    *to = '\0';
    *--to = '"';
    while (from > out->data + start) {
        char c = *--from;
        *--to = c;
        if (c == '"' || c == '\\')
            *--to = doubled ? c : '\\';
    }
    *--to = '"';
}

static bool has_special(const struct strbuf *out, size_t start, const char *special)
{
    for (size_t i = start; i < out->len; i++) {
        char c = out->data[i];
        if (is_blank(c) || (c != '\0' && strchr(special, c) != NULL))
            return true;
    }
    return false;
}

/* ---- arrays ---- */

bool array_shape_read(struct wire_in *in, struct array_shape *shape)
{
    uint32_t dims = wire_u32(in);
    (void)wire_u32(in); /* "has nulls": the elements say so themselves */
    shape->elem = wire_u32(in);
    if (in->failed || dims > ARRAY_DIMS_MAX)
        return false;
    shape->dims = (int)dims;
    shape->count = dims > 0 ? 1 : 0;
    for (int i = 0; i < shape->dims; i++) {
        shape->size[i] = (int32_t)wire_u32(in);
        shape->lower[i] = (int32_t)wire_u32(in);
        /* each element takes 4 bytes at least: no more than what is left */
        if (in->failed || shape->size[i] < 0 ||
            (size_t)shape->size[i] > in->left / 4 / MAX_OF(shape->count, 1) + 8)
            return false;
        shape->count *= (size_t)shape->size[i];
    }
    return true;
}

static bool read_shape(struct text_out *t, struct wire_in *in, struct array_shape *shape)
{
    return array_shape_read(in, shape) || text_bad(t, "array");
}

static void add_bounds(struct text_out *t, const struct array_shape *shape)
{
    bool needed = false;
    for (int i = 0; i < shape->dims; i++)
        needed |= shape->lower[i] != 1;
    if (!needed)
        return;
    for (int i = 0; i < shape->dims; i++)
        strbuf_addf(t->out, "[%d:%d]", shape->lower[i], (int)((int64_t)shape->lower[i] + shape->size[i] - 1));
    strbuf_addc(t->out, '=');
}

static void quote_element(struct strbuf *out, size_t start, const char *special)
{
    size_t len = out->len - start;
    if (len == 0 || has_special(out, start, special) ||
        (len == 4 && strncasecmp(out->data + start, "NULL", 4) == 0))
        quote_from(out, start, false);
}

static bool array_element(struct text_out *t, uint32_t elem, const char *special, struct wire_in *in)
{
    uint32_t len = wire_u32(in);
    if (len == UINT32_MAX) {
        strbuf_adds(t->out, "NULL");
        return true;
    }
    size_t start = t->out->len;
    if (!part(t, elem, in, len))
        return false;
    if (!t->out->failed)
        quote_element(t->out, start, special);
    return true;
}

bool text_array(struct text_out *t, const struct pg_type *type, struct wire_in *in)
{
    struct array_shape shape;
    const struct pg_type *elem;
    if (!read_shape(t, in, &shape) || !pg_type_catalog_get(t->cat, t->conn, shape.elem, &elem, t->err))
        return false;
    if (shape.count == 0) {
        strbuf_adds(t->out, "{}");
        return true;
    }
    const char special[] = {'"', '\\', '{', '}', elem->delim, '\0'};
    add_bounds(t, &shape);
    int32_t index[ARRAY_DIMS_MAX] = {0};
    for (int i = 0; i < shape.dims; i++)
        strbuf_addc(t->out, '{');
    for (size_t n = 0; n < shape.count && !in->failed; n++) {
        if (!array_element(t, shape.elem, special, in))
            return false;
        /* as an odometer: close the dimensions that are full, open as many again */
        int closed = 0;
        for (int d = shape.dims - 1; d >= 0 && ++index[d] == shape.size[d]; d--) {
            index[d] = 0;
            strbuf_addc(t->out, '}');
            closed++;
        }
        if (n + 1 == shape.count)
            break;
        strbuf_addc(t->out, elem->delim);
        while (closed-- > 0)
            strbuf_addc(t->out, '{');
    }
    return true;
}

bool text_vector(struct text_out *t, struct wire_in *in)
{
    struct array_shape shape;
    if (!read_shape(t, in, &shape))
        return false;
    for (size_t n = 0; n < shape.count && !in->failed; n++) {
        if (n > 0)
            strbuf_addc(t->out, ' ');
        uint32_t len = wire_u32(in);
        if (!part(t, shape.elem, in, len))
            return false;
    }
    return true;
}

/* ---- ranges ---- */

static bool range_bound(struct text_out *t, uint32_t subtype, struct wire_in *in)
{
    size_t start = t->out->len;
    uint32_t len = wire_u32(in);
    if (!part(t, subtype, in, len))
        return false;
    if (!t->out->failed && (t->out->len == start || has_special(t->out, start, "\"\\()[],")))
        quote_from(t->out, start, true);
    return true;
}

bool text_range(struct text_out *t, const struct pg_type *type, struct wire_in *in)
{
    unsigned flags = wire_u8(in);
    if ((flags & RANGE_EMPTY) != 0) {
        strbuf_adds(t->out, "empty");
        return true;
    }
    strbuf_addc(t->out, (flags & RANGE_LB_INC) != 0 ? '[' : '(');
    if ((flags & RANGE_LB_INF) == 0 && !range_bound(t, type->range_subtype, in))
        return false;
    strbuf_addc(t->out, ',');
    if ((flags & RANGE_UB_INF) == 0 && !range_bound(t, type->range_subtype, in))
        return false;
    strbuf_addc(t->out, (flags & RANGE_UB_INC) != 0 ? ']' : ')');
    return true;
}

bool text_multirange(struct text_out *t, const struct pg_type *type, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    strbuf_addc(t->out, '{');
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_addc(t->out, ',');
        uint32_t len = wire_u32(in);
        if (!part(t, type->range_subtype, in, len))
            return false;
    }
    strbuf_addc(t->out, '}');
    return true;
}

/* ---- composites and hstore ---- */

bool text_record(struct text_out *t, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    strbuf_addc(t->out, '(');
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_addc(t->out, ',');
        uint32_t type = wire_u32(in), len = wire_u32(in);
        if (len == UINT32_MAX)
            continue;
        size_t start = t->out->len;
        if (!part(t, type, in, len))
            return false;
        if (!t->out->failed && (t->out->len == start || has_special(t->out, start, "\"\\(),")))
            quote_from(t->out, start, true);
    }
    strbuf_addc(t->out, ')');
    return true;
}

static void hstore_string(struct text_out *t, struct wire_in *in, uint32_t len)
{
    const unsigned char *p = wire_bytes(in, len);
    size_t start = t->out->len;
    if (p == NULL)
        return;
    strbuf_add(t->out, p, len);
    if (!t->out->failed)
        quote_from(t->out, start, false);
}

bool text_hstore(struct text_out *t, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_adds(t->out, ", ");
        hstore_string(t, in, wire_u32(in));
        strbuf_adds(t->out, "=>");
        uint32_t len = wire_u32(in);
        if (len == UINT32_MAX)
            strbuf_adds(t->out, "NULL");
        else
            hstore_string(t, in, len);
    }
    return true;
}
