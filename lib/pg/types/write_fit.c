/* Owns: the question whether one type keeps every value of another exactly, modifiers included. Pure. */
#include <stdarg.h>
#include <stdio.h>

#include "write_internal.h"

#define UNLIMITED 2147483647

static bool no(struct fit *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool no(struct fit *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->reason, sizeof f->reason, fmt, ap);
    va_end(ap);
    return false;
}

int32_t source_typmod(const struct pg_type *type, int32_t length, int32_t scale)
{
    bool limited = length > 0 && length < UNLIMITED;
    switch (type->wire) {
    case PG_WIRE_NUMERIC:
        return length > 0 && length <= 1000 ? ((length << 16) | ((scale < 0 ? 0 : scale) & 0x7ff)) + 4 : -1;
    case PG_WIRE_TEXT:
        return limited && (type->oid == PG_OID_VARCHAR || type->oid == PG_OID_BPCHAR) ? length + 4 : -1;
    case PG_WIRE_BIT:
        return limited ? length : -1;
    case PG_WIRE_TIME:
    case PG_WIRE_TIMETZ:
    case PG_WIRE_TIMESTAMP:
    case PG_WIRE_TIMESTAMPTZ:
        return scale >= 0 && scale < 6 ? scale : -1;
    case PG_WIRE_INTERVAL:
        if (scale == INTERVAL_UNKNOWN_RANGE)
            return INTERVAL_UNKNOWN_RANGE;
        return scale >= 0 && scale < 6 ? (PG_INTERVAL_FULL_RANGE << 16) | scale : -1;
    default:
        return -1;
    }
}

static void print_modifier(const struct pg_type *type, int32_t typmod, char *out, size_t size)
{
    int precision, scale;
    out[0] = '\0';
    if (typmod < 0)
        return;
    switch (type->wire) {
    case PG_WIRE_NUMERIC:
        if (pg_typmod_numeric(typmod, &precision, &scale))
            (void)snprintf(out, size, "(%d,%d)", precision, scale);
        return;
    case PG_WIRE_TEXT:
        (void)snprintf(out, size, "(%d)", typmod - 4);
        return;
    case PG_WIRE_INTERVAL:
        if (pg_typmod_interval_range(typmod) != PG_INTERVAL_FULL_RANGE)
            (void)snprintf(out, size, " of some fields");
        else
            (void)snprintf(out, size, "(%d)", pg_typmod_interval_digits(typmod));
        return;
    default:
        (void)snprintf(out, size, "(%d)", typmod);
    }
}

void types_print(const struct pg_type *type, int32_t typmod, char *out, size_t size)
{
    char modifier[40];
    const struct pg_type *elem = type->kind == PG_KIND_ARRAY ? pg_type_builtin(type->elem) : NULL;
    print_modifier(elem != NULL ? elem : type, typmod, modifier, sizeof modifier);
    const char *name = type->oid == PG_OID_BPCHAR  ? "char"
                       : type->oid == PG_OID_QCHAR ? "\"char\""
                                                   : type->name;
    (void)snprintf(out, size, "%s%s%s", elem != NULL ? elem->name : name, modifier, elem != NULL ? "[]" : "");
}

bool takes_any_text(const struct pg_type *target, int32_t typmod)
{
    return target->oid == PG_OID_TEXT || (target->oid == PG_OID_VARCHAR && typmod < 4);
}

/* ---- per family ---- */

static int integer_digits(const struct pg_type *type)
{
    return type->wire == PG_WIRE_INT2   ? 5
           : type->wire == PG_WIRE_INT4 ? 10
           : type->wire == PG_WIRE_INT8 ? 19
                                        : 0;
}

static bool fit_integer(struct fit *f)
{
    bool is_oid = f->source->oid == PG_OID_OID;
    if (f->target->oid == PG_OID_OID)
        return is_oid || no(f, "an integer may be negative or too large for an oid");
    int have = is_oid ? 19 : integer_digits(f->source);
    if (have == 0)
        return no(f, "it is not an integer type");
    return have <= integer_digits(f->target) || no(f, "the target's integer is narrower");
}

static bool fit_float(struct fit *f)
{
    enum pg_wire from = f->source->wire, to = f->target->wire;
    if (from == to || from == PG_WIRE_INT2 || (from == PG_WIRE_INT4 && to == PG_WIRE_FLOAT8))
        return true;
    if (from == PG_WIRE_FLOAT4 && to == PG_WIRE_FLOAT8)
        return !f->in_array || no(f, "inside an array, a float4's text reads back as another float8");
    return no(f, "a float does not hold every value exactly");
}

/* Most digits before and behind the point; false: any number of them. */
static bool decimal_size(const struct fit *f, int *ret_whole, int *ret_fraction)
{
    *ret_whole = integer_digits(f->source);
    *ret_fraction = 0;
    if (f->source->wire == PG_WIRE_MONEY) {
        *ret_whole = 17;
        *ret_fraction = 2;
    } else if (f->source->wire == PG_WIRE_NUMERIC) {
        if (!pg_typmod_numeric(f->source_typmod, ret_whole, ret_fraction))
            return false;
        *ret_whole -= *ret_fraction;
    }
    return true;
}

static bool fit_numeric(struct fit *f)
{
    int precision, scale, whole, fraction;
    if (f->source->wire == PG_WIRE_MONEY && f->in_array)
        return no(f, "an array of money has a currency sign in its text");
    if (f->source->wire != PG_WIRE_MONEY && f->source->wire != PG_WIRE_NUMERIC &&
        integer_digits(f->source) == 0)
        return no(f, "a numeric does not hold every value exactly");
    if (!pg_typmod_numeric(f->target_typmod, &precision, &scale))
        return true;
    if (!decimal_size(f, &whole, &fraction))
        return no(f, "a numeric without precision has values of any size");
    if (whole > precision - scale)
        return no(f, "the source has up to %d digits before the point, the target keeps %d", whole,
                  precision - scale);
    return fraction <= scale ||
           no(f, "the source has up to %d digits behind the point, the target keeps %d", fraction, scale);
}

static bool is_character_type(const struct pg_type *type)
{
    return type->oid == PG_OID_TEXT || type->oid == PG_OID_VARCHAR || type->oid == PG_OID_BPCHAR ||
           type->oid == PG_OID_NAME || type->oid == PG_OID_QCHAR;
}

/* Most characters of a value; UNLIMITED if nothing says so. */
static int32_t characters_max(const struct pg_type *type, int32_t typmod)
{
    if (type->oid == PG_OID_NAME)
        return 63;
    if (type->oid == PG_OID_QCHAR)
        return 4; /* \ooo */
    return typmod >= 4 ? typmod - 4 : UNLIMITED;
}

static bool fit_characters(struct fit *f)
{
    if (!is_character_type(f->source))
        return no(f, "it is not a character type");
    int32_t have = characters_max(f->source, f->source_typmod),
            room = characters_max(f->target, f->target_typmod);
    if (f->target->oid == PG_OID_BPCHAR && f->target_typmod >= 4) {
        if (f->source->oid == PG_OID_BPCHAR && have == room)
            return true;
        return no(f, "char(%d) pads every value to its own length", room);
    }
    if (f->target->oid == PG_OID_BPCHAR && f->source->oid != PG_OID_BPCHAR)
        return no(f, "char ignores trailing blanks");
    if (have <= room)
        return true;
    if (have == UNLIMITED)
        return no(f, "the source has no limit, the target keeps %d characters", room);
    return no(f, "the source has up to %d characters, the target keeps %d", have, room);
}

static bool fit_time(struct fit *f)
{
    int have = pg_typmod_time_digits(f->source_typmod), room = pg_typmod_time_digits(f->target_typmod);
    if (f->source->wire != f->target->wire)
        return no(f, "types of time are not converted");
    return have <= room ||
           no(f, "the source has %d digits behind the second, the target keeps %d", have, room);
}

static bool fit_interval(struct fit *f)
{
    if (f->source->wire != PG_WIRE_INTERVAL)
        return no(f, "it is not an interval");
    bool full = pg_typmod_interval_range(f->target_typmod) == PG_INTERVAL_FULL_RANGE;
    if (f->source_typmod == f->target_typmod)
        return true;
    if (f->in_array && !full && f->source_typmod != INTERVAL_UNKNOWN_RANGE)
        return no(f, "inside an array, the target keeps other fields");
    if (!full && f->source_typmod < 0)
        return no(f, "the target keeps some fields only");
    if (f->in_array && !full && f->source_typmod == INTERVAL_UNKNOWN_RANGE)
        return no(f, "inside an array, it is not known whether the source has the same fields");
    if (f->source_typmod == INTERVAL_UNKNOWN_RANGE)
        return pg_typmod_interval_digits(f->target_typmod) == 6 ||
               no(f, "the target keeps fewer digits behind the second");
    int have = pg_typmod_interval_digits(f->source_typmod),
        room = pg_typmod_interval_digits(f->target_typmod);
    return have <= room ||
           no(f, "the source has %d digits behind the second, the target keeps %d", have, room);
}

static bool fit_bits(struct fit *f)
{
    if (f->source->wire != PG_WIRE_BIT)
        return no(f, "it is not a bit string");
    if (f->target_typmod < 0)
        return f->target->oid == f->source->oid || f->target->oid == PG_OID_VARBIT ||
               no(f, "the length would be fixed");
    if (f->target->oid == PG_OID_BIT)
        return (f->source->oid == PG_OID_BIT && f->source_typmod == f->target_typmod) ||
               no(f, "bit(%d) has one length only", f->target_typmod);
    return (f->source_typmod >= 0 && f->source_typmod <= f->target_typmod) ||
           no(f, "the target keeps %d bits", f->target_typmod);
}

bool types_fit(struct fit *f)
{
    if (takes_any_text(f->target, f->target_typmod))
        return true;
    switch (f->target->wire) {
    case PG_WIRE_INT2:
    case PG_WIRE_INT4:
    case PG_WIRE_INT8:
        return fit_integer(f);
    case PG_WIRE_UINT4:
        if (f->target->oid == PG_OID_OID)
            return fit_integer(f);
        break;
    case PG_WIRE_FLOAT4:
    case PG_WIRE_FLOAT8:
        return fit_float(f);
    case PG_WIRE_NUMERIC:
        return fit_numeric(f);
    case PG_WIRE_TIME:
    case PG_WIRE_TIMETZ:
    case PG_WIRE_TIMESTAMP:
    case PG_WIRE_TIMESTAMPTZ:
        return fit_time(f);
    case PG_WIRE_INTERVAL:
        return fit_interval(f);
    case PG_WIRE_BIT:
        return fit_bits(f);
    default:
        break;
    }
    if (f->target->oid == PG_OID_VARCHAR || f->target->oid == PG_OID_BPCHAR)
        return fit_characters(f);
    if (f->source->oid == f->target->oid ||
        (f->source->oid == PG_OID_JSONB && f->target->oid == PG_OID_JSON) ||
        (f->source->oid == PG_OID_CIDR && f->target->oid == PG_OID_INET))
        return true;
    if (strcmp(f->target->name, "citext") == 0 && f->target->wire == PG_WIRE_TEXT)
        return is_character_type(f->source) || no(f, "it is not a character type");
    return no(f, "there is no exact conversion between these types");
}
