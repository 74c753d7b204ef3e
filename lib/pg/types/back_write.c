/*
 * Owns: values that come back from MariaDB into the columns of PostgreSQL that they were made from (schema/rules.c, lib/target/mariadb): a
 * DATETIME is UTC, a JSON column an array. Only on a way back is that known; see pg_writer_plan_back(). What MariaDB's column takes beyond
 * PostgreSQL's is for each value to show, so types fit that would not elsewhere.
 */
#include <stdio.h>
#include <string.h>

#include "pg/types/read.h"
#include "write_internal.h"

#define ADAPTER(name)                                                                                        \
    static bool name(const struct pg_column_writer *w, const struct field *f, const struct datum *value,     \
                     struct strbuf *room, struct datum *ret, struct err *err)

static bool set_text(struct datum *ret, const struct strbuf *room, struct err *err)
{
    *ret = (struct datum){.state = DATUM_VALUE, .s = {room->data, (uint32_t)room->len}};
    return strbuf_ok(room, "value", err);
}

static bool unfit(const char *sqlstate, const char *why, struct err *err)
{
    err_set(err, ERR_DATA, "%s (SQLSTATE %s)", why, sqlstate);
    memcpy(err->sqlstate, sqlstate, 6);
    return false;
}

/* ---- times ---- */

static bool in_utc(int64_t unix_us, struct strbuf *room, struct datum *ret, struct err *err)
{
    char text[TIME_TEXT_MAX];
    strbuf_add(room, text, iso_timestamp(pg_timestamp_from_unix_us(unix_us), 6, text));
    return set_text(ret, room, err);
}

ADAPTER(micros_in_utc)
{
    (void)w, (void)f;
    return in_utc(value->i, room, ret, err);
}

ADAPTER(millis_in_utc)
{
    (void)w, (void)f;
    int64_t us;
    if (__builtin_mul_overflow(value->i, 1000, &us))
        return err_set(err, ERR_PROTOCOL, "the journal's value is not a time");
    return in_utc(us, room, ret, err);
}

/* MariaDB's TIME goes from -838 to 838 hours. */
ADAPTER(time_of_day)
{
    (void)w, (void)f, (void)room;
    *ret = *value;
    return (value->i >= 0 && value->i <= US_PER_DAY) ||
           unfit("22008", "a time of less than 0 or more than 24 hours, and the column is a time of day",
                 err);
}

/* The server would round in silence. */
ADAPTER(with_few_digits)
{
    (void)f, (void)room;
    const char *p = value->s.p, *end = p + value->s.len;
    *ret = *value;
    for (const char *point = w->digits >= 0 ? memchr(p, '.', value->s.len) : NULL; point != NULL;
         point = memchr(point + 1, '.', (size_t)(end - point - 1))) {
        for (int n = 1; point + n < end && point[n] >= '0' && point[n] <= '9'; n++) {
            if (n > w->digits && point[n] != '0')
                return unfit("22008", "it has more digits behind the second than the column takes", err);
        }
    }
    return true;
}

/* ---- what is kept as bytes or text ---- */

ADAPTER(uuid_of_bytes)
{
    (void)w, (void)f;
    if (value->s.len != 16)
        return unfit("22P02", "the column is a uuid, and these are not 16 bytes", err);
    for (uint32_t i = 0; i < 16; i++)
        strbuf_addf(room, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                    (unsigned)(unsigned char)value->s.p[i]);
    return set_text(ret, room, err);
}

ADAPTER(array_of_json)
{
    (void)f;
    return array_from_json(value, w->delimiter, room, err) && set_text(ret, room, err);
}

/* An INET6 column has IPv4 as ::ffff:a.b.c.d, and apply lets no address in that is written so on PostgreSQL (md_put_inet). */
ADAPTER(without_mapping)
{
    (void)w, (void)room, (void)err;
    static const char mapped[] = "::ffff:";
    const size_t skip = sizeof mapped - 1;
    *ret = *value;
    if (f->source_type == NULL && value->s.len > skip && memcmp(value->s.p, mapped, skip) == 0 &&
        memchr(value->s.p, '.', value->s.len) != NULL)
        *ret = (struct datum){.state = DATUM_VALUE, .s = {value->s.p + skip, value->s.len - (uint32_t)skip}};
    return true;
}

ADAPTER(as_is)
{
    (void)w, (void)f, (void)room, (void)err;
    *ret = *value;
    return true;
}

/* ---- choice ---- */

static const struct back_form {
    enum phys phys;
    const char *semantic; /* NULL = none */
    enum pg_wire wire;    /* of the column on PostgreSQL */
    pg_adapt_fn *adapt;
    enum phys exact_phys;
    const char *exact_semantic;
} forms[] = {
    {PHYS_INT64, "io.debezium.time.MicroTimestamp", PG_WIRE_TIMESTAMPTZ, micros_in_utc, PHYS_STRING,
     "io.debezium.time.ZonedTimestamp"},
    {PHYS_INT64, "io.debezium.time.Timestamp", PG_WIRE_TIMESTAMPTZ, millis_in_utc, PHYS_STRING,
     "io.debezium.time.ZonedTimestamp"},
    {PHYS_INT64, "io.debezium.time.MicroTime", PG_WIRE_TIME, time_of_day, PHYS_INT64,
     "io.debezium.time.MicroTime"},
    {PHYS_BYTES, NULL, PG_WIRE_UUID, uuid_of_bytes, PHYS_STRING, "io.debezium.data.Uuid"},
    {PHYS_STRING, NULL, PG_WIRE_ARRAY, array_of_json, PHYS_STRING, NULL},
    {PHYS_STRING, NULL, PG_WIRE_INET, without_mapping, PHYS_STRING, NULL},
    {PHYS_STRING, NULL, PG_WIRE_INTERVAL, with_few_digits, PHYS_STRING, NULL},
    {PHYS_STRING, NULL, PG_WIRE_TIMETZ, with_few_digits, PHYS_STRING, NULL},
    {PHYS_STRING, NULL, PG_WIRE_MONEY, as_is, PHYS_STRING, NULL},
};

static bool same_semantic(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

pg_adapt_fn *back_adapter(const struct field *f, const struct pg_type *base, struct field *ret_exact)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (forms[i].phys != f->phys || forms[i].wire != base->wire ||
            !same_semantic(forms[i].semantic, f->semantic))
            continue;
        *ret_exact = *f;
        ret_exact->phys = forms[i].exact_phys;
        ret_exact->semantic = (char *)(uintptr_t)forms[i].exact_semantic;
        return forms[i].adapt;
    }
    return foreign_adapter(f, base, ret_exact);
}

static bool is_integer(const struct field *f)
{
    return f->semantic == NULL && (f->phys == PHYS_INT16 || f->phys == PHYS_INT32 || f->phys == PHYS_INT64);
}

static bool is_of(const struct field *f, enum phys phys, const char *semantic)
{
    return f->phys == phys && same_semantic(f->semantic, semantic);
}

/* The writers of these columns look at each value. */
bool back_fits(const struct field *exact, const struct pg_type *base, int32_t typmod)
{
    bool text = is_of(exact, PHYS_STRING, NULL);
    switch (base->wire) {
    case PG_WIRE_UINT4:
        return base->oid == PG_OID_OID && is_integer(exact);
    case PG_WIRE_NUMERIC:
        return is_integer(exact) ||
               (text && exact->source_type != NULL && strcmp(exact->source_type, "NUMERIC") == 0);
    case PG_WIRE_MONEY:
    case PG_WIRE_QCHAR:
    case PG_WIRE_TEXT:
    case PG_WIRE_TIMETZ:
    case PG_WIRE_ARRAY:
        return text && base->kind != PG_KIND_ENUM;
    case PG_WIRE_INTERVAL: /* of another range the server cuts the rest off in silence */
        return text && pg_typmod_interval_range(typmod) == PG_INTERVAL_FULL_RANGE;
    case PG_WIRE_TIME:
        return is_of(exact, PHYS_INT64, "io.debezium.time.MicroTime");
    case PG_WIRE_TIMESTAMP:
        return is_of(exact, PHYS_INT64, "io.debezium.time.MicroTimestamp");
    case PG_WIRE_TIMESTAMPTZ:
        return is_of(exact, PHYS_STRING, "io.debezium.time.ZonedTimestamp");
    case PG_WIRE_UUID:
        return text || is_of(exact, PHYS_STRING, "io.debezium.data.Uuid");
    default:
        return false;
    }
}

bool back_needs_server(const struct field *exact, const struct pg_type *base)
{
    return base->wire == PG_WIRE_TIMETZ && is_of(exact, PHYS_STRING, NULL);
}
