/* Owns: values made of values under the debezium profile: arrays, hstore, points and PostGIS geometry. See
 * profile.h, change/nested.h. */
#include "change/nested.h"
#include "debezium.h"

/* ---- arrays ---- */

/* All of it becomes NULL. */
static bool no_array(const struct pg_column_reader *r, const char *what, struct datum *ret, struct err *err)
{
    ret->state = DATUM_NULL;
    return dbz_lost(r, what, err);
}

static void begin_block(struct strbuf *body, size_t count)
{
    if (count > 0)
        nested_add_long(body, (int64_t)count);
}

/* As the connector leaves arrays of several dimensions: one NULL for each of the outermost. */
static bool flattened(const struct pg_column_reader *r, const struct array_shape *shape, struct strbuf *body,
                      bool *ret_null, struct err *err)
{
    static const struct datum null_value = {.state = DATUM_NULL};
    if (!dbz_lost(r, "an array of several dimensions", err))
        return false;
    *ret_null = r->elem_required;
    begin_block(body, (size_t)shape->size[0]);
    for (int32_t i = 0; i < shape->size[0]; i++)
        nested_add(body, r->elem, true, &null_value);
    return true;
}

static bool add_elements(const struct pg_column_reader *r, const struct array_shape *shape,
                         struct wire_in *in, struct arena *arena, struct strbuf *body, bool *ret_null,
                         struct err *err)
{
    begin_block(body, shape->count);
    for (size_t i = 0; i < shape->count && !in->failed; i++) {
        struct datum d = {.state = DATUM_NULL};
        uint32_t len = wire_u32(in);
        const unsigned char *p = len != UINT32_MAX ? wire_bytes(in, len) : NULL;
        if (in->failed)
            break;
        if (p != NULL && !r->read_elem(r, p, len, arena, &d, err))
            return false;
        if (d.state == DATUM_NULL && (p != NULL || r->elem_required)) { /* NaN; NULL among labels */
            *ret_null = true;
            return p != NULL || dbz_lost(r, "NULL in an array whose form has none", err);
        }
        nested_add(body, r->elem, !r->elem_required, &d);
    }
    return true;
}

READER(dbz_array)
{
    struct wire_in in = {bytes, len, false};
    struct array_shape shape;
    struct strbuf *body = catalog_body(r->cat);
    bool is_null = false;
    if (!array_shape_read(&in, &shape))
        return dbz_bad(r, err);
    if (shape.dims > 1) {
        if (!flattened(r, &shape, body, &is_null, err))
            return false;
    } else {
        if (shape.count > 0 && shape.lower[0] != 1 &&
            !dbz_lost(r, "an array whose first index is not 1", err))
            return false;
        if (!add_elements(r, &shape, &in, arena, body, &is_null, err))
            return false;
        if (in.failed || (!is_null && in.left != 0))
            return dbz_bad(r, err);
    }
    if (is_null)
        return no_array(r, "an array", ret, err);
    strbuf_addc(body, 0);
    return strbuf_ok(body, "array", err) && dbz_bytes(body->data, body->len, arena, ret, err);
}

/* ---- hstore: int32 count; count × (int32 length, key; int32 length or -1, value) ---- */

static void take_text(struct wire_in *in, struct datum *ret)
{
    uint32_t len = wire_u32(in);
    const unsigned char *p = len != UINT32_MAX ? wire_bytes(in, len) : NULL;
    *ret = (struct datum){.state = p != NULL ? DATUM_VALUE : DATUM_NULL,
                          .s = {(const char *)p, p != NULL ? len : 0}};
}

READER(dbz_hstore_map)
{
    struct wire_in in = {bytes, len, false};
    struct strbuf *body = catalog_scratch(r->cat);
    uint32_t count = wire_u32(&in);
    begin_block(body, count);
    for (uint32_t i = 0; i < count && !in.failed; i++) {
        struct datum key, value;
        take_text(&in, &key);
        take_text(&in, &value);
        in.failed |= key.state == DATUM_NULL;
        if (!in.failed) {
            nested_add(body, PHYS_STRING, false, &key);
            nested_add(body, PHYS_STRING, true, &value);
        }
    }
    if (in.failed || in.left != 0)
        return dbz_bad(r, err);
    strbuf_addc(body, 0);
    return strbuf_ok(body, "hstore", err) && dbz_bytes(body->data, body->len, arena, ret, err);
}

READER(dbz_hstore_json)
{
    struct datum map;
    if (!dbz_hstore_map(r, bytes, len, arena, &map, err))
        return false;
    struct strbuf *text = catalog_scratch(r->cat);
    nested_map_json(text, &map);
    return strbuf_ok(text, "hstore", err) && dbz_bytes(text->data, text->len, arena, ret, err);
}

/* ---- points and geometry ---- */

/* WKB of a point: byte order (1 = little endian), type 1, x, y. */
READER(dbz_point)
{
    struct datum x = {.state = DATUM_VALUE}, y = x, wkb = x, none = {.state = DATUM_NULL};
    unsigned char form[21] = {1, 1, 0, 0, 0};
    if (len != 16)
        return dbz_bad(r, err);
    x.f = load_double(bytes);
    y.f = load_double(bytes + 8);
    for (size_t i = 0; i < 8; i++) {
        form[5 + i] = bytes[7 - i];
        form[13 + i] = bytes[15 - i];
    }
    wkb.s.p = (const char *)form;
    wkb.s.len = sizeof form;
    struct strbuf *body = catalog_scratch(r->cat);
    nested_add(body, PHYS_FLOAT64, false, &x);
    nested_add(body, PHYS_FLOAT64, false, &y);
    nested_add(body, PHYS_BYTES, true, &wkb);
    nested_add(body, PHYS_INT32, true, &none);
    return strbuf_ok(body, "point", err) && dbz_bytes(body->data, body->len, arena, ret, err);
}

#define EWKB_HAS_SRID 0x20000000U

/* EWKB as PostGIS sends it; the srid stands in it as well: byte order, type with flags, srid. */
READER(dbz_geometry)
{
    struct datum wkb = {.state = DATUM_VALUE, .s = {(const char *)bytes, len}}, srid = {.state = DATUM_NULL};
    uint32_t type = 0, number = 0;
    if (len < 5 || bytes[0] > 1)
        return dbz_bad(r, err);
    memcpy(&type, bytes + 1, sizeof type);
    type = bytes[0] == 1 ? le32toh(type) : be32toh(type);
    if ((type & EWKB_HAS_SRID) != 0) {
        if (len < 9)
            return dbz_bad(r, err);
        memcpy(&number, bytes + 5, sizeof number);
        dbz_int(&srid, (int32_t)(bytes[0] == 1 ? le32toh(number) : be32toh(number)));
    }
    struct strbuf *body = catalog_scratch(r->cat);
    nested_add(body, PHYS_BYTES, false, &wkb);
    nested_add(body, PHYS_INT32, true, &srid);
    return strbuf_ok(body, "geometry", err) && dbz_bytes(body->data, body->len, arena, ret, err);
}
