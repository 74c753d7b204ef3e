/*
 * Owns: values in the forms of the debezium profile → the same values in the exact profile's forms, for which
 * the writers are made. One function per form, chosen once per column.
 */
#include <stdio.h>
#include <stdlib.h>

#include "change/nested.h"
#include "write_internal.h"

/* Values longer than this are refused as bytes of a number already. */
#define ROOM_MAX TYPES_TEXT_MAX

#define ADAPTER(name)                                                                                        \
    static bool name(const struct pg_column_writer *w, const struct field *f, const struct datum *value,     \
                     struct strbuf *room, struct datum *ret, struct err *err)

static bool bad(const struct field *f, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "the journal's value is not in the form of its schema (%s)",
                   f->semantic != NULL ? f->semantic : "nested");
}

static bool set_text(struct datum *ret, const struct strbuf *room, const char *what, struct err *err)
{
    *ret = (struct datum){.state = DATUM_VALUE, .s = {room->data, (uint32_t)room->len}};
    return strbuf_ok(room, what, err);
}

/* ---- numbers ---- */

/* A negative scale of numeric comes as 11 bits, and the value with that many zeros behind its point. */
static void cut_zeros(const struct field *f, struct strbuf *room)
{
    char *point = f->source_scale >= 1024 ? memchr(room->data, '.', room->len) : NULL;
    if (point != NULL && strspn(point + 1, "0") == room->len - (size_t)(point + 1 - room->data))
        room->len = (size_t)(point - room->data);
}

ADAPTER(of_decimal)
{
    (void)w;
    if (!decimal_from_bytes((const unsigned char *)value->s.p, value->s.len, f->decimal_scale, room))
        return bad(f, err);
    cut_zeros(f, room);
    return set_text(ret, room, "number", err);
}

ADAPTER(of_variable)
{
    (void)w;
    struct nested_reader r;
    struct datum members[NESTED_MEMBERS_MAX];
    nested_open(&r, value->s.p, value->s.len);
    nested_members(&r, nested_struct_find(SEMANTIC_VARIABLE), members);
    if (!nested_at_end(&r) || members[0].i < INT16_MIN || members[0].i > INT16_MAX ||
        !decimal_from_bytes((const unsigned char *)members[1].s.p, members[1].s.len, (int)members[0].i, room))
        return bad(f, err);
    return set_text(ret, room, "number", err);
}

ADAPTER(of_long_text)
{
    (void)w;
    strbuf_add(room, value->s.p, value->s.len);
    cut_zeros(f, room);
    return set_text(ret, room, "number", err);
}

/* Shortest digits as float8out has them, without an exponent. */
static void add_plain(struct strbuf *room, const char *text, size_t len)
{
    const char *e = memchr(text, 'e', len);
    if (e == NULL) {
        strbuf_add(room, text, len);
        return;
    }
    char digits[FLOAT_TEXT_MAX];
    size_t count = 0;
    int point = 0, exponent = atoi(e + 1);
    for (const char *p = text; p < e; p++) {
        if (*p == '-')
            strbuf_addc(room, '-');
        else if (*p == '.')
            point = (int)count;
        else
            digits[count++] = *p;
    }
    point = (memchr(text, '.', (size_t)(e - text)) != NULL ? point : (int)count) + exponent;
    for (int i = point < 1 ? point - 1 : 0; i < (int)count || i < point; i++) {
        if (i == point || (i < 0 && i == point - 1))
            strbuf_adds(room, i < 0 ? "0." : ".");
        if (i >= 0 || i > point - 1)
            strbuf_addc(room, i >= 0 && i < (int)count ? digits[i] : '0');
    }
}

ADAPTER(of_double)
{
    (void)w;
    char text[FLOAT_TEXT_MAX];
    if (strcmp(f->source_type, "MONEY") == 0)
        strbuf_addf(room, "%.2f", value->f);
    else
        add_plain(room, text, float8_text(value->f, text));
    if (room->len == 2 && room->data[0] == '-' && room->data[1] == '0') { /* numeric has no such zero */
        strbuf_clear(room);
        strbuf_addc(room, '0');
    }
    return set_text(ret, room, "number", err);
}

/* ---- times ---- */

ADAPTER(of_millis)
{
    (void)w, (void)room;
    *ret = (struct datum){.state = DATUM_VALUE};
    return !__builtin_mul_overflow(value->i, 1000, &ret->i) || bad(f, err);
}

ADAPTER(of_same)
{
    (void)w, (void)f, (void)room, (void)err;
    *ret = *value;
    return true;
}

ADAPTER(of_duration)
{
    (void)w, (void)f;
    char text[TIME_TEXT_MAX];
    strbuf_add(room, text, iso_interval(value->i, 0, 0, false, text));
    return set_text(ret, room, "interval", err);
}

/* ---- bits, bytes, texts ---- */

ADAPTER(of_bit1)
{
    (void)w, (void)f;
    strbuf_addc(room, value->i != 0 ? '1' : '0');
    return set_text(ret, room, "bit", err);
}

/* Bits without a length (varbit) keep none of their leading zeros. */
ADAPTER(of_bits)
{
    (void)w;
    const unsigned char *p = (const unsigned char *)value->s.p;
    size_t count = (size_t)value->s.len * 8;
    bool fixed = f->source_type != NULL && strcmp(f->source_type, "BIT") == 0 && f->bits_length > 0;
    while (count > 0 && (p[(count - 1) / 8] >> (count - 1) % 8 & 1) == 0)
        count--;
    if (fixed && count > (size_t)f->bits_length)
        return bad(f, err);
    for (size_t i = count; fixed && i < (size_t)f->bits_length; i++)
        strbuf_addc(room, '0');
    while (count-- > 0)
        strbuf_addc(room, (p[count / 8] >> count % 8 & 1) != 0 ? '1' : '0');
    return set_text(ret, room, "bit string", err);
}

static int digit_value(char c, bool hex)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (hex)
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    const char *at = c != '\0' ? strchr(letters, c) : NULL;
    return at != NULL ? (int)(at - letters) : -1;
}

ADAPTER(of_encoded)
{
    (void)w;
    bool hex = strcmp(f->text_encoding, "hex") == 0, base64 = strcmp(f->text_encoding, "base64") == 0;
    size_t len = value->s.len, unit = hex ? 2 : 4;
    unsigned bits = 0, have = 0;
    if (!hex && !base64)
        return of_same(w, f, value, room, ret, err);
    if (len % unit != 0)
        return bad(f, err);
    while (base64 && len > value->s.len - 2 && len > 0 && value->s.p[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int v = digit_value(value->s.p[i], hex);
        if (v < 0)
            return bad(f, err);
        bits = bits << (hex ? 4 : 6) | (unsigned)v;
        have += hex ? 4 : 6;
        if (have >= 8) {
            have -= 8;
            strbuf_addc(room, (char)(bits >> have & 255));
        }
    }
    return set_text(ret, room, "text", err);
}

/* ---- values of values ---- */

static void add_quoted(struct strbuf *out, const char *p, size_t len)
{
    strbuf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '"' || p[i] == '\\')
            strbuf_addc(out, '\\');
        strbuf_addc(out, p[i]);
    }
    strbuf_addc(out, '"');
}

ADAPTER(of_map)
{
    (void)w;
    struct nested_reader r;
    struct datum key, v;
    nested_open(&r, value->s.p, value->s.len);
    while (nested_next_entry(&r, &key, &v)) {
        if (room->len > 0)
            strbuf_adds(room, ", ");
        add_quoted(room, key.s.p, key.s.len);
        strbuf_adds(room, "=>");
        if (v.state == DATUM_NULL)
            strbuf_adds(room, "NULL");
        else
            add_quoted(room, v.s.p, v.s.len);
    }
    return nested_at_end(&r) ? set_text(ret, room, "hstore", err) : bad(f, err);
}

ADAPTER(of_hstore_json)
{
    struct arena arena;
    struct datum map;
    arena_init(&arena, 4096, ROOM_MAX);
    bool ok = nested_map_from_json(value->s.p, value->s.len, &arena, &map)
                  ? of_map(w, f, &map, room, ret, err)
                  : bad(f, err);
    arena_release(&arena);
    return ok;
}

ADAPTER(of_point)
{
    (void)w;
    struct nested_reader r;
    struct datum members[NESTED_MEMBERS_MAX];
    char text[FLOAT_TEXT_MAX];
    nested_open(&r, value->s.p, value->s.len);
    nested_members(&r, nested_struct_find(SEMANTIC_POINT), members);
    if (!nested_at_end(&r))
        return bad(f, err);
    strbuf_addc(room, '(');
    strbuf_add(room, text, float8_text(members[0].f, text));
    strbuf_addc(room, ',');
    strbuf_add(room, text, float8_text(members[1].f, text));
    strbuf_addc(room, ')');
    return set_text(ret, room, "point", err);
}

ADAPTER(of_geometry)
{
    (void)w;
    struct nested_reader r;
    struct datum members[NESTED_MEMBERS_MAX];
    nested_open(&r, value->s.p, value->s.len);
    nested_members(&r, nested_struct_find(SEMANTIC_GEOMETRY), members);
    if (!nested_at_end(&r))
        return bad(f, err);
    for (uint32_t i = 0; i < members[0].s.len; i++)
        strbuf_addf(room, "%02X", (unsigned char)members[0].s.p[i]);
    return set_text(ret, room, "geometry", err);
}

static struct field element_field(const struct field *f)
{
    struct field elem = *f;
    elem.phys = f->elem;
    elem.elem = PHYS_UNKNOWN;
    if (f->source_type != NULL && f->source_type[0] == '_')
        elem.source_type = f->source_type + 1;
    return elem;
}

/* As array_out, with all elements quoted; their own texts by the exact profile. */
ADAPTER(of_array)
{
    struct nested_reader r;
    struct datum element, plain;
    struct field elem = element_field(f), exact = elem;
    pg_adapt_fn *adapt = debezium_adapter(&elem, &exact);
    const struct encoding *enc = encoding_find(exact.phys, exact.semantic);
    struct strbuf text = STRBUF_INIT(ROOM_MAX), part = STRBUF_INIT(ROOM_MAX);
    bool ok = enc != NULL || bad(f, err);
    nested_open(&r, value->s.p, value->s.len);
    strbuf_addc(room, '{');
    while (ok && nested_next(&r, f, &element)) {
        if (room->len > 1)
            strbuf_addc(room, ',');
        if (element.state == DATUM_NULL) {
            strbuf_adds(room, "NULL");
            continue;
        }
        strbuf_clear(&text);
        strbuf_clear(&part);
        plain = element;
        ok = (adapt == NULL || adapt(w, &elem, &element, &part, &plain, err)) &&
             enc->text(w, &plain, &text, err) && strbuf_ok(&text, "array", err);
        add_quoted(room, text.data, text.len);
    }
    strbuf_addc(room, '}');
    strbuf_release(&text);
    strbuf_release(&part);
    ok = ok && (nested_at_end(&r) || bad(f, err));
    return ok && set_text(ret, room, "array", err);
}

/* ---- choice ---- */

static bool is_from(const struct field *f, const char *type)
{
    return f->source_type != NULL && strcmp(f->source_type, type) == 0;
}

struct adaption {
    enum phys phys;
    const char *semantic;
    pg_adapt_fn *adapt;
    enum phys exact_phys;
    const char *exact_semantic;
};

static const struct adaption adaptions[] = {
    {PHYS_MAP, NULL, of_map, PHYS_STRING, NULL},
    {PHYS_STRUCT, SEMANTIC_VARIABLE, of_variable, PHYS_STRING, NULL},
    {PHYS_STRUCT, SEMANTIC_POINT, of_point, PHYS_STRING, NULL},
    {PHYS_STRUCT, SEMANTIC_GEOMETRY, of_geometry, PHYS_STRING, NULL},
    {PHYS_BYTES, SEMANTIC_DECIMAL, of_decimal, PHYS_STRING, NULL},
    {PHYS_BYTES, "io.debezium.data.Bits", of_bits, PHYS_STRING, NULL},
    {PHYS_INT32, "io.debezium.time.Time", of_millis, PHYS_INT64, "io.debezium.time.MicroTime"},
    {PHYS_INT32, "org.apache.kafka.connect.data.Time", of_millis, PHYS_INT64, "io.debezium.time.MicroTime"},
    {PHYS_INT64, "io.debezium.time.Timestamp", of_millis, PHYS_INT64, "io.debezium.time.MicroTimestamp"},
    {PHYS_INT64, "org.apache.kafka.connect.data.Timestamp", of_millis, PHYS_INT64,
     "io.debezium.time.MicroTimestamp"},
    {PHYS_INT32, "org.apache.kafka.connect.data.Date", of_same, PHYS_INT32, "io.debezium.time.Date"},
    {PHYS_INT64, "io.debezium.time.MicroDuration", of_duration, PHYS_STRING, "io.debezium.time.Interval"},
};

/* Forms whose meaning depends on where they come from. */
static const struct adaption *by_source(const struct field *f)
{
    static const struct adaption array = {.adapt = of_array, .exact_phys = PHYS_STRING};
    static const struct adaption bytes = {.adapt = of_encoded, .exact_phys = PHYS_BYTES};
    static const struct adaption text = {.adapt = of_encoded, .exact_phys = PHYS_STRING};
    static const struct adaption bit1 = {.adapt = of_bit1, .exact_phys = PHYS_STRING};
    static const struct adaption number = {.adapt = of_double, .exact_phys = PHYS_STRING};
    static const struct adaption zeros = {.adapt = of_long_text, .exact_phys = PHYS_STRING};
    static const struct adaption hstore = {.adapt = of_hstore_json, .exact_phys = PHYS_STRING};
    bool numeric = is_from(f, "NUMERIC"),
         json = f->semantic != NULL && strcmp(f->semantic, "io.debezium.data.Json") == 0;
    if (f->phys == PHYS_ARRAY)
        return &array;
    if (f->text_encoding != NULL)
        return is_from(f, "BYTEA") ? &bytes : &text;
    if (f->phys == PHYS_BOOL && (is_from(f, "BIT") || is_from(f, "VARBIT")))
        return &bit1;
    if (f->phys == PHYS_FLOAT64 && (numeric || is_from(f, "MONEY")))
        return &number;
    if (f->phys == PHYS_STRING && numeric && f->source_scale >= 1024)
        return &zeros;
    return f->phys == PHYS_STRING && json && is_from(f, "HSTORE") ? &hstore : NULL;
}

pg_adapt_fn *debezium_adapter(const struct field *f, struct field *ret_exact)
{
    const struct adaption *a = by_source(f);
    for (size_t i = 0; a == NULL && i < ARRAY_LEN(adaptions); i++) {
        const struct adaption *b = &adaptions[i];
        bool same = b->semantic == NULL ? f->semantic == NULL
                                        : f->semantic != NULL && strcmp(b->semantic, f->semantic) == 0;
        if (b->phys == f->phys && same)
            a = b;
    }
    if (a == NULL)
        return NULL;
    *ret_exact = *f;
    ret_exact->phys = a->exact_phys;
    ret_exact->semantic = (char *)(uintptr_t)a->exact_semantic;
    return a->adapt;
}
