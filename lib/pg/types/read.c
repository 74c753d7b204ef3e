/* Owns: binary values → datums. One function per way of reading, chosen once per column. See read.h. */
#include "pg/types/read.h"

#include <stdio.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "internal.h"

/* ---- timestamps: see read.h for why this is a bijection ---- */

#define WRAPPED_INFINITY       (INT64_MIN + PG_EPOCH_US - 1)
#define WRAPPED_MINUS_INFINITY (INT64_MIN + PG_EPOCH_US)

static int64_t swap_marks(int64_t us)
{
    switch (us) {
    case INT64_MAX:
        return WRAPPED_INFINITY;
    case WRAPPED_INFINITY:
        return INT64_MAX;
    case INT64_MIN:
        return WRAPPED_MINUS_INFINITY;
    case WRAPPED_MINUS_INFINITY:
        return INT64_MIN;
    default:
        return us;
    }
}

int64_t pg_timestamp_to_unix_us(int64_t pg_us)
{
    return swap_marks((int64_t)((uint64_t)pg_us + (uint64_t)PG_EPOCH_US));
}

int64_t pg_timestamp_from_unix_us(int64_t unix_us)
{
    return (int64_t)((uint64_t)swap_marks(unix_us) - (uint64_t)PG_EPOCH_US);
}

/* ---- values ---- */

static bool bad_length(const struct pg_column_reader *r, uint32_t len, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "a binary value of %u bytes is not a %s", len, r->source_type);
}

static bool no_room(uint32_t len, struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "no room for a value of %u bytes in the message's memory", len);
}

static void set_int(struct datum *ret, int64_t v)
{
    ret->state = DATUM_VALUE;
    ret->i = v;
}

static void set_string(struct datum *ret, const void *p, size_t len)
{
    ret->state = DATUM_VALUE;
    ret->s.p = (const char *)p;
    ret->s.len = (uint32_t)len;
}

static bool set_copy(struct datum *ret, const char *text, size_t len, struct arena *arena, struct err *err)
{
    char *p = len <= UINT32_MAX ? arena_copy(arena, text, len) : NULL;
    if (p == NULL)
        return no_room((uint32_t)len, err);
    set_string(ret, p, len);
    return true;
}

#define READER(name)                                                                                         \
    static bool name(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,             \
                     struct arena *arena, struct datum *ret, struct err *err)

READER(read_bool)
{
    if (len != 1)
        return bad_length(r, len, err);
    set_int(ret, bytes[0] != 0);
    return true;
}

READER(read_int2)
{
    if (len != 2)
        return bad_length(r, len, err);
    set_int(ret, (int16_t)load_be16(bytes));
    return true;
}

READER(read_int4)
{
    if (len != 4)
        return bad_length(r, len, err);
    set_int(ret, (int32_t)load_be32(bytes));
    return true;
}

READER(read_int8)
{
    if (len != 8)
        return bad_length(r, len, err);
    set_int(ret, (int64_t)load_be64(bytes));
    return true;
}

READER(read_oid)
{
    if (len != 4)
        return bad_length(r, len, err);
    set_int(ret, load_be32(bytes));
    return true;
}

READER(read_float4)
{
    if (len != 4)
        return bad_length(r, len, err);
    ret->state = DATUM_VALUE;
    ret->f = (double)load_float(bytes);
    return true;
}

READER(read_float8)
{
    if (len != 8)
        return bad_length(r, len, err);
    ret->state = DATUM_VALUE;
    ret->f = load_double(bytes);
    return true;
}

READER(read_same_bytes)
{
    set_string(ret, bytes, len);
    return true;
}

READER(read_versioned_text)
{
    if (len < 1 || bytes[0] != 1)
        return err_set(err, ERR_PROTOCOL, "a %s has a version that is not known (1 was expected)",
                       r->source_type);
    set_string(ret, bytes + 1, len - 1);
    return true;
}

READER(read_numeric)
{
    size_t room = numeric_text_room(bytes, len);
    char *p = room > 0 ? arena_alloc(arena, room) : NULL;
    if (room == 0)
        return bad_length(r, len, err);
    if (p == NULL)
        return no_room((uint32_t)room, err);
    size_t n = numeric_text(bytes, p);
    if (n == 0)
        return err_set(err, ERR_PROTOCOL, "the bytes of a %s do not parse", r->source_type);
    set_string(ret, p, n);
    return true;
}

READER(read_money)
{
    char text[32];
    if (len != 8)
        return bad_length(r, len, err);
    return set_copy(ret, text, money_text((int64_t)load_be64(bytes), text), arena, err);
}

READER(read_date)
{
    if (len != 4)
        return bad_length(r, len, err);
    int32_t days = (int32_t)load_be32(bytes);
    bool infinite = days == INT32_MAX || days == INT32_MIN;
    if (!infinite && (days < PG_DATE_MIN || days >= PG_DATE_END))
        return err_set(err, ERR_PROTOCOL, "a date is out of the server's range");
    set_int(ret, infinite ? days : days + PG_EPOCH_DAYS);
    return true;
}

READER(read_time)
{
    int64_t us = len == 8 ? (int64_t)load_be64(bytes) : -1;
    if (us < 0 || us > US_PER_DAY)
        return bad_length(r, len, err);
    set_int(ret, us);
    return true;
}

static bool load_timestamp(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,
                           int64_t *ret, struct err *err)
{
    if (len != 8)
        return bad_length(r, len, err);
    int64_t us = (int64_t)load_be64(bytes);
    if (us != INT64_MAX && us != INT64_MIN && (us < PG_TS_MIN || us >= PG_TS_END))
        return err_set(err, ERR_PROTOCOL, "a timestamp is out of the server's range");
    *ret = us;
    return true;
}

READER(read_timestamp)
{
    int64_t us = 0;
    if (!load_timestamp(r, bytes, len, &us, err))
        return false;
    set_int(ret, pg_timestamp_to_unix_us(us));
    return true;
}

READER(read_timestamptz)
{
    int64_t us = 0;
    char text[TIME_TEXT_MAX];
    if (!load_timestamp(r, bytes, len, &us, err))
        return false;
    return set_copy(ret, text, iso_timestamp(us, r->digits, text), arena, err);
}

READER(read_timetz)
{
    char text[TIME_TEXT_MAX];
    int64_t us = len == 12 ? (int64_t)load_be64(bytes) : -1;
    int32_t zone = len == 12 ? (int32_t)load_be32(bytes + 8) : 0;
    if (us < 0 || us > US_PER_DAY || zone <= -PG_ZONE_MAX || zone >= PG_ZONE_MAX)
        return bad_length(r, len, err);
    return set_copy(ret, text, iso_timetz(us, zone, text), arena, err);
}

READER(read_interval)
{
    char text[TIME_TEXT_MAX];
    if (len != 16)
        return bad_length(r, len, err);
    int32_t days = (int32_t)load_be32(bytes + 8), months = (int32_t)load_be32(bytes + 12);
    return set_copy(ret, text, iso_interval((int64_t)load_be64(bytes), days, months, r->interval_marks, text),
                    arena, err);
}

READER(read_uuid)
{
    static const char hex[] = "0123456789abcdef";
    char *text = len == 16 ? arena_alloc(arena, 36) : NULL;
    if (len != 16)
        return bad_length(r, len, err);
    if (text == NULL)
        return no_room(36, err);
    char *p = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[bytes[i] >> 4];
        *p++ = hex[bytes[i] & 15];
    }
    set_string(ret, text, 36);
    return true;
}

READER(read_qchar)
{
    if (len != 1)
        return bad_length(r, len, err);
    if (bytes[0] < 128) {
        set_string(ret, bytes, bytes[0] != 0);
        return true;
    }
    char text[8];
    return set_copy(ret, text, (size_t)snprintf(text, sizeof text, "\\%03o", bytes[0]), arena, err);
}

/* Everything that goes as the server's text form. */
READER(read_as_text)
{
    struct strbuf *text = catalog_scratch(r->cat);
    return text_exact(r->cat, r->conn, r->oid, bytes, len, text, err) &&
           set_copy(ret, text->data, text->len, arena, err);
}

/* A type that never comes in binary form. */
READER(read_never)
{
    return err_set(err, ERR_PROTOCOL, "a %s came in binary form, which it does not have", r->source_type);
}

pg_read_fn *types_exact_reader(const struct pg_type *base)
{
    static pg_read_fn *const table[PG_WIRE_MAX_] = {
        [PG_WIRE_NONE] = read_never,
        [PG_WIRE_BOOL] = read_bool,
        [PG_WIRE_BYTEA] = read_same_bytes,
        [PG_WIRE_QCHAR] = read_qchar,
        [PG_WIRE_TEXT] = read_same_bytes,
        [PG_WIRE_INT2] = read_int2,
        [PG_WIRE_INT4] = read_int4,
        [PG_WIRE_INT8] = read_int8,
        [PG_WIRE_FLOAT4] = read_float4,
        [PG_WIRE_FLOAT8] = read_float8,
        [PG_WIRE_NUMERIC] = read_numeric,
        [PG_WIRE_MONEY] = read_money,
        [PG_WIRE_DATE] = read_date,
        [PG_WIRE_TIME] = read_time,
        [PG_WIRE_TIMETZ] = read_timetz,
        [PG_WIRE_TIMESTAMP] = read_timestamp,
        [PG_WIRE_TIMESTAMPTZ] = read_timestamptz,
        [PG_WIRE_INTERVAL] = read_interval,
        [PG_WIRE_UUID] = read_uuid,
        [PG_WIRE_VERSIONED_TEXT] = read_versioned_text,
    };
    if (base->oid == PG_OID_OID)
        return read_oid;
    return table[base->wire] != NULL ? table[base->wire] : read_as_text;
}

bool pg_reader_plan(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int32_t typmod,
                    struct pg_column_reader *ret, struct err *err)
{
    const struct pg_type *declared, *base;
    if (!pg_type_catalog_known(cat, conn, oid, err) || !pg_type_catalog_get(cat, conn, oid, &declared, err) ||
        !pg_type_catalog_base(cat, conn, oid, &typmod, &base, err))
        return false;
    struct pg_column_reader r = {.cat = cat, .conn = conn, .oid = base->oid};
    if (!types_describe(&r, declared, base, typmod, err))
        return false;
    r.read = types_exact_reader(base);
    r.as_text = !base->has_binary;
    r.digits = pg_typmod_time_digits(typmod);
    r.interval_marks = interval_marks(conn);
    *ret = r;
    return true;
}

bool pg_read_text(const struct pg_column_reader *r, const void *bytes, uint32_t len, struct arena *arena,
                  struct datum *ret, struct err *err)
{
    /* A server with `binary` sends text only for types without a send function. */
    if (!r->as_text)
        return err_set(err, ERR_PROTOCOL, "a %s came as text, binary form was asked for", r->source_type);
    if (r->text_encoding != NULL)
        return debezium_encode_text(r, bytes, len, arena, ret, err);
    set_string(ret, bytes, len);
    return true;
}

void pg_reader_field(const struct pg_column_reader *r, const char *name, bool optional, bool key,
                     struct field *ret)
{
    *ret = (struct field){.name = xstrdup(name),
                          .phys = r->phys,
                          .semantic = r->semantic != NULL ? xstrdup(r->semantic) : NULL,
                          .optional = optional,
                          .key = key,
                          .source_type = xstrdup(r->source_type),
                          .source_length = r->source_length,
                          .source_scale = r->source_scale,
                          .source_typmod = r->source_typmod,
                          .lossy = r->lossy,
                          .elem = r->elem,
                          .elem_required = r->elem_required,
                          .decimal_scale = r->decimal_scale,
                          .decimal_precision = r->decimal_precision,
                          .bits_length = r->bits_length,
                          .allowed = r->allowed != NULL ? xstrdup(r->allowed) : NULL,
                          .text_encoding = r->text_encoding != NULL ? xstrdup(r->text_encoding) : NULL};
}
