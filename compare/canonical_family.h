/* Which kind of type a column of PostgreSQL has, as far as another server's form of it goes. Pure. Private to this module. @thread any */
#ifndef COMPARE_CANONICAL_FAMILY_H
#define COMPARE_CANONICAL_FAMILY_H

#include "catalog.h"

enum canonical_family {
    CANON_OTHER = 0, /* known by its text alone */
    CANON_UNKNOWN,   /* a domain over a domain: may be any of these */
    CANON_BOOL,
    CANON_INT, /* and oid */
    CANON_NUMERIC,
    CANON_MONEY,
    CANON_FLOAT,
    CANON_TEXT,
    CANON_BPCHAR,
    CANON_BYTES,
    CANON_JSON,
    CANON_JSONB,
    CANON_XML,
    CANON_DATE,
    CANON_TIME,
    CANON_TIMESTAMP,
    CANON_TIMESTAMPTZ,
    CANON_UUID,
    CANON_INET, /* and cidr */
    CANON_MACADDR,
    CANON_BIT,
    CANON_TSQUERY,
    CANON_ARRAY,        /* of elements that apply writes as their texts */
    CANON_ARRAY_NATIVE, /* of numbers or booleans, which are JSON's own */
    CANON_ARRAY_OID,
    CANON_ARRAY_BOX,
    CANON_ARRAY_TSQUERY
};

enum canonical_family canonical_family(const struct cat_column *c);
bool canonical_is_array(enum canonical_family family);

#endif
