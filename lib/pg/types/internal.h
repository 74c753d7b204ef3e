/* What the files of this folder share: a reader of binary values, dates, floats, numerics. Not for other
 * folders. */
#ifndef PG_TYPES_INTERNAL_H
#define PG_TYPES_INTERNAL_H

#include <endian.h>
#include <string.h>

#include "change/datum.h"
#include "core/arena.h"
#include "pg/types/catalog.h"

/* Deepest nesting of arrays, composites and domains, and of a tsquery's operators. */
#define TYPES_DEPTH_MAX   64
#define TSQUERY_DEPTH_MAX 5000
/* A field of PostgreSQL holds at most 1 GB; its text may be longer (bytea), but is refused then. */
#define TYPES_TEXT_MAX   ((size_t)1 << 30)
#define TYPES_SECONDS(n) ((int64_t)(n)*INT64_C(1000000))

/* A reader of big-endian bytes; `failed` sticks and is looked at once per value. Reads past the end give 0 or
 * NULL. */
struct wire_in {
    const unsigned char *p;
    size_t left;
    bool failed;
};

static inline const unsigned char *wire_bytes(struct wire_in *in, size_t n)
{
    if (in->left < n) {
        in->failed = true;
        return NULL;
    }
    const unsigned char *p = in->p;
    in->p += n;
    in->left -= n;
    return p;
}

static inline uint16_t load_be16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return be16toh(v);
}

static inline uint32_t load_be32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static inline uint64_t load_be64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

static inline float load_float(const unsigned char *p)
{
    uint32_t bits = load_be32(p);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline double load_double(const unsigned char *p)
{
    uint64_t bits = load_be64(p);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint8_t wire_u8(struct wire_in *in)
{
    const unsigned char *p = wire_bytes(in, 1);
    return p != NULL ? *p : 0;
}

static inline uint16_t wire_u16(struct wire_in *in)
{
    const unsigned char *p = wire_bytes(in, 2);
    return p != NULL ? load_be16(p) : 0;
}

static inline uint32_t wire_u32(struct wire_in *in)
{
    const unsigned char *p = wire_bytes(in, 4);
    return p != NULL ? load_be32(p) : 0;
}

static inline uint64_t wire_u64(struct wire_in *in)
{
    const unsigned char *p = wire_bytes(in, 8);
    return p != NULL ? load_be64(p) : 0;
}

static inline double wire_double(struct wire_in *in)
{
    const unsigned char *p = wire_bytes(in, 8);
    return p != NULL ? load_double(p) : 0;
}

/* What one call of pg_value_to_text carries through its recursion. */
struct text_out {
    struct pg_type_catalog *cat;
    struct pg_conn *conn;
    struct strbuf *out;
    int depth;
    bool exact; /* where the server's text reads back as something else, write what reads back (see read.h) */
    struct err *err;
};

/* Appends one value of this type. All text_* functions: false = t->err is set. */
bool text_value(struct text_out *t, uint32_t oid, const unsigned char *bytes, size_t len);
/* As pg_value_to_text, `exact`. */
bool text_exact(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, const void *bytes,
                uint32_t len, struct strbuf *out, struct err *err) MUST_CHECK;
/* ERR_PROTOCOL "bytes of a <what> do not parse". */
bool text_bad(struct text_out *t, const char *what);
bool text_array(struct text_out *t, const struct pg_type *type, struct wire_in *in);
bool text_vector(struct text_out *t, struct wire_in *in);
bool text_range(struct text_out *t, const struct pg_type *type, struct wire_in *in);
bool text_multirange(struct text_out *t, const struct pg_type *type, struct wire_in *in);
bool text_record(struct text_out *t, struct wire_in *in);
bool text_hstore(struct text_out *t, struct wire_in *in);
bool text_tsvector(struct text_out *t, struct wire_in *in);
bool text_tsquery(struct text_out *t, struct wire_in *in);
bool text_geometry(struct text_out *t, enum pg_wire wire, struct wire_in *in);
bool text_inet(struct text_out *t, struct wire_in *in);
bool text_macaddr(struct text_out *t, struct wire_in *in);
bool text_money(struct text_out *t, struct wire_in *in);
/* Name behind a reg* value, from the server, cached in the catalog. */
bool text_reg(struct text_out *t, const struct pg_type *type, uint32_t value);
/* Catalog's cache of such names: NULL = not there. The catalog copies `name`. */
const char *catalog_reg_name(const struct pg_type_catalog *cat, uint32_t type, uint32_t value);
const char *catalog_reg_remember(struct pg_type_catalog *cat, uint32_t type, uint32_t value,
                                 const char *name);
/* A buffer for texts on their way into an arena. */
struct strbuf *catalog_scratch(struct pg_type_catalog *cat);

/* A second one, for nested values whose parts need the first. */
struct strbuf *catalog_body(struct pg_type_catalog *cat);
/* Labels of an enum in their order, with commas between; asked once, the catalog's. */
bool catalog_labels(struct pg_type_catalog *cat, struct pg_conn *conn, const struct pg_type *type,
                    const char **ret, struct err *err) MUST_CHECK;

/* How the exact profile carries values of a type (domains resolved). */
void types_rule(const struct pg_type *type, enum phys *ret_phys, const char **ret_semantic);
/* "_INT4" for arrays, else the upper-case type name. */
void types_source_name(const struct pg_type *type, const struct pg_type *elem, char *out, size_t size);
struct pg_column_reader;
/* Fills phys, semantic and source_* of a reader whose cat and conn are set. */
bool types_describe(struct pg_column_reader *r, const struct pg_type *declared, const struct pg_type *base,
                    int32_t typmod, struct err *err);

/* How the exact profile reads values of a type. */
bool (*types_exact_reader(const struct pg_type *base))(const struct pg_column_reader *, const unsigned char *,
                                                       uint32_t, struct arena *, struct datum *,
                                                       struct err *);
/* A text that has come from the server, in the reader's text_encoding. */
bool debezium_encode_text(const struct pg_column_reader *r, const void *bytes, uint32_t len,
                          struct arena *arena, struct datum *ret, struct err *err) MUST_CHECK;

/* The shape in front of an array's elements; *in is then at the first of them. */
#define ARRAY_DIMS_MAX 6
struct array_shape {
    int dims;
    int32_t size[ARRAY_DIMS_MAX];
    int32_t lower[ARRAY_DIMS_MAX];
    uint32_t elem;
    size_t count;
};
bool array_shape_read(struct wire_in *in, struct array_shape *ret);

/* Whole numbers of any size as Java's BigInteger.toByteArray has them: big-endian two's complement, as short
 * as can be. Digits without sign and leading zeros; NULL = the arena is full. */
const char *decimal_to_bytes(const char *digits, size_t count, bool negative, struct arena *arena,
                             uint32_t *ret_len);
/* Back: appends the number with its point `scale` places from the right. False: larger than a numeric. */
bool decimal_from_bytes(const unsigned char *bytes, size_t len, int scale, struct strbuf *out);

/* float8out/float4out with extra_float_digits 1: shortest digits that read back as the same value. Returns
 * the length. */
#define FLOAT_TEXT_MAX 32
size_t float8_text(double v, char out[FLOAT_TEXT_MAX]);
size_t float4_text(float v, char out[FLOAT_TEXT_MAX]);

/* Room that the text of this binary numeric needs at most; 0 = bytes do not parse. */
size_t numeric_text_room(const unsigned char *bytes, size_t len);
/* Writes the text, returns its length. Only after numeric_text_room() said yes; 0 = bytes do not parse after
 * all. */
size_t numeric_text(const unsigned char *bytes, char *out);
/* Appends the binary form of a decimal text in PostgreSQL's own form (or Debezium's words NAN,
 * POSITIVE_INFINITY, NEGATIVE_INFINITY). The column keeps `whole` digits before the point and `scale` behind
 * it (either may be negative, as in numeric(3,5) and numeric(5,-2)); NUMERIC_ANY = what the type takes.
 * ERR_DATA: it would be refused or rounded. */
#define NUMERIC_ANY (-100000)
bool numeric_from_text(const char *p, size_t len, int whole, int scale, struct strbuf *out, struct err *err);
bool money_from_text(const char *p, size_t len, int64_t *ret, struct err *err);
size_t money_text(int64_t cents, char out[32]);

/* Dates and times. Text functions write at most TIME_TEXT_MAX bytes and return the length. Timestamps and
 * dates here count from 2000 as the server does, with its marks for the infinities. */
#define TIME_TEXT_MAX 96
#define PG_EPOCH_DAYS 10957 /* 2000-01-01 since 1970-01-01 */
#define US_PER_DAY    INT64_C(86400000000)
#define PG_TS_MIN     (INT64_C(-211813488000000000)) /* 4714-11-24 BC */
#define PG_TS_END     (INT64_C(9223371331200000000)) /* 294277-01-01, the first that is not allowed */
#define PG_DATE_MIN   (-2451545)
#define PG_DATE_END   (2145031949) /* 5874898-01-01 */
#define PG_ZONE_MAX   (16 * 3600)  /* a timetz offset is less, either way */

/* Proleptic Gregorian calendar, as the server's; days since 1970. */
struct civil {
    int64_t year; /* astronomical: 0 = 1 BC */
    unsigned month;
    unsigned day;
};
struct civil civil_from_days(int64_t unix_days);
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);

size_t date_text(int32_t pg_days, char *out);
size_t time_text(int64_t us, char *out);
size_t timetz_text(int64_t us, int32_t zone_west_s, char *out);
size_t timestamp_text(int64_t pg_us, bool utc, char *out);
/* Intervals with all three parts at their extreme are infinite from 17 on, and finite before: `marks` says
 * which. */
bool interval_is_infinite(int64_t us, int32_t days, int32_t months);
bool interval_marks(const struct pg_conn *conn); /* does this server have infinite intervals? NULL: yes */
size_t interval_text(int64_t us, int32_t days, int32_t months, bool marks, char *out);
size_t iso_timestamp(int64_t pg_us, int digits, char *out);
size_t iso_timetz(int64_t us, int32_t zone_west_s, char *out);
size_t iso_interval(int64_t us, int32_t days, int32_t months, bool marks, char *out);
/* False: not of this form, or out of the server's range. */
bool iso_timestamp_parse(const char *p, size_t len, int64_t *ret_pg_us);
bool iso_timetz_parse(const char *p, size_t len, int64_t *ret_us, int32_t *ret_zone_west_s);
bool iso_interval_parse(const char *p, size_t len, int64_t *ret_us, int32_t *ret_days, int32_t *ret_months,
                        bool *ret_infinite);

#endif
