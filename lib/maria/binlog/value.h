/*
 * Stored bytes of a column → datum, in the forms of Debezium's MariaDB connector, but without its losses: BIGINT UNSIGNED is a Decimal of
 * scale 0, zero and partial dates are refused (or null where that is asked for and the column can be), DECIMAL is exact, FLOAT a float.
 * A pure decoder of bytes that are not trusted.
 */
#ifndef MARIA_BINLOG_VALUE_H
#define MARIA_BINLOG_VALUE_H

#include "change/datum.h"
#include "core/arena.h"
#include "maria/binlog/charset.h"
#include "maria/binlog/rows.h"

enum value_form {
    VALUE_UNKNOWN = 0,
    VALUE_INT,
    VALUE_UINT64, /* as a Decimal */
    VALUE_FLOAT,
    VALUE_DOUBLE,
    VALUE_DECIMAL,
    VALUE_BOOL, /* BIT(1) */
    VALUE_BITS,
    VALUE_TEXT,
    VALUE_BYTES,
    VALUE_FIXED_BYTES, /* BINARY(n): zeros at its end are not sent */
    VALUE_UUID,
    VALUE_INET4,
    VALUE_INET6,
    VALUE_ENUM,
    VALUE_SET,
    VALUE_YEAR,
    VALUE_DATE,
    VALUE_TIME,
    VALUE_DATETIME_MS,
    VALUE_DATETIME_US,
    VALUE_TIMESTAMP,
    VALUE_POINT,
    VALUE_GEOMETRY
};

struct value_label {
    const char *p; /* UTF-8 */
    uint32_t len;
};

/* How one column is read. */
struct value_plan {
    enum value_form form;
    struct map_column col; /* its spans are not used */
    struct charset *charset;
    struct value_label *labels; /* ENUM, SET */
    size_t label_count;
    bool zero_date_null; /* a date that is none becomes null */
};

struct value_context {
    struct arena *arena;
    struct strbuf *scratch;
};

/* Texts of *ret are in the arena or in the event's bytes. ERR_DATA: a value that cannot be given (which is said, without it);
 * ERR_PROTOCOL: broken bytes; ERR_NO_MEMORY. */
bool value_read(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                struct datum *ret, struct err *err) MUST_CHECK;
/* Temporal ones: value_time.c. */
bool value_read_time(const struct value_plan *plan, const uint8_t *p, const struct value_context *ctx,
                     struct datum *ret, struct err *err) MUST_CHECK;
/* Bytes of a text or blob to a datum, from the scratch buffer. */
bool value_keep(const struct value_context *ctx, const void *bytes, size_t len, struct datum *ret,
                struct err *err) MUST_CHECK;

#endif
