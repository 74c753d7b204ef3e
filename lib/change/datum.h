/*
 * A datum is one column value in the neutral form that the journal carries: a physical type (what Kafka
 * Connect calls the schema type) with a meaning named by the field (datum does not repeat it). Source-side
 * code turns server bytes into datums, target-side code turns datums into what its server takes; codecs know
 * only datums.
 */
#ifndef CHANGE_DATUM_H
#define CHANGE_DATUM_H

#include <stdbool.h>
#include <stdint.h>

enum phys {
    PHYS_UNKNOWN = 0,
    PHYS_BOOL,
    PHYS_INT16,
    PHYS_INT32,
    PHYS_INT64,
    PHYS_FLOAT32,
    PHYS_FLOAT64,
    PHYS_STRING, /* UTF-8, no NUL inside */
    PHYS_BYTES,
    PHYS_ARRAY, /* nested values: see change/nested.h */
    PHYS_STRUCT,
    PHYS_MAP,
    PHYS_MAX_
};

enum datum_state {
    DATUM_NULL = 0,
    DATUM_VALUE,
    DATUM_UNAVAILABLE /* unchanged TOAST value that the source did not send; "__debezium_unavailable_value" on
                         the wire */
};

struct datum {
    enum datum_state state;
    union {
        int64_t i; /* BOOL (0/1), INT16, INT32, INT64 */
        double f;  /* FLOAT32 (value fits a float), FLOAT64 */
        struct {
            const char *p; /* STRING, BYTES and nested values: not owned, not NUL-terminated */
            uint32_t len;
        } s;
    };
};

/* What stands for DATUM_UNAVAILABLE on the wire (Debezium's `unavailable.value.placeholder`). */
#define UNAVAILABLE_TEXT "__debezium_unavailable_value"

#endif
