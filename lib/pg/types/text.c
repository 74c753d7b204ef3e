/* Owns: the text form of scalar values, and the way to the files that know the others. See text.h. */
#include "pg/types/text.h"

#include <stdio.h>

#include "internal.h"

bool text_bad(struct text_out *t, const char *what)
{
    return err_set(t->err, ERR_PROTOCOL, "the bytes of a %s do not parse", what);
}

static void add_uint(struct text_out *t, uint64_t v)
{
    char digits[20], *p = digits + sizeof digits;
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    strbuf_add(t->out, p, (size_t)(digits + sizeof digits - p));
}

static void add_int(struct text_out *t, int64_t v)
{
    if (v < 0)
        strbuf_addc(t->out, '-');
    add_uint(t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void add_digits(struct text_out *t, const char hex[16], const unsigned char *p, size_t n)
{
    char *to = n <= SIZE_MAX / 2 ? strbuf_reserve(t->out, 2 * n) : NULL;
    if (to == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        *to++ = hex[p[i] >> 4];
        *to++ = hex[p[i] & 15];
    }
    t->out->len += 2 * n;
    *to = '\0';
}

static void add_hex(struct text_out *t, const unsigned char *p, size_t n)
{
    add_digits(t, "0123456789abcdef", p, n);
}

static void add_rest(struct text_out *t, struct wire_in *in)
{
    size_t n = in->left;
    strbuf_add(t->out, wire_bytes(in, n), n);
}

static void add_qchar(struct text_out *t, unsigned c)
{
    if (c >= 128)
        strbuf_addf(t->out, "\\%03o", c);
    else if (c != 0)
        strbuf_addc(t->out, (char)c);
}

static bool add_numeric(struct text_out *t, struct wire_in *in)
{
    size_t room = numeric_text_room(in->p, in->left);
    if (room == 0)
        return text_bad(t, "numeric");
    char *to = strbuf_reserve(t->out, room);
    if (to == NULL)
        return true; /* the buffer is full: seen at the end */
    size_t n = numeric_text(in->p, to);
    if (n == 0)
        return text_bad(t, "numeric");
    t->out->len += n;
    to[n] = '\0';
    (void)wire_bytes(in, in->left);
    return true;
}

static void add_uuid(struct text_out *t, struct wire_in *in)
{
    static const unsigned char parts[] = {4, 2, 2, 2, 6};
    for (size_t i = 0; i < sizeof parts; i++) {
        const unsigned char *p = wire_bytes(in, parts[i]);
        if (p == NULL)
            return;
        if (i > 0)
            strbuf_addc(t->out, '-');
        add_hex(t, p, parts[i]);
    }
}

static bool add_bits(struct text_out *t, struct wire_in *in)
{
    uint32_t n = wire_u32(in);
    const unsigned char *p = wire_bytes(in, ((size_t)n + 7) / 8);
    if (p == NULL || in->left != 0)
        return text_bad(t, "bit string");
    char *to = strbuf_reserve(t->out, n);
    if (to == NULL)
        return true;
    for (uint32_t i = 0; i < n; i++)
        to[i] = (p[i / 8] >> (7 - i % 8) & 1) != 0 ? '1' : '0';
    to[n] = '\0';
    t->out->len += n;
    return true;
}

static bool add_snapshot(struct text_out *t, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    add_uint(t, wire_u64(in));
    strbuf_addc(t->out, ':');
    add_uint(t, wire_u64(in));
    strbuf_addc(t->out, ':');
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_addc(t->out, ',');
        add_uint(t, wire_u64(in));
    }
    return true;
}

static void add_date_time(struct text_out *t, enum pg_wire wire, struct wire_in *in)
{
    char text[TIME_TEXT_MAX];
    size_t n = 0;
    int64_t us;
    if (wire == PG_WIRE_DATE) {
        int32_t days = (int32_t)wire_u32(in);
        n = date_text(days, text);
    } else if (wire == PG_WIRE_TIME) {
        us = (int64_t)wire_u64(in);
        in->failed |= us < 0 || us > US_PER_DAY;
        n = in->failed ? 0 : time_text(us, text);
    } else if (wire == PG_WIRE_TIMETZ) {
        us = (int64_t)wire_u64(in);
        int32_t zone = (int32_t)wire_u32(in);
        in->failed |= us < 0 || us > US_PER_DAY || zone <= -PG_ZONE_MAX || zone >= PG_ZONE_MAX;
        n = in->failed ? 0 : timetz_text(us, zone, text);
    } else if (wire == PG_WIRE_INTERVAL) {
        us = (int64_t)wire_u64(in);
        int32_t days = (int32_t)wire_u32(in);
        n = interval_text(us, days, (int32_t)wire_u32(in), interval_marks(t->conn), text);
    } else {
        us = (int64_t)wire_u64(in);
        n = timestamp_text(us, wire == PG_WIRE_TIMESTAMPTZ, text);
    }
    strbuf_add(t->out, text, n);
}

static void add_float(struct text_out *t, enum pg_wire wire, struct wire_in *in)
{
    char text[FLOAT_TEXT_MAX];
    size_t n;
    if (wire == PG_WIRE_FLOAT8) {
        n = float8_text(wire_double(in), text);
    } else {
        const unsigned char *p = wire_bytes(in, 4);
        n = p != NULL ? float4_text(load_float(p), text) : 0;
    }
    strbuf_add(t->out, text, n);
}

/* What has the same text in every type that has this wire form. False = error set. */
static bool add_scalar(struct text_out *t, enum pg_wire wire, struct wire_in *in)
{
    switch (wire) {
    case PG_WIRE_BOOL:
        strbuf_addc(t->out, wire_u8(in) != 0 ? 't' : 'f');
        return true;
    case PG_WIRE_BYTEA:
        strbuf_adds(t->out, "\\x");
        add_hex(t, in->p, in->left);
        (void)wire_bytes(in, in->left);
        return true;
    case PG_WIRE_EWKB:
        add_digits(t, "0123456789ABCDEF", in->p, in->left);
        (void)wire_bytes(in, in->left);
        return true;
    case PG_WIRE_QCHAR:
        add_qchar(t, wire_u8(in));
        return true;
    case PG_WIRE_NONE: /* comes as text */
    case PG_WIRE_TEXT:
        add_rest(t, in);
        return true;
    case PG_WIRE_VERSIONED_TEXT:
        if (wire_u8(in) != 1)
            return err_set(t->err, ERR_PROTOCOL,
                           "a value's binary form has a version that is not known (1 was expected)");
        add_rest(t, in);
        return true;
    case PG_WIRE_INT2:
        add_int(t, (int16_t)wire_u16(in));
        return true;
    case PG_WIRE_INT4:
        add_int(t, (int32_t)wire_u32(in));
        return true;
    case PG_WIRE_INT8:
        add_int(t, (int64_t)wire_u64(in));
        return true;
    case PG_WIRE_UINT4:
        add_uint(t, wire_u32(in));
        return true;
    case PG_WIRE_UINT8:
        add_uint(t, wire_u64(in));
        return true;
    case PG_WIRE_FLOAT4:
    case PG_WIRE_FLOAT8:
        add_float(t, wire, in);
        return true;
    case PG_WIRE_NUMERIC:
        return add_numeric(t, in);
    case PG_WIRE_MONEY:
        return text_money(t, in);
    case PG_WIRE_DATE:
    case PG_WIRE_TIME:
    case PG_WIRE_TIMETZ:
    case PG_WIRE_TIMESTAMP:
    case PG_WIRE_TIMESTAMPTZ:
    case PG_WIRE_INTERVAL:
        add_date_time(t, wire, in);
        return true;
    case PG_WIRE_UUID:
        add_uuid(t, in);
        return true;
    case PG_WIRE_BIT:
        return add_bits(t, in);
    case PG_WIRE_INET:
        return text_inet(t, in);
    case PG_WIRE_MACADDR:
        return text_macaddr(t, in);
    case PG_WIRE_LSN: {
        uint64_t lsn = wire_u64(in);
        strbuf_addf(t->out, "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
        return true;
    }
    case PG_WIRE_TID: {
        uint32_t block = wire_u32(in);
        strbuf_addf(t->out, "(%u,%u)", block, (unsigned)wire_u16(in));
        return true;
    }
    case PG_WIRE_SNAPSHOT:
        return add_snapshot(t, in);
    case PG_WIRE_POINT:
    case PG_WIRE_LSEG:
    case PG_WIRE_BOX:
    case PG_WIRE_LINE:
    case PG_WIRE_PATH:
    case PG_WIRE_POLYGON:
    case PG_WIRE_CIRCLE:
        return text_geometry(t, wire, in);
    case PG_WIRE_TSVECTOR:
        return text_tsvector(t, in);
    case PG_WIRE_TSQUERY:
        return text_tsquery(t, in);
    case PG_WIRE_VECTOR:
        return text_vector(t, in);
    case PG_WIRE_HSTORE:
        return text_hstore(t, in);
    case PG_WIRE_RECORD:
        return text_record(t, in);
    case PG_WIRE_UNKNOWN:
    case PG_WIRE_REG:
    case PG_WIRE_ARRAY:
    case PG_WIRE_RANGE:
    case PG_WIRE_MULTIRANGE:
    case PG_WIRE_MAX_:
        break;
    }
    return err_set(t->err, ERR_UNSUPPORTED, "a value has a binary form that is not known here");
}

bool text_value(struct text_out *t, uint32_t oid, const unsigned char *bytes, size_t len)
{
    const struct pg_type *type;
    if (!pg_type_catalog_base(t->cat, t->conn, oid, NULL, &type, t->err))
        return false;
    if (++t->depth > TYPES_DEPTH_MAX)
        return err_set(t->err, ERR_UNSUPPORTED, "a value of type %s is nested deeper than %d", type->name,
                       TYPES_DEPTH_MAX);
    struct wire_in in = {bytes, len, false};
    bool ok;
    if (type->wire == PG_WIRE_ARRAY)
        ok = text_array(t, type, &in);
    else if (type->wire == PG_WIRE_RANGE)
        ok = text_range(t, type, &in);
    else if (type->wire == PG_WIRE_MULTIRANGE)
        ok = text_multirange(t, type, &in);
    else if (type->wire == PG_WIRE_REG)
        ok = text_reg(t, type, wire_u32(&in));
    else
        ok = add_scalar(t, type->wire, &in);
    t->depth--;
    if (!ok)
        return err_wrap(t->err, "type %s", type->name);
    return (!in.failed && in.left == 0) || text_bad(t, type->name);
}

bool text_exact(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, const void *bytes,
                uint32_t len, struct strbuf *out, struct err *err)
{
    struct text_out t = {.cat = cat, .conn = conn, .out = out, .exact = true, .err = err};
    return text_value(&t, oid, (const unsigned char *)bytes, len) &&
           strbuf_ok(out, "text form of a value", err);
}

bool pg_value_to_text(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, const void *bytes,
                      uint32_t len, struct strbuf *out, struct err *err)
{
    struct text_out t = {.cat = cat, .conn = conn, .out = out, .err = err};
    return text_value(&t, oid, (const unsigned char *)bytes, len) &&
           strbuf_ok(out, "text form of a value", err);
}
