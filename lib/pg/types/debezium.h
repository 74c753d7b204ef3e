/* What the files of the debezium profile share. Not for other folders. */
#ifndef PG_TYPES_DEBEZIUM_H
#define PG_TYPES_DEBEZIUM_H

#include "internal.h"
#include "pg/types/profile.h"

#define READER(name)                                                                                         \
    bool name(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,                    \
              struct arena *arena, struct datum *ret, struct err *err)

/* How the values of one type are carried: a column's, or an array's elements'. */
struct dbz_form {
    enum phys phys;
    const char *semantic;
    pg_read_fn *read; /* NULL: Debezium does not know the type */
    bool lossy;       /* loses something of what a value is made of, whatever the value */
    bool partial;     /* there are values that it cannot hold */
};

/* True: the value may be replaced by what Debezium writes for it; else ERR_DATA. */
bool dbz_lost(const struct pg_column_reader *r, const char *what, struct err *err) MUST_CHECK;
/* True inside of an array. */
static inline bool dbz_is_element(const struct pg_column_reader *r)
{
    return r->phys == PHYS_ARRAY;
}
static inline void dbz_int(struct datum *ret, int64_t v)
{
    *ret = (struct datum){.state = DATUM_VALUE, .i = v};
}
/* A copy in the arena; ERR_NO_MEMORY when it is full. */
bool dbz_bytes(const void *p, size_t len, struct arena *arena, struct datum *ret, struct err *err) MUST_CHECK;
bool dbz_bad(const struct pg_column_reader *r, struct err *err);

/* debezium_read.c */
READER(dbz_decimal);
READER(dbz_variable);
READER(dbz_numeric_text);
READER(dbz_numeric_double);
READER(dbz_money_decimal);
READER(dbz_money_double);
READER(dbz_bit1);
READER(dbz_bits);
READER(dbz_no_bits);
READER(dbz_text);
READER(dbz_encoded);
READER(dbz_base64);
READER(dbz_hex);
/* debezium_time.c */
READER(dbz_date);
READER(dbz_time_micros);
READER(dbz_time_millis);
READER(dbz_timestamp_micros);
READER(dbz_timestamp_millis);
READER(dbz_timestamptz);
READER(dbz_timetz);
READER(dbz_interval);
/* debezium_nested.c */
READER(dbz_array);
READER(dbz_point);
READER(dbz_geometry);
READER(dbz_hstore_json);
READER(dbz_hstore_map);

#endif
