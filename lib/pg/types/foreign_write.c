/*
 * Owns: values that Debezium's connectors wrote, where the column of the target decides what they become: a
 * MariaDB TIME is an interval there, a TINYINT a boolean. See write.h; what does not depend on the target is in
 * debezium_write.c.
 */
#include <stdio.h>
#include <string.h>

#include "change/nested.h"
#include "write_internal.h"

#define ADAPTER(name)                                                                                        \
    static bool name(const struct pg_column_writer *w, const struct field *f, const struct datum *value,     \
                     struct strbuf *room, struct datum *ret, struct err *err)

static bool set_text(struct datum *ret, const struct strbuf *room, struct err *err)
{
    *ret = (struct datum){.state = DATUM_VALUE, .s = {room->data, (uint32_t)room->len}};
    return strbuf_ok(room, "value", err);
}

ADAPTER(as_is)
{
    (void)w, (void)f, (void)room, (void)err;
    *ret = *value;
    return true;
}

/* ---- numbers ---- */

ADAPTER(int_to_bool)
{
    (void)w, (void)f, (void)room;
    *ret = *value;
    return value->i == 0 || value->i == 1 ||
           err_set(err, ERR_DATA, "the number %lld is neither 0 nor 1, and the column is boolean",
                   (long long)value->i);
}

ADAPTER(bool_to_int)
{
    (void)w, (void)f, (void)room, (void)err;
    *ret = (struct datum){.state = DATUM_VALUE, .i = value->i != 0};
    return true;
}

ADAPTER(bool_to_bit)
{
    (void)w, (void)f;
    strbuf_addc(room, value->i != 0 ? '1' : '0');
    return set_text(ret, room, err);
}

ADAPTER(unsigned_to_numeric)
{
    (void)w, (void)f;
    strbuf_addf(room, "%llu", (unsigned long long)value->i);
    return set_text(ret, room, err);
}

ADAPTER(unsigned_to_int)
{
    (void)w, (void)f, (void)room;
    *ret = *value;
    return value->i >= 0 ||
           err_set(err, ERR_DATA, "the unsigned number %llu does not fit bigint: use numeric(20)",
                   (unsigned long long)value->i);
}

/* ---- times ---- */

ADAPTER(nanos)
{
    (void)w, (void)f, (void)room;
    *ret = (struct datum){.state = DATUM_VALUE, .i = value->i / 1000};
    return value->i % 1000 == 0 ||
           err_set(err, ERR_DATA, "the time has nanoseconds, of which the column has none");
}

static bool span(int64_t us, struct strbuf *room, struct datum *ret, struct err *err)
{
    char text[TIME_TEXT_MAX];
    strbuf_add(room, text, iso_interval(us, 0, 0, false, text));
    return set_text(ret, room, err);
}

ADAPTER(micros_to_interval)
{
    (void)w, (void)f;
    return span(value->i, room, ret, err);
}

ADAPTER(millis_to_interval)
{
    (void)w, (void)f;
    return span(value->i * 1000, room, ret, err);
}

/* "2024-02-29Z": a Z stands behind what has no zone. */
ADAPTER(iso_without_zone)
{
    (void)w, (void)f;
    strbuf_add(room, value->s.p, value->s.len - (value->s.len > 0 && value->s.p[value->s.len - 1] == 'Z'));
    return set_text(ret, room, err);
}

/* ---- texts ---- */

/* What PostgreSQL calls a number that is none, as the connector's string mode has it. */
ADAPTER(number_words)
{
    static const char *const words[][2] = {
        {"NAN", "NaN"}, {"POSITIVE_INFINITY", "Infinity"}, {"NEGATIVE_INFINITY", "-Infinity"}};
    (void)w, (void)f, (void)room, (void)err;
    *ret = *value;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strlen(words[i][0]) == value->s.len && memcmp(words[i][0], value->s.p, value->s.len) == 0)
            *ret = (struct datum){.state = DATUM_VALUE, .s = {words[i][1], (uint32_t)strlen(words[i][1])}};
    }
    return true;
}

/* The connector's stream has labels as its schema lists them, its snapshot as they are. */
ADAPTER(label)
{
    (void)w, (void)f;
    for (uint32_t i = 0; i < value->s.len; i++) {
        bool escape = value->s.p[i] == '\\' && i + 1 < value->s.len && value->s.p[i + 1] == ',';
        strbuf_addc(room, value->s.p[i + escape]);
        i += escape;
    }
    return set_text(ret, room, err);
}

/* ---- choice ---- */

struct foreign_form {
    enum phys phys;
    const char *semantic; /* NULL = none */
    enum pg_wire wire;    /* of the target; UNKNOWN = any */
    pg_adapt_fn *adapt;
    enum phys exact_phys;
    const char *exact_semantic;
};

#define MICRO_TIME      "io.debezium.time.MicroTime"
#define MICRO_TIMESTAMP "io.debezium.time.MicroTimestamp"
#define INTERVAL_TEXT   "io.debezium.time.Interval"

static const struct foreign_form forms[] = {
    {PHYS_INT16, NULL, PG_WIRE_BOOL, int_to_bool, PHYS_BOOL, NULL},
    {PHYS_INT32, NULL, PG_WIRE_BOOL, int_to_bool, PHYS_BOOL, NULL},
    {PHYS_BOOL, NULL, PG_WIRE_INT2, bool_to_int, PHYS_INT16, NULL},
    {PHYS_BOOL, NULL, PG_WIRE_INT4, bool_to_int, PHYS_INT16, NULL},
    {PHYS_BOOL, NULL, PG_WIRE_INT8, bool_to_int, PHYS_INT16, NULL},
    {PHYS_BOOL, NULL, PG_WIRE_BIT, bool_to_bit, PHYS_STRING, NULL},
    {PHYS_INT32, "io.debezium.time.Year", PG_WIRE_UNKNOWN, as_is, PHYS_INT32, NULL},
    {PHYS_INT64, MICRO_TIME, PG_WIRE_INTERVAL, micros_to_interval, PHYS_STRING, INTERVAL_TEXT},
    {PHYS_INT32, "io.debezium.time.Time", PG_WIRE_INTERVAL, millis_to_interval, PHYS_STRING, INTERVAL_TEXT},
    {PHYS_INT32, "org.apache.kafka.connect.data.Time", PG_WIRE_INTERVAL, millis_to_interval, PHYS_STRING,
     INTERVAL_TEXT},
    {PHYS_INT64, "io.debezium.time.NanoTime", PG_WIRE_UNKNOWN, nanos, PHYS_INT64, MICRO_TIME},
    {PHYS_INT64, "io.debezium.time.NanoTimestamp", PG_WIRE_UNKNOWN, nanos, PHYS_INT64, MICRO_TIMESTAMP},
    {PHYS_STRING, "io.debezium.time.IsoDate", PG_WIRE_UNKNOWN, iso_without_zone, PHYS_STRING, NULL},
    {PHYS_STRING, "io.debezium.time.IsoTime", PG_WIRE_UNKNOWN, iso_without_zone, PHYS_STRING, NULL},
    {PHYS_STRING, "io.debezium.time.IsoTimestamp", PG_WIRE_UNKNOWN, iso_without_zone, PHYS_STRING, NULL},
    {PHYS_STRING, "io.debezium.data.EnumSet", PG_WIRE_UNKNOWN, as_is, PHYS_STRING, NULL},
    {PHYS_STRING, NULL, PG_WIRE_NUMERIC, number_words, PHYS_STRING, NULL},
};

static const struct foreign_form *find_form(const struct field *f, const struct pg_type *base)
{
    static const struct foreign_form number = {.adapt = unsigned_to_numeric, .exact_phys = PHYS_STRING};
    static const struct foreign_form integer = {.adapt = unsigned_to_int, .exact_phys = PHYS_INT64};
    static const struct foreign_form escaped = {
        .adapt = label, .exact_phys = PHYS_STRING, .exact_semantic = "io.debezium.data.Enum"};
    if (f->labels_escaped)
        return &escaped;
    if (f->unsigned_wraps && f->semantic == NULL)
        return base->wire == PG_WIRE_INT8 ? &integer : &number;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const struct foreign_form *form = &forms[i];
        bool same = form->semantic == NULL ? f->semantic == NULL
                                           : f->semantic != NULL && strcmp(form->semantic, f->semantic) == 0;
        if (form->phys == f->phys && same && (form->wire == PG_WIRE_UNKNOWN || form->wire == base->wire))
            return form;
    }
    return NULL;
}

pg_adapt_fn *foreign_adapter(const struct field *f, const struct pg_type *base, struct field *ret_exact)
{
    const struct foreign_form *form = f->foreign ? find_form(f, base) : NULL;
    if (form == NULL)
        return debezium_adapter(f, ret_exact);
    *ret_exact = *f;
    ret_exact->phys = form->exact_phys;
    ret_exact->semantic = (char *)(uintptr_t)form->exact_semantic;
    if (form->exact_phys != f->phys)
        ret_exact->source_type = NULL; /* it was of the other form */
    return form->adapt;
}

/* Texts of any meaning go into types whose input function takes the text form and nothing is lost on the way; into numbers
 * and times only where the schema says that they are such. */
bool foreign_text_fits(const struct field *f, const struct field *exact, const struct pg_type *base)
{
    bool plain = exact->semantic == NULL || strcmp(exact->semantic, "io.debezium.data.Enum") == 0 ||
                 strcmp(exact->semantic, "io.debezium.data.Json") == 0;
    bool iso = f->semantic != NULL && strncmp(f->semantic, "io.debezium.time.Iso", 20) == 0;
    bool known = exact->source_type != NULL && strcmp(exact->source_type, "VARCHAR") != 0;
    if (!f->foreign || exact->phys != PHYS_STRING || !plain || (known && !iso))
        return false;
    switch (base->wire) {
    case PG_WIRE_DATE:
    case PG_WIRE_TIME:
    case PG_WIRE_TIMESTAMP:
        return iso;
    case PG_WIRE_NUMERIC:
        return exact->source_type == NULL && (f->phys != PHYS_STRING || f->semantic == NULL);
    case PG_WIRE_TEXT:
        return base->kind == PG_KIND_ENUM || (base->oid != PG_OID_VARCHAR && base->oid != PG_OID_BPCHAR) ||
               f->source_length < 0;
    case PG_WIRE_BOOL:
    case PG_WIRE_BYTEA:
    case PG_WIRE_QCHAR:
    case PG_WIRE_INT2:
    case PG_WIRE_INT4:
    case PG_WIRE_INT8:
    case PG_WIRE_FLOAT4:
    case PG_WIRE_FLOAT8:
    case PG_WIRE_TIMESTAMPTZ:
    case PG_WIRE_TIMETZ:
        return false;
    default:
        return true;
    }
}

bool foreign_needs_server(const struct field *exact, const struct pg_type *base)
{
    if (!exact->foreign || exact->phys != PHYS_STRING || exact->semantic != NULL)
        return false;
    switch (base->wire) {
    case PG_WIRE_DATE:
    case PG_WIRE_TIME:
    case PG_WIRE_TIMESTAMP:
    case PG_WIRE_INTERVAL:
        return true;
    default:
        return false;
    }
}
