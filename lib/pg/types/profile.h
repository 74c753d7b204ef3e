/*
 * How capture carries values: `type_profile: exact` (read.h) or `debezium`, which gives what Debezium 3.1's
 * PostgreSQL connector gives while it streams, by its modes. What was read off recorded output is in
 * docs/DEBEZIUM.md; types that Debezium leaves out by default come as it sends them with
 * include.unknown.datatypes.
 *
 * Where these forms cannot hold a value, the profile halts (ERR_DATA) or, with stand_ins, writes what Debezium
 * writes instead.
 */
#ifndef PG_TYPES_PROFILE_H
#define PG_TYPES_PROFILE_H

#include <stdbool.h>

#include "pg/types/read.h"

enum decimal_mode { DECIMAL_PRECISE, DECIMAL_DOUBLE, DECIMAL_STRING };
enum time_mode { TIME_ADAPTIVE, TIME_ADAPTIVE_MICROS, TIME_CONNECT };
enum interval_mode { INTERVAL_NUMERIC, INTERVAL_STRING };
enum binary_mode { BINARY_BYTES, BINARY_BASE64, BINARY_HEX };
enum hstore_mode { HSTORE_JSON, HSTORE_MAP };

struct type_profile {
    bool debezium; /* false: exact, and nothing else counts */
    bool stand_ins;
    enum decimal_mode decimal;
    enum time_mode time;
    enum interval_mode interval;
    enum binary_mode binary;
    enum hstore_mode hstore;
};

/* From the option texts; NULL = default. False: `text` is none of the words (the option table sees to it). */
struct type_profile_texts {
    const char *profile, *lossy, *decimal, *time, *interval, *binary, *hstore;
};
struct type_profile type_profile_of(const struct type_profile_texts *texts);

/* As pg_reader_plan, by this profile, which must outlive the reader. */
bool pg_reader_plan_profile(const struct type_profile *profile, struct pg_type_catalog *cat,
                            struct pg_conn *conn, uint32_t oid, int32_t typmod, struct pg_column_reader *ret,
                            struct err *err) MUST_CHECK;

#endif
