/* Owns: which form each type has under the debezium profile. See profile.h. */
#include <stdio.h>

#include "change/nested.h"
#include "debezium.h"

#define MONEY_SCALE 2

struct type_profile type_profile_of(const struct type_profile_texts *t)
{
#define IS(text, word) ((text) != NULL && strcmp(text, word) == 0)
    return (struct type_profile){
        .debezium = IS(t->profile, "debezium"),
        .stand_ins = IS(t->lossy, "debezium"),
        .decimal = IS(t->decimal, "double")   ? DECIMAL_DOUBLE
                   : IS(t->decimal, "string") ? DECIMAL_STRING
                                              : DECIMAL_PRECISE,
        .time = IS(t->time, "connect")                      ? TIME_CONNECT
                : IS(t->time, "adaptive_time_microseconds") ? TIME_ADAPTIVE_MICROS
                                                            : TIME_ADAPTIVE,
        .interval = IS(t->interval, "string") ? INTERVAL_STRING : INTERVAL_NUMERIC,
        .binary = IS(t->binary, "base64") ? BINARY_BASE64
                  : IS(t->binary, "hex")  ? BINARY_HEX
                                          : BINARY_BYTES,
        .hstore = IS(t->hstore, "map") ? HSTORE_MAP : HSTORE_JSON,
    };
#undef IS
}

/* The type at hand: a column's, or its elements'. */
struct subject {
    const struct pg_type *base;
    int32_t typmod;
    const struct type_profile *profile;
};

static struct dbz_form numeric_form(const struct subject *s)
{
    int precision, scale;
    bool sized = pg_typmod_numeric(s->typmod, &precision, &scale);
    if (s->profile->decimal == DECIMAL_DOUBLE)
        return (struct dbz_form){PHYS_FLOAT64, NULL, dbz_numeric_double, true, true};
    if (s->profile->decimal == DECIMAL_STRING)
        return (struct dbz_form){PHYS_STRING, NULL, dbz_numeric_text, false, false};
    if (sized)
        return (struct dbz_form){PHYS_BYTES, SEMANTIC_DECIMAL, dbz_decimal, false, true};
    return (struct dbz_form){PHYS_STRUCT, SEMANTIC_VARIABLE, dbz_variable, true, true};
}

static struct dbz_form money_form(const struct subject *s)
{
    if (s->profile->decimal == DECIMAL_DOUBLE)
        return (struct dbz_form){PHYS_FLOAT64, NULL, dbz_money_double, true, false};
    if (s->profile->decimal == DECIMAL_STRING)
        return (struct dbz_form){PHYS_STRING, NULL, types_exact_reader(s->base), false, false};
    return (struct dbz_form){PHYS_BYTES, SEMANTIC_DECIMAL, dbz_money_decimal, false, false};
}

static struct dbz_form time_form(const struct subject *s)
{
    bool millis = pg_typmod_time_digits(s->typmod) <= 3;
    if (s->profile->time == TIME_CONNECT)
        return (struct dbz_form){PHYS_INT32, "org.apache.kafka.connect.data.Time", dbz_time_millis, false,
                                 true};
    if (s->profile->time == TIME_ADAPTIVE && millis)
        return (struct dbz_form){PHYS_INT32, "io.debezium.time.Time", dbz_time_millis, false, false};
    return (struct dbz_form){PHYS_INT64, "io.debezium.time.MicroTime", dbz_time_micros, false, false};
}

static struct dbz_form timestamp_form(const struct subject *s)
{
    bool millis = pg_typmod_time_digits(s->typmod) <= 3;
    if (s->profile->time == TIME_CONNECT)
        return (struct dbz_form){PHYS_INT64, "org.apache.kafka.connect.data.Timestamp", dbz_timestamp_millis,
                                 false, true};
    if (millis)
        return (struct dbz_form){PHYS_INT64, "io.debezium.time.Timestamp", dbz_timestamp_millis, false, true};
    return (struct dbz_form){PHYS_INT64, "io.debezium.time.MicroTimestamp", dbz_timestamp_micros, false,
                             true};
}

static struct dbz_form date_form(const struct subject *s)
{
    const char *semantic =
        s->profile->time == TIME_CONNECT ? "org.apache.kafka.connect.data.Date" : "io.debezium.time.Date";
    return (struct dbz_form){PHYS_INT32, semantic, dbz_date, false, true};
}

static struct dbz_form interval_form(const struct subject *s)
{
    if (s->profile->interval == INTERVAL_STRING)
        return (struct dbz_form){PHYS_STRING, "io.debezium.time.Interval", types_exact_reader(s->base), false,
                                 false};
    return (struct dbz_form){PHYS_INT64, "io.debezium.time.MicroDuration", dbz_interval, false, true};
}

static struct dbz_form bytea_form(const struct subject *s)
{
    if (s->profile->binary == BINARY_BYTES)
        return (struct dbz_form){PHYS_BYTES, NULL, types_exact_reader(s->base), false, false};
    return (struct dbz_form){PHYS_STRING, NULL, s->profile->binary == BINARY_HEX ? dbz_hex : dbz_base64,
                             false, false};
}

static struct dbz_form bits_form(const struct subject *s)
{
    if (s->typmod == 1)
        return (struct dbz_form){PHYS_BOOL, NULL, dbz_bit1, s->base->oid == PG_OID_VARBIT, false};
    return (struct dbz_form){PHYS_BYTES, "io.debezium.data.Bits", dbz_bits, s->base->oid == PG_OID_VARBIT,
                             false};
}

static struct dbz_form hstore_form(const struct subject *s)
{
    if (s->profile->hstore == HSTORE_MAP)
        return (struct dbz_form){PHYS_MAP, NULL, dbz_hstore_map, false, false};
    return (struct dbz_form){PHYS_STRING, "io.debezium.data.Json", dbz_hstore_json, false, false};
}

/* Ranges that the connector knows by name; all others, and all multiranges, are unknown to it. */
static bool is_known_range(const struct pg_type *type)
{
    static const uint32_t oids[] = {3904, 3906, 3908, 3910, 3912, 3926};
    for (size_t i = 0; i < ARRAY_LEN(oids); i++) {
        if (oids[i] == type->oid)
            return true;
    }
    return false;
}

static struct dbz_form text_form(const struct subject *s, const char *semantic)
{
    return (struct dbz_form){PHYS_STRING, semantic, dbz_text, false, false};
}

/* As the exact profile has it. */
static struct dbz_form same_form(const struct subject *s)
{
    struct dbz_form form = {.read = types_exact_reader(s->base)};
    types_rule(s->base, &form.phys, &form.semantic);
    return form;
}

static struct dbz_form form_of(const struct subject *s)
{
    const struct pg_type *t = s->base;
    switch (t->wire) {
    case PG_WIRE_BOOL:
    case PG_WIRE_INT2:
    case PG_WIRE_INT4:
    case PG_WIRE_INT8:
    case PG_WIRE_FLOAT4:
    case PG_WIRE_FLOAT8:
    case PG_WIRE_QCHAR:
    case PG_WIRE_TEXT:
    case PG_WIRE_UUID:
        if (t->oid == PG_OID_XML || t->kind == PG_KIND_BASE || t->kind == PG_KIND_ENUM)
            return same_form(s);
        break;
    case PG_WIRE_UINT4:
        return t->oid == PG_OID_OID ? same_form(s) : (struct dbz_form){0};
    case PG_WIRE_VERSIONED_TEXT:
        return t->oid == PG_OID_JSONB || strcmp(t->name, "ltree") == 0 ? same_form(s) : (struct dbz_form){0};
    case PG_WIRE_NUMERIC:
        return numeric_form(s);
    case PG_WIRE_MONEY:
        return money_form(s);
    case PG_WIRE_BYTEA:
        return bytea_form(s);
    case PG_WIRE_DATE:
        return date_form(s);
    case PG_WIRE_TIME:
        return time_form(s);
    case PG_WIRE_TIMETZ:
        return (struct dbz_form){PHYS_STRING, "io.debezium.time.ZonedTime", dbz_timetz, false, true};
    case PG_WIRE_TIMESTAMP:
        return timestamp_form(s);
    case PG_WIRE_TIMESTAMPTZ:
        return (struct dbz_form){PHYS_STRING, "io.debezium.time.ZonedTimestamp", dbz_timestamptz, false,
                                 false};
    case PG_WIRE_INTERVAL:
        return interval_form(s);
    case PG_WIRE_BIT:
        return bits_form(s);
    case PG_WIRE_INET:
    case PG_WIRE_MACADDR:
        return text_form(s, NULL);
    case PG_WIRE_RANGE:
        return is_known_range(t) ? text_form(s, NULL) : (struct dbz_form){0};
    case PG_WIRE_POINT:
        return (struct dbz_form){PHYS_STRUCT, SEMANTIC_POINT, dbz_point, false, false};
    case PG_WIRE_EWKB:
        return (struct dbz_form){PHYS_STRUCT, SEMANTIC_GEOMETRY, dbz_geometry, false, false};
    case PG_WIRE_HSTORE:
        return hstore_form(s);
    default:
        break;
    }
    return (struct dbz_form){0};
}

static const char *encoding_name(const struct type_profile *profile)
{
    return profile->binary == BINARY_HEX ? "hex" : profile->binary == BINARY_BASE64 ? "base64" : "bytes";
}

/* What Debezium knows nothing of: the text form, as binary_mode has bytes. */
static struct dbz_form unknown_form(struct pg_column_reader *r)
{
    r->text_encoding = encoding_name(r->profile);
    return (struct dbz_form){r->profile->binary == BINARY_BYTES ? PHYS_BYTES : PHYS_STRING, NULL, dbz_encoded,
                             false, false};
}

/* Parameters of the value's meaning, and what the reader keeps for its elements. */
static bool set_details(struct pg_column_reader *r, const struct subject *s, const struct dbz_form *form,
                        struct err *err)
{
    int precision, scale;
    bool decimal = form->semantic != NULL && strcmp(form->semantic, SEMANTIC_DECIMAL) == 0;
    r->digits = pg_typmod_time_digits(s->typmod);
    if (s->base->wire == PG_WIRE_MONEY) {
        r->decimal_scale = decimal ? MONEY_SCALE : 0;
    } else if (s->base->wire == PG_WIRE_NUMERIC && pg_typmod_numeric(s->typmod, &precision, &scale)) {
        r->decimal_scale = scale & 0x7ff; /* 2046 for -2, as the connector reads the modifier */
        r->decimal_precision = decimal ? precision : 0;
    }
    if (s->base->wire == PG_WIRE_BIT && s->typmod > 1)
        r->bits_length = s->typmod;
    if (s->base->wire == PG_WIRE_BYTEA && r->profile->binary != BINARY_BYTES)
        r->text_encoding = encoding_name(r->profile);
    return s->base->kind != PG_KIND_ENUM || catalog_labels(r->cat, r->conn, s->base, &r->allowed, err);
}

/* The connector's own list; further arrays it leaves out, or it takes their elements as unknown. */
static bool is_known_element(const struct pg_type *elem)
{
    switch (elem->wire) {
    case PG_WIRE_INTERVAL:
    case PG_WIRE_MONEY:
    case PG_WIRE_POINT:
    case PG_WIRE_EWKB:
    case PG_WIRE_BIT:
        return false;
    case PG_WIRE_VERSIONED_TEXT:
        return elem->oid == PG_OID_JSONB;
    default:
        return elem->oid != PG_OID_XML && elem->oid != PG_OID_NAME;
    }
}

static void set_form(struct pg_column_reader *r, const struct dbz_form *form)
{
    r->phys = form->phys;
    r->semantic = form->semantic;
    r->read = form->read;
    r->lossy = form->lossy || (form->partial && r->profile->stand_ins);
}

/* Arrays of bit strings have the schema of one bit string, and no value ever. */
static bool plan_bit_array(struct pg_column_reader *r, const struct subject *s, struct err *err)
{
    struct dbz_form form = {PHYS_BYTES, "io.debezium.data.Bits", dbz_no_bits, false, true};
    if (s->typmod == 1)
        form = (struct dbz_form){PHYS_BOOL, NULL, dbz_no_bits, false, true};
    set_form(r, &form);
    return set_details(r, s, &form, err);
}

static bool plan_array(struct pg_column_reader *r, const struct pg_type *array, int32_t typmod,
                       struct err *err)
{
    const struct pg_type *declared, *base;
    struct subject s = {.typmod = typmod, .profile = r->profile};
    if (!pg_type_catalog_get(r->cat, r->conn, array->elem, &declared, err) ||
        !pg_type_catalog_base(r->cat, r->conn, array->elem, &s.typmod, &base, err))
        return false;
    s.base = base;
    if (declared->oid == PG_OID_BIT)
        return plan_bit_array(r, &s, err);
    bool opaque = declared->kind == PG_KIND_DOMAIN || declared->kind == PG_KIND_COMPOSITE;
    struct dbz_form elem = {0};
    if (!opaque && is_known_element(base))
        elem = form_of(&s);
    if (!opaque && elem.read == NULL) {
        struct dbz_form form = unknown_form(r);
        set_form(r, &form);
        return true;
    }
    if (opaque)
        elem = unknown_form(r);
    else if (!set_details(r, &s, &elem, err))
        return false;
    struct dbz_form form = {PHYS_ARRAY, elem.semantic, dbz_array, elem.lossy, true};
    set_form(r, &form);
    r->elem = elem.phys;
    r->elem_oid = array->elem;
    r->read_elem = elem.read;
    r->elem_required = opaque || base->kind == PG_KIND_ENUM;
    return true;
}

bool pg_reader_plan_profile(const struct type_profile *profile, struct pg_type_catalog *cat,
                            struct pg_conn *conn, uint32_t oid, int32_t typmod, struct pg_column_reader *ret,
                            struct err *err)
{
    struct pg_column_reader r;
    const struct pg_type *base;
    if (!pg_reader_plan(cat, conn, oid, typmod, &r, err))
        return false;
    if (profile != NULL && profile->debezium) {
        if (!pg_type_catalog_base(cat, conn, oid, &typmod, &base, err))
            return false;
        struct subject s = {base, typmod, profile};
        r.profile = profile;
        if (base->kind == PG_KIND_ARRAY) {
            if (!plan_array(&r, base, typmod, err))
                return false;
        } else {
            struct dbz_form form = form_of(&s);
            if (form.read == NULL)
                form = unknown_form(&r);
            else if (!set_details(&r, &s, &form, err))
                return false;
            set_form(&r, &form);
        }
    }
    *ret = r;
    return true;
}
