/*
 * Owns: datums → bytes of PostgreSQL, binary and text. Everything is checked here again: the journal is not
 * trusted, and the server's receive functions round and cut in silence where a column has a modifier.
 */
#include <stdio.h>

#include "core/clock.h"
#include "pg/types/read.h"
#include "write_internal.h"

#define WRITER(name)                                                                                         \
    static bool name(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,        \
                     struct err *err)

static bool not_a(const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "the journal's value is not a %s", what);
}

static bool would_change(const char *how, struct err *err)
{
    return err_set(err, ERR_DATA, "the column would change the value: %s", how);
}

/* Others' text may hold one; PostgreSQL's cannot, and as a parameter in text form it would end the value. */
static bool no_zero_byte(const struct datum *value, struct err *err)
{
    if (value->s.len == 0 || memchr(value->s.p, '\0', value->s.len) == NULL)
        return true;
    err_set(err, ERR_DATA, "the text holds a zero byte, which PostgreSQL's text cannot");
    if (err != NULL)
        memcpy(err->sqlstate, "22021", 6);
    return false;
}

static void add_byte(struct strbuf *out, unsigned v)
{
    strbuf_addc(out, (char)v);
}

/* strbuf_add without a call where there is room: most values are a few bytes. */
static inline void add_few(struct strbuf *out, const void *bytes, size_t n)
{
    if (!out->failed && out->len + n < out->cap && out->len + n <= out->max) {
        memcpy(out->data + out->len, bytes, n);
        out->len += n;
        out->data[out->len] = '\0';
    } else {
        strbuf_add(out, bytes, n);
    }
}

static inline void add_be32(struct strbuf *out, uint32_t v)
{
    v = htobe32(v);
    add_few(out, &v, sizeof v);
}

static inline void add_be64(struct strbuf *out, uint64_t v)
{
    v = htobe64(v);
    add_few(out, &v, sizeof v);
}

static bool int_in(const struct datum *value, int64_t low, int64_t high, const char *what, struct err *err)
{
    return (value->i >= low && value->i <= high) || not_a(what, err);
}

WRITER(put_bool)
{
    add_byte(out, value->i != 0);
    return int_in(value, 0, 1, "boolean", err);
}

WRITER(put_int2)
{
    strbuf_add_be16(out, (uint16_t)value->i);
    return int_in(value, INT16_MIN, INT16_MAX, "16-bit integer", err);
}

WRITER(put_int4)
{
    add_be32(out, (uint32_t)value->i);
    return int_in(value, INT32_MIN, INT32_MAX, "32-bit integer", err);
}

WRITER(put_int8)
{
    add_be64(out, (uint64_t)value->i);
    return true;
}

WRITER(put_oid)
{
    add_be32(out, (uint32_t)value->i);
    return int_in(value, 0, UINT32_MAX, "oid", err);
}

static void add_float(struct strbuf *out, float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    add_be32(out, bits);
}

static void add_double(struct strbuf *out, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    add_be64(out, bits);
}

WRITER(put_float4)
{
    float f = (float)value->f;
    add_float(out, f);
    return (double)f == value->f || value->f != value->f || not_a("32-bit float", err);
}

WRITER(put_float8)
{
    add_double(out, value->f);
    return true;
}

WRITER(put_int_as_float4)
{
    add_float(out, (float)value->i);
    return int_in(value, INT16_MIN, INT16_MAX, "16-bit integer", err);
}

WRITER(put_int_as_float8)
{
    add_double(out, (double)value->i);
    return int_in(value, INT32_MIN, INT32_MAX, "32-bit integer", err);
}

WRITER(put_bytes)
{
    strbuf_add(out, value->s.p, value->s.len);
    return true;
}

static size_t characters(const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)p[i] & 0xc0) != 0x80;
    return n;
}

WRITER(put_text)
{
    if (w->limit >= 0 && value->s.len > (size_t)w->limit &&
        characters(value->s.p, value->s.len) > (size_t)w->limit)
        return would_change("it has more characters than the column takes", err);
    add_few(out, value->s.p, value->s.len);
    return no_zero_byte(value, err);
}

WRITER(put_name)
{
    if (value->s.len > 63)
        return would_change("a name has at most 63 bytes", err);
    strbuf_add(out, value->s.p, value->s.len);
    return true;
}

WRITER(put_jsonb)
{
    add_byte(out, 1);
    strbuf_add(out, value->s.p, value->s.len);
    return true;
}

WRITER(put_qchar)
{
    const unsigned char *p = (const unsigned char *)value->s.p;
    if (value->s.len == 4 && p[0] == '\\' && p[1] <= '3' && p[1] >= '2' && (p[2] & ~7U) == '0' &&
        (p[3] & ~7U) == '0')
        add_byte(out, (p[1] - '0') * 64U + (p[2] - '0') * 8U + (p[3] - '0'));
    else if (value->s.len == 0 || (value->s.len == 1 && p[0] < 128))
        add_byte(out, value->s.len == 0 ? 0 : p[0]);
    else
        return not_a("\"char\"", err);
    return true;
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

WRITER(put_uuid)
{
    const unsigned char *p = (const unsigned char *)value->s.p;
    unsigned char bytes[16];
    if (value->s.len != 36)
        return not_a("uuid", err);
    for (int i = 0, at = 0; i < 16; i++, at += 2) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && p[at++] != '-')
            return not_a("uuid", err);
        int high = hex_value(p[at]), low = hex_value(p[at + 1]);
        if (high < 0 || low < 0)
            return not_a("uuid", err);
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    add_few(out, bytes, sizeof bytes);
    return true;
}

WRITER(put_numeric)
{
    return numeric_from_text(value->s.p, value->s.len, w->limit, w->digits, out, err);
}

WRITER(put_int_as_numeric)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value->i);
    return numeric_from_text(text, (size_t)n, w->limit, w->digits, out, err);
}

WRITER(put_money)
{
    int64_t cents = 0;
    if (!money_from_text(value->s.p, value->s.len, &cents, err))
        return false;
    add_be64(out, (uint64_t)cents);
    return true;
}

/* ---- dates and times ---- */

static bool date_of(const struct datum *value, int32_t *ret, struct err *err)
{
    if (value->i == INT32_MAX || value->i == INT32_MIN) {
        *ret = (int32_t)value->i;
        return true;
    }
    if (value->i < PG_DATE_MIN + PG_EPOCH_DAYS || value->i >= (int64_t)PG_DATE_END + PG_EPOCH_DAYS)
        return not_a("date in PostgreSQL's range", err);
    *ret = (int32_t)(value->i - PG_EPOCH_DAYS);
    return true;
}

static bool timestamp_of(const struct datum *value, int64_t *ret, struct err *err)
{
    int64_t us = pg_timestamp_from_unix_us(value->i);
    if (us != INT64_MAX && us != INT64_MIN && (us < PG_TS_MIN || us >= PG_TS_END))
        return not_a("timestamp in PostgreSQL's range", err);
    *ret = us;
    return true;
}

static bool keeps_digits(int64_t us, int digits, struct err *err)
{
    static const int unit[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    return digits < 0 || digits >= 6 || us % unit[digits] == 0 ||
           would_change("it has more digits behind the second than the column takes", err);
}

WRITER(put_date)
{
    int32_t days = 0;
    if (!date_of(value, &days, err))
        return false;
    add_be32(out, (uint32_t)days);
    return true;
}

WRITER(put_time)
{
    add_be64(out, (uint64_t)value->i);
    return int_in(value, 0, US_PER_DAY, "time of day", err) && keeps_digits(value->i, w->digits, err);
}

WRITER(put_timetz)
{
    int64_t us;
    int32_t zone;
    if (!iso_timetz_parse(value->s.p, value->s.len, &us, &zone))
        return not_a("time with time zone", err);
    add_be64(out, (uint64_t)us);
    add_be32(out, (uint32_t)zone);
    return keeps_digits(us, w->digits, err);
}

static bool put_instant(const struct pg_column_writer *w, int64_t us, struct strbuf *out, struct err *err)
{
    add_be64(out, (uint64_t)us);
    return us == INT64_MAX || us == INT64_MIN || keeps_digits(us, w->digits, err);
}

WRITER(put_timestamp)
{
    int64_t us = 0;
    return timestamp_of(value, &us, err) && put_instant(w, us, out, err);
}

WRITER(put_timestamptz)
{
    int64_t us;
    if (!iso_timestamp_parse(value->s.p, value->s.len, &us))
        return not_a("timestamp in UTC like 2024-02-29T13:14:15.123456Z in PostgreSQL's range", err);
    return put_instant(w, us, out, err);
}

/* Bits of an interval's fields in its modifier (the server's INTERVAL_MASK). */
enum {
    FIELD_MONTH = 1 << 1,
    FIELD_YEAR = 1 << 2,
    FIELD_DAY = 1 << 3,
    FIELD_HOUR = 1 << 10,
    FIELD_MINUTE = 1 << 11,
    FIELD_SECOND = 1 << 12
};

/* The server cuts what lies right of the last field; it never cuts to the left (AdjustIntervalForTypmod). */
static bool interval_keeps(int range, int64_t us, int32_t days, int32_t months)
{
    if (range == PG_INTERVAL_FULL_RANGE || (range & FIELD_SECOND) != 0)
        return true;
    if ((range & FIELD_MINUTE) != 0)
        return us % TYPES_SECONDS(60) == 0;
    if ((range & FIELD_HOUR) != 0)
        return us % TYPES_SECONDS(3600) == 0;
    if ((range & FIELD_DAY) != 0)
        return us == 0;
    return us == 0 && days == 0 && ((range & FIELD_MONTH) != 0 || months % 12 == 0);
}

WRITER(put_interval)
{
    int64_t us;
    int32_t days, months;
    bool infinite;
    if (!iso_interval_parse(value->s.p, value->s.len, &us, &days, &months, &infinite))
        return not_a("interval like P1Y2M3DT4H5M6.789012S", err);
    if (infinite != (w->interval_marks && interval_is_infinite(us, days, months)))
        return would_change(infinite ? "servers before 17 have no infinite intervals"
                                     : "servers from 17 on take this interval for an infinite one",
                            err);
    if (!infinite && !interval_keeps(w->limit, us, days, months))
        return would_change("the interval has parts smaller than the column's last field", err);
    add_be64(out, (uint64_t)us);
    add_be32(out, (uint32_t)days);
    add_be32(out, (uint32_t)months);
    return infinite || keeps_digits(us, w->digits, err);
}

/* ---- text forms, by encoding ---- */

WRITER(text_of_bool)
{
    strbuf_adds(out, value->i != 0 ? "true" : "false");
    return true;
}

WRITER(text_of_int)
{
    strbuf_addf(out, "%lld", (long long)value->i);
    return true;
}

WRITER(text_of_float4)
{
    char text[FLOAT_TEXT_MAX];
    strbuf_add(out, text, float4_text((float)value->f, text));
    return true;
}

WRITER(text_of_float8)
{
    char text[FLOAT_TEXT_MAX];
    strbuf_add(out, text, float8_text(value->f, text));
    return true;
}

WRITER(text_of_bytes)
{
    static const char hex[] = "0123456789abcdef";
    strbuf_adds(out, "\\x");
    for (uint32_t i = 0; i < value->s.len; i++) {
        unsigned char c = (unsigned char)value->s.p[i];
        strbuf_addc(out, hex[c >> 4]);
        strbuf_addc(out, hex[c & 15]);
    }
    return true;
}

WRITER(text_of_string)
{
    strbuf_add(out, value->s.p, value->s.len);
    return no_zero_byte(value, err);
}

WRITER(text_of_date)
{
    char text[TIME_TEXT_MAX];
    int32_t days = 0;
    if (!date_of(value, &days, err))
        return false;
    strbuf_add(out, text, date_text(days, text));
    return true;
}

WRITER(text_of_time)
{
    char text[TIME_TEXT_MAX];
    if (!int_in(value, 0, US_PER_DAY, "time of day", err))
        return false;
    strbuf_add(out, text, time_text(value->i, text));
    return true;
}

WRITER(text_of_timestamp)
{
    char text[TIME_TEXT_MAX];
    int64_t us = 0;
    if (!timestamp_of(value, &us, err))
        return false;
    strbuf_add(out, text, timestamp_text(us, false, text));
    return true;
}

WRITER(text_of_timestamptz)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    if (!iso_timestamp_parse(value->s.p, value->s.len, &us))
        return not_a("timestamp in UTC like 2024-02-29T13:14:15.123456Z in PostgreSQL's range", err);
    strbuf_add(out, text, timestamp_text(us, true, text));
    return true;
}

WRITER(text_of_timetz)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    int32_t zone;
    if (!iso_timetz_parse(value->s.p, value->s.len, &us, &zone))
        return not_a("time with time zone", err);
    strbuf_add(out, text, timetz_text(us, zone, text));
    return true;
}

WRITER(text_of_interval)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    int32_t days, months;
    bool infinite;
    if (!iso_interval_parse(value->s.p, value->s.len, &us, &days, &months, &infinite))
        return not_a("interval like P1Y2M3DT4H5M6.789012S", err);
    strbuf_add(out, text, interval_text(us, days, months, infinite, text));
    return true;
}

bool write_text_without_escapes(const struct pg_column_writer *w, const struct datum *value,
                                struct strbuf *out, struct err *err)
{
    const char *p = value->s.p;
    for (uint32_t i = 2; i < value->s.len; i++) { /* an element "\\203", quoted for the array */
        if (p[i - 2] == '\\' && p[i - 1] == '\\' && p[i] >= '0' && p[i] <= '3')
            return err_set(err, ERR_DATA,
                           "an array of \"char\" holds a byte above 127, which servers before 16 do not read "
                           "back from text");
    }
    return text_of_string(w, value, out, err);
}

/* ---- choice ---- */

WRITER(put_via_text)
{
    return w->text(w, value, out, err);
}

const struct encoding *encoding_find(enum phys phys, const char *semantic)
{
    static const struct encoding table[] = {
        {PHYS_BOOL, NULL, PG_OID_BOOL, text_of_bool},
        {PHYS_INT16, NULL, PG_OID_INT2, text_of_int},
        {PHYS_INT32, NULL, PG_OID_INT4, text_of_int},
        {PHYS_INT64, NULL, PG_OID_INT8, text_of_int},
        {PHYS_FLOAT32, NULL, PG_OID_FLOAT4, text_of_float4},
        {PHYS_FLOAT64, NULL, PG_OID_FLOAT8, text_of_float8},
        {PHYS_BYTES, NULL, PG_OID_BYTEA, text_of_bytes},
        {PHYS_STRING, NULL, 0, text_of_string},
        {PHYS_INT32, "io.debezium.time.Date", PG_OID_DATE, text_of_date},
        {PHYS_INT64, "io.debezium.time.MicroTime", PG_OID_TIME, text_of_time},
        {PHYS_INT64, "io.debezium.time.MicroTimestamp", PG_OID_TIMESTAMP, text_of_timestamp},
        {PHYS_STRING, "io.debezium.time.ZonedTimestamp", PG_OID_TIMESTAMPTZ, text_of_timestamptz},
        {PHYS_STRING, "io.debezium.time.ZonedTime", PG_OID_TIMETZ, text_of_timetz},
        {PHYS_STRING, "io.debezium.time.Interval", PG_OID_INTERVAL, text_of_interval},
        {PHYS_STRING, "io.debezium.data.Json", PG_OID_JSON, text_of_string},
        {PHYS_STRING, "io.debezium.data.Xml", PG_OID_XML, text_of_string},
        {PHYS_STRING, "io.debezium.data.Uuid", PG_OID_UUID, text_of_string},
        {PHYS_STRING, "io.debezium.data.Enum", 0, text_of_string},
        {PHYS_STRING, "io.debezium.data.Ltree", 0, text_of_string},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool same = semantic == NULL ? table[i].semantic == NULL
                                     : table[i].semantic != NULL && strcmp(table[i].semantic, semantic) == 0;
        if (table[i].phys == phys && same)
            return &table[i];
    }
    return NULL;
}

static pg_write_fn *text_column_writer(const struct encoding *enc, const struct pg_type *target)
{
    if (target->oid == PG_OID_NAME)
        return put_name;
    return enc->text == text_of_string ? put_text : put_via_text;
}

pg_write_fn *binary_writer(const struct encoding *enc, const struct pg_type *target)
{
    bool is_int = enc->text == text_of_int;
    switch (target->wire) {
    case PG_WIRE_BOOL:
        return put_bool;
    case PG_WIRE_INT2:
        return put_int2;
    case PG_WIRE_INT4:
        return put_int4;
    case PG_WIRE_INT8:
        return put_int8;
    case PG_WIRE_UINT4:
        return target->oid == PG_OID_OID ? put_oid : NULL;
    case PG_WIRE_FLOAT4:
        return is_int ? put_int_as_float4 : put_float4;
    case PG_WIRE_FLOAT8:
        return is_int ? put_int_as_float8 : put_float8;
    case PG_WIRE_NUMERIC:
        return is_int ? put_int_as_numeric : put_numeric;
    case PG_WIRE_MONEY:
        return put_money;
    case PG_WIRE_BYTEA:
        return put_bytes;
    case PG_WIRE_QCHAR:
        return put_qchar;
    case PG_WIRE_TEXT:
        return text_column_writer(enc, target);
    case PG_WIRE_VERSIONED_TEXT:
        return target->oid == PG_OID_JSONB ? put_jsonb : NULL;
    case PG_WIRE_UUID:
        return put_uuid;
    case PG_WIRE_DATE:
        return put_date;
    case PG_WIRE_TIME:
        return put_time;
    case PG_WIRE_TIMETZ:
        return put_timetz;
    case PG_WIRE_TIMESTAMP:
        return put_timestamp;
    case PG_WIRE_TIMESTAMPTZ:
        return put_timestamptz;
    case PG_WIRE_INTERVAL:
        return put_interval;
    default:
        return NULL;
    }
}
