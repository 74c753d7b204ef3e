/*
 * Source side: values of PostgreSQL in binary form (pgoutput `binary`, COPY BINARY) become datums under
 * `type_profile: exact`. Lossless for every value of every built-in type; what the neutral forms cannot carry
 * goes as PostgreSQL's own text, marked by source_type.
 *
 * - bool BOOL; int2, int4, int8 INT16, INT32, INT64; oid INT64; float4, float8 FLOAT32, FLOAT64; bytea BYTES
 * - date INT32 io.debezium.time.Date: days since 1970; infinity = INT32_MAX, -infinity = INT32_MIN
 * - time INT64 io.debezium.time.MicroTime: µs; 24:00:00 = 86400000000
 * - timestamp INT64 io.debezium.time.MicroTimestamp: µs since 1970; infinity = INT64_MAX, -infinity =
 * INT64_MIN; its last days wrap around, see below
 * - timestamptz STRING io.debezium.time.ZonedTimestamp "2024-02-29T11:14:15.123456Z": always UTC, as many
 *   digits as the column's precision, "+12345-06-07T…", astronomical years before 1 ("-0043-03-15T…" = 44
 * BC), "infinity", "-infinity"
 * - timetz STRING io.debezium.time.ZonedTime "13:14:15.123456+05:30:15": own offset kept ("Z" for 0),
 * 24:00:00 kept
 * - interval STRING io.debezium.time.Interval "P1Y2M3DT4H5M6.789012S": months (12*Y+M), days and µs stay
 * apart, each field with its own sign; "infinity", "-infinity" (from 17 on; before, these bytes are a finite
 * one)
 * - numeric STRING as PostgreSQL prints it, display scale kept; "NaN", "Infinity", "-Infinity"
 * - money STRING: hundredths as decimal, "-1234.56", whatever lc_monetary says
 * - "char" STRING: one character; the zero byte is "", bytes above 127 are "\ooo" as PostgreSQL 16 prints
 * them
 * - STRING with a meaning: json and jsonb io.debezium.data.Json, xml io.debezium.data.Xml, uuid
 *   io.debezium.data.Uuid, enums io.debezium.data.Enum, ltree io.debezium.data.Ltree
 * - domains as their base type; source_type is the domain's name
 * - the rest (arrays, ranges, composites, bit, inet, geometry, hstore, tsvector …) plain STRING: what the
 *   server's output function prints under pg_open()'s settings (text.h); except that a tsquery keeps the
 *   parentheses of a & (b & c), without which it would read back as another value
 *
 * The end of timestamp: the server counts from 2000, so its last 945979145224192 µs, from
 * 294247-01-10 04:00:54.775808 on, do not fit in µs since 1970. They wrap around (two's complement) to values
 * that would be years around -290300, where no PostgreSQL timestamp can be (it begins in 4714 BC). Two
 * instants would then meet the marks of the infinities; each takes the place that the wrap gave to that
 * infinity itself:
 * - 294247-01-10 04:00:54.775807 is INT64_MIN + 946684799999999 (swapped with infinity)
 * - 294247-01-10 04:00:54.775808 is INT64_MIN + 946684800000000 (swapped with -infinity)
 *
 * So the map is a bijection of int64: pg_timestamp_to_unix_us() and pg_timestamp_from_unix_us().
 *
 * source_type, _length, _scale: as Debezium propagates them. A negative scale of numeric is in 11 bits
 * (2046 = -2); numeric without modifier has length 131089. Length and scale of an array are its element's.
 * interval: scale 65535 = fields restricted ("year to month").
 */
#ifndef PG_TYPES_READ_H
#define PG_TYPES_READ_H

#include "change/table.h"
#include "core/arena.h"
#include "pg/types/catalog.h"

#define PG_SOURCE_TYPE_MAX 136

struct pg_column_reader;
typedef bool pg_read_fn(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,
                        struct arena *arena, struct datum *ret, struct err *err);

/* Plain data: may be copied. Holds pointers to the catalog and the connection, which must outlive it. */
struct pg_column_reader {
    enum phys phys;
    const char *semantic; /* static; NULL = plain */
    char source_type[PG_SOURCE_TYPE_MAX];
    int32_t source_length;
    int32_t source_scale;
    int32_t source_typmod; /* see struct field */
    /* Of the debezium profile (profile.h); zero in the exact one. See struct field. */
    bool lossy;
    enum phys elem;
    bool elem_required;
    int32_t decimal_scale, decimal_precision, bits_length;
    const char *allowed;       /* the catalog's */
    const char *text_encoding; /* static: "hex", "base64", "bytes"; see struct field */
    bool as_text; /* the type has no binary form: in COPY BINARY select column::text; pgoutput sends text by
                     itself */
    /* The rest is the reader's own. */
    pg_read_fn *read;
    uint32_t oid; /* domains resolved */
    int digits;
    bool interval_marks;
    const struct type_profile *profile;
    pg_read_fn *read_elem; /* ARRAY */
    uint32_t elem_oid;
    struct pg_type_catalog *cat;
    struct pg_conn *conn;
};

/* Decides how a column of this type is carried. `conn` (NULL if only built-in types occur): a side
 * connection, idle whenever the reader is used, on which types and the names of reg* values are looked up;
 * not the one that copies or streams. ERR_UNSUPPORTED: a type whose binary form is not known. @thread owner
 * of cat */
bool pg_reader_plan(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int32_t typmod,
                    struct pg_column_reader *ret, struct err *err) MUST_CHECK;
/* Text values (types without binary form). */
bool pg_read_text(const struct pg_column_reader *r, const void *bytes, uint32_t len, struct arena *arena,
                  struct datum *ret, struct err *err) MUST_CHECK;
/* One value that is not null. Strings point into `bytes` where these are the same, else into `arena`. Bytes
 * that do not parse: ERR_PROTOCOL; arena full: ERR_NO_MEMORY. The caller wraps table and column around.
 * @thread owner of cat */
static inline bool MUST_CHECK pg_read_value(const struct pg_column_reader *r, const void *bytes, uint32_t len,
                                            bool is_text, struct arena *arena, struct datum *ret,
                                            struct err *err)
{
    return is_text ? pg_read_text(r, bytes, len, arena, ret, err)
                   : r->read(r, (const unsigned char *)bytes, len, arena, ret, err);
}
/* The field that this column becomes; strings are on the heap and go to the caller (table_schema_free). */
void pg_reader_field(const struct pg_column_reader *r, const char *name, bool optional, bool key,
                     struct field *ret);

/* The bijection between PostgreSQL's timestamps (µs since 2000; extremes = infinities) and MicroTimestamp;
 * see above. */
int64_t pg_timestamp_to_unix_us(int64_t pg_us);
int64_t pg_timestamp_from_unix_us(int64_t unix_us);

#endif
