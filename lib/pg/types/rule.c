/* Owns: how the exact profile carries each type (phys, semantic), and the name, length and scale that
 * Debezium propagates. */
#include <ctype.h>
#include <stdio.h>

#include "internal.h"
#include "pg/types/read.h"

#define UNLIMITED 2147483647

void types_rule(const struct pg_type *type, enum phys *ret_phys, const char **ret_semantic)
{
    static const struct {
        enum phys phys;
        const char *semantic;
    } rules[PG_WIRE_MAX_] = {
        [PG_WIRE_BOOL] = {PHYS_BOOL, NULL},
        [PG_WIRE_BYTEA] = {PHYS_BYTES, NULL},
        [PG_WIRE_INT2] = {PHYS_INT16, NULL},
        [PG_WIRE_INT4] = {PHYS_INT32, NULL},
        [PG_WIRE_INT8] = {PHYS_INT64, NULL},
        [PG_WIRE_FLOAT4] = {PHYS_FLOAT32, NULL},
        [PG_WIRE_FLOAT8] = {PHYS_FLOAT64, NULL},
        [PG_WIRE_DATE] = {PHYS_INT32, "io.debezium.time.Date"},
        [PG_WIRE_TIME] = {PHYS_INT64, "io.debezium.time.MicroTime"},
        [PG_WIRE_TIMETZ] = {PHYS_STRING, "io.debezium.time.ZonedTime"},
        [PG_WIRE_TIMESTAMP] = {PHYS_INT64, "io.debezium.time.MicroTimestamp"},
        [PG_WIRE_TIMESTAMPTZ] = {PHYS_STRING, "io.debezium.time.ZonedTimestamp"},
        [PG_WIRE_INTERVAL] = {PHYS_STRING, "io.debezium.time.Interval"},
        [PG_WIRE_UUID] = {PHYS_STRING, "io.debezium.data.Uuid"},
    };
    *ret_phys = rules[type->wire].phys != PHYS_UNKNOWN ? rules[type->wire].phys : PHYS_STRING;
    *ret_semantic = rules[type->wire].semantic;
    if (type->oid == PG_OID_OID)
        *ret_phys = PHYS_INT64;
    else if (type->oid == PG_OID_JSON || type->oid == PG_OID_JSONB)
        *ret_semantic = "io.debezium.data.Json";
    else if (type->oid == PG_OID_XML)
        *ret_semantic = "io.debezium.data.Xml";
    else if (type->kind == PG_KIND_ENUM)
        *ret_semantic = "io.debezium.data.Enum";
    else if (type->wire == PG_WIRE_VERSIONED_TEXT && strcmp(type->name, "ltree") == 0)
        *ret_semantic = "io.debezium.data.Ltree";
}

void types_source_name(const struct pg_type *type, const struct pg_type *elem, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s", elem != NULL ? "_" : "", elem != NULL ? elem->name : type->name);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
}

/* A time with `digits` behind the second is `base` characters long without them. */
static int32_t time_length(int32_t base, int digits)
{
    return digits > 0 ? base + 1 + digits : base;
}

static void number_size(const struct pg_type *type, int32_t typmod, int32_t *length, int32_t *scale)
{
    int precision, digits;
    *scale = 0;
    switch (type->wire) {
    case PG_WIRE_INT2:
        *length = 5;
        return;
    case PG_WIRE_INT8:
        *length = 19;
        return;
    case PG_WIRE_FLOAT4:
        *length = *scale = 8;
        return;
    case PG_WIRE_FLOAT8:
        *length = *scale = 17;
        return;
    case PG_WIRE_NUMERIC:
        *length = 131089;
        if (pg_typmod_numeric(typmod, &precision, &digits)) {
            *length = precision;
            *scale = digits & 0x7ff;
        }
        return;
    default: /* int4, oid */
        *length = 10;
    }
}

static void time_size(const struct pg_type *type, int32_t typmod, int32_t *length, int32_t *scale)
{
    *scale = pg_typmod_time_digits(typmod);
    switch (type->wire) {
    case PG_WIRE_TIME:
        *length = time_length(8, *scale);
        return;
    case PG_WIRE_TIMETZ:
        *length = time_length(14, *scale);
        return;
    case PG_WIRE_TIMESTAMP:
        *length = time_length(22, *scale);
        return;
    case PG_WIRE_TIMESTAMPTZ:
        *length = time_length(28, *scale);
        return;
    default: /* interval: 65535 is its own mark of "no precision given", which Debezium passes on */
        *length = 49;
        *scale = typmod < 0 ? 6 : typmod & 0xffff;
    }
}

/* Debezium's length and scale of a column of this type (domains and arrays resolved). */
static void source_size(const struct pg_type *type, int32_t typmod, int32_t *length, int32_t *scale)
{
    *length = UNLIMITED;
    *scale = 0;
    switch (type->wire) {
    case PG_WIRE_BOOL:
    case PG_WIRE_QCHAR:
        *length = 1;
        return;
    case PG_WIRE_INT2:
    case PG_WIRE_INT4:
    case PG_WIRE_INT8:
    case PG_WIRE_FLOAT4:
    case PG_WIRE_FLOAT8:
    case PG_WIRE_NUMERIC:
        number_size(type, typmod, length, scale);
        return;
    case PG_WIRE_TIME:
    case PG_WIRE_TIMETZ:
    case PG_WIRE_TIMESTAMP:
    case PG_WIRE_TIMESTAMPTZ:
    case PG_WIRE_INTERVAL:
        time_size(type, typmod, length, scale);
        return;
    case PG_WIRE_DATE:
        *length = 13;
        return;
    case PG_WIRE_BIT:
        if (typmod >= 0)
            *length = typmod;
        return;
    default:
        if (type->oid == PG_OID_OID)
            *length = 10;
        else if ((type->oid == PG_OID_VARCHAR || type->oid == PG_OID_BPCHAR) && typmod >= 4)
            *length = typmod - 4;
    }
}

bool types_describe(struct pg_column_reader *r, const struct pg_type *declared, const struct pg_type *base,
                    int32_t typmod, struct err *err)
{
    const struct pg_type *elem = NULL, *declared_elem = NULL;
    if (base->kind == PG_KIND_ARRAY) {
        if (!pg_type_catalog_get(r->cat, r->conn, base->elem, &declared_elem, err) ||
            !pg_type_catalog_base(r->cat, r->conn, base->elem, &typmod, &elem, err))
            return false;
    }
    types_source_name(declared, declared->kind == PG_KIND_ARRAY ? declared_elem : NULL, r->source_type,
                      sizeof r->source_type);
    source_size(elem != NULL ? elem : base, typmod, &r->source_length, &r->source_scale);
    if ((elem != NULL ? elem : base)->wire == PG_WIRE_INTERVAL &&
        pg_typmod_interval_range(typmod) != PG_INTERVAL_FULL_RANGE)
        r->source_typmod = typmod; /* length and scale do not tell which fields */
    types_rule(base, &r->phys, &r->semantic);
    return true;
}
