/*
 * Types of a PostgreSQL server: what pg_type says, reduced to what the conversions need. Built-in types
 * (fixed OIDs) are compiled in and need no server; all others are read once per OID through a connection and
 * kept.
 *
 * A catalog belongs to one thread, and to one database: OIDs above 16383 mean nothing elsewhere.
 */
#ifndef PG_TYPES_CATALOG_H
#define PG_TYPES_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

struct pg_conn;

enum pg_kind {
    PG_KIND_UNKNOWN = 0,
    PG_KIND_ARRAY = 'A', /* true array (pg_type has no letter for it); int2vector and oidvector are BASE */
    PG_KIND_BASE = 'b',
    PG_KIND_COMPOSITE = 'c',
    PG_KIND_DOMAIN = 'd',
    PG_KIND_ENUM = 'e',
    PG_KIND_MULTIRANGE = 'm',
    PG_KIND_PSEUDO = 'p',
    PG_KIND_RANGE = 'r',
};

/* Layout of the binary form, named after the send function. */
enum pg_wire {
    PG_WIRE_UNKNOWN = 0, /* has a binary form that is not known here */
    PG_WIRE_NONE,        /* no send function: always text */
    PG_WIRE_BOOL,
    PG_WIRE_BYTEA,
    PG_WIRE_QCHAR, /* "char": one byte */
    PG_WIRE_TEXT,  /* the text itself: text, varchar, bpchar, name, json, xml, citext, enum labels … */
    PG_WIRE_INT2,
    PG_WIRE_INT4,
    PG_WIRE_INT8,
    PG_WIRE_UINT4, /* oid, xid, cid */
    PG_WIRE_UINT8, /* xid8 */
    PG_WIRE_FLOAT4,
    PG_WIRE_FLOAT8,
    PG_WIRE_NUMERIC,
    PG_WIRE_MONEY,
    PG_WIRE_DATE,
    PG_WIRE_TIME,
    PG_WIRE_TIMETZ,
    PG_WIRE_TIMESTAMP,
    PG_WIRE_TIMESTAMPTZ,
    PG_WIRE_INTERVAL,
    PG_WIRE_UUID,
    PG_WIRE_VERSIONED_TEXT, /* a version byte 1, then text: jsonb, jsonpath, ltree, lquery, ltxtquery */
    PG_WIRE_BIT,
    PG_WIRE_INET,    /* inet and cidr: the bytes say which */
    PG_WIRE_MACADDR, /* 6 or 8 bytes */
    PG_WIRE_POINT,
    PG_WIRE_LSEG,
    PG_WIRE_BOX,
    PG_WIRE_LINE,
    PG_WIRE_PATH,
    PG_WIRE_POLYGON,
    PG_WIRE_CIRCLE,
    PG_WIRE_TSVECTOR,
    PG_WIRE_TSQUERY,
    PG_WIRE_LSN,
    PG_WIRE_TID,
    PG_WIRE_SNAPSHOT,
    PG_WIRE_VECTOR, /* int2vector, oidvector: an array in binary, blanks between numbers in text */
    PG_WIRE_REG,    /* regclass & co.: an OID, whose name only the server knows */
    PG_WIRE_HSTORE,
    PG_WIRE_EWKB, /* PostGIS: geometry, geography; the text form is the bytes in hexadecimal */
    PG_WIRE_ARRAY,
    PG_WIRE_RANGE,
    PG_WIRE_MULTIRANGE,
    PG_WIRE_RECORD,
    PG_WIRE_MAX_
};

struct pg_type_attr {
    char *name;
    uint32_t type;
    int32_t typmod;
};

/* Owned by the catalog (or static), alive as long as it. */
struct pg_type {
    uint32_t oid;
    const char *schema;
    const char *name; /* typname, exact */
    enum pg_kind kind;
    enum pg_wire wire;          /* of a domain: its base type's */
    char category;              /* pg_type.typcategory */
    char delim;                 /* between array elements */
    uint32_t elem;              /* ARRAY: element type, also vectors; else 0 */
    uint32_t base;              /* DOMAIN: what it is over; else 0 */
    int32_t base_typmod;        /* DOMAIN: modifier of base, -1 = none */
    uint32_t range_subtype;     /* RANGE: its element type; MULTIRANGE: its range type; else 0 */
    struct pg_type_attr *attrs; /* COMPOSITE, in order, dropped ones left out */
    size_t attr_count;
    bool has_binary; /* has a send function; without one the server always gives text */
};

/* OIDs of built-in types that are named in code. */
enum {
    PG_OID_BOOL = 16,
    PG_OID_BYTEA = 17,
    PG_OID_QCHAR = 18,
    PG_OID_NAME = 19,
    PG_OID_INT8 = 20,
    PG_OID_INT2 = 21,
    PG_OID_INT4 = 23,
    PG_OID_TEXT = 25,
    PG_OID_OID = 26,
    PG_OID_JSON = 114,
    PG_OID_XML = 142,
    PG_OID_CIDR = 650,
    PG_OID_FLOAT4 = 700,
    PG_OID_FLOAT8 = 701,
    PG_OID_MONEY = 790,
    PG_OID_MACADDR = 829,
    PG_OID_INET = 869,
    PG_OID_BPCHAR = 1042,
    PG_OID_VARCHAR = 1043,
    PG_OID_DATE = 1082,
    PG_OID_TIME = 1083,
    PG_OID_TIMESTAMP = 1114,
    PG_OID_TIMESTAMPTZ = 1184,
    PG_OID_INTERVAL = 1186,
    PG_OID_TIMETZ = 1266,
    PG_OID_BIT = 1560,
    PG_OID_VARBIT = 1562,
    PG_OID_NUMERIC = 1700,
    PG_OID_UUID = 2950,
    PG_OID_JSONB = 3802,
};

struct pg_type_catalog;

struct pg_type_catalog *pg_type_catalog_new(void);
void pg_type_catalog_free(struct pg_type_catalog *cat); /* NULL allowed */
/* Forgets the names of reg* values that were looked up (types stay): after a rename on the server. */
void pg_type_catalog_forget_names(struct pg_type_catalog *cat);
/* One type. `conn` may be NULL for built-in OIDs; otherwise it is idle (no COPY, no failed transaction) and
 * is asked once per OID. ERR_SCHEMA: there is no such type. @thread owner */
bool pg_type_catalog_get(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid,
                         const struct pg_type **ret, struct err *err) MUST_CHECK;
/* An enum or a domain as somebody remembers it (schema, name, kind, base, base_typmod of `type`): stands in when the server has it
 * no longer. */
void pg_type_catalog_remember(struct pg_type_catalog *cat, const struct pg_type *type);
/* Follows domains down to what is stored; *typmod (NULL allowed) turns into the outermost modifier that
 * applies. */
bool pg_type_catalog_base(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int32_t *typmod,
                          const struct pg_type **ret, struct err *err) MUST_CHECK;
/* True if every part of the binary form is known (elements, bounds, attributes); else ERR_UNSUPPORTED names
 * the part that is not. NONE at the top is fine (text arrives), below the top it is not: the server itself
 * refuses to send it. */
bool pg_type_catalog_known(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid,
                           struct err *err) MUST_CHECK;

/* Built-in type by OID or by typname in any case ("int4", "_INT4"); NULL if there is none. */
const struct pg_type *pg_type_builtin(uint32_t oid);
const struct pg_type *pg_type_builtin_named(const char *name);

/* Type modifiers. */
/* numeric: false if there is no modifier. Scale may be negative (15 and later). */
bool pg_typmod_numeric(int32_t typmod, int *ret_precision, int *ret_scale);
/* time, timetz, timestamp, timestamptz: digits behind the second, 6 without a modifier. */
int pg_typmod_time_digits(int32_t typmod);
/* interval: digits and the mask of fields (INTERVAL_FULL_RANGE without a restriction). */
#define PG_INTERVAL_FULL_RANGE 0x7fff
int pg_typmod_interval_digits(int32_t typmod);
int pg_typmod_interval_range(int32_t typmod);

#endif
