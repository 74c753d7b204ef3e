/*
 * Owns: the table of built-in types, and what type modifiers mean. Their OIDs and binary forms have not
 * changed since they were introduced; the newest (multiranges) came with 14, none with 15 to 18. Made from
 * pg_type of 15: oid < 10000 without row types and most pseudo-types; the wire form follows from typsend.
 */
#include "pg/types/catalog.h"

#include <strings.h>

#define T(oid_, name_, kind_, wire_, category_, delim_, elem_, sub_)                                         \
    {                                                                                                        \
        .oid = (oid_), .schema = "pg_catalog", .name = (name_), .kind = PG_KIND_##kind_,                     \
        .wire = PG_WIRE_##wire_, .category = (category_), .delim = (delim_), .elem = (elem_),                \
        .base_typmod = -1, .range_subtype = (sub_), .has_binary = PG_WIRE_##wire_ != PG_WIRE_NONE            \
    }

/* clang-format off */
static const struct pg_type builtin[] = { /* by oid */
    T(16, "bool", BASE, BOOL, 'B', ',', 0, 0),
    T(17, "bytea", BASE, BYTEA, 'U', ',', 0, 0),
    T(18, "char", BASE, QCHAR, 'Z', ',', 0, 0),
    T(19, "name", BASE, TEXT, 'S', ',', 0, 0),
    T(20, "int8", BASE, INT8, 'N', ',', 0, 0),
    T(21, "int2", BASE, INT2, 'N', ',', 0, 0),
    T(22, "int2vector", BASE, VECTOR, 'A', ',', 21, 0),
    T(23, "int4", BASE, INT4, 'N', ',', 0, 0),
    T(24, "regproc", BASE, REG, 'N', ',', 0, 0),
    T(25, "text", BASE, TEXT, 'S', ',', 0, 0),
    T(26, "oid", BASE, UINT4, 'N', ',', 0, 0),
    T(27, "tid", BASE, TID, 'U', ',', 0, 0),
    T(28, "xid", BASE, UINT4, 'U', ',', 0, 0),
    T(29, "cid", BASE, UINT4, 'U', ',', 0, 0),
    T(30, "oidvector", BASE, VECTOR, 'A', ',', 26, 0),
    T(114, "json", BASE, TEXT, 'U', ',', 0, 0),
    T(142, "xml", BASE, TEXT, 'U', ',', 0, 0),
    T(143, "_xml", ARRAY, ARRAY, 'A', ',', 142, 0),
    T(194, "pg_node_tree", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(199, "_json", ARRAY, ARRAY, 'A', ',', 114, 0),
    T(271, "_xid8", ARRAY, ARRAY, 'A', ',', 5069, 0),
    T(600, "point", BASE, POINT, 'G', ',', 0, 0),
    T(601, "lseg", BASE, LSEG, 'G', ',', 0, 0),
    T(602, "path", BASE, PATH, 'G', ',', 0, 0),
    T(603, "box", BASE, BOX, 'G', ';', 0, 0),
    T(604, "polygon", BASE, POLYGON, 'G', ',', 0, 0),
    T(628, "line", BASE, LINE, 'G', ',', 0, 0),
    T(629, "_line", ARRAY, ARRAY, 'A', ',', 628, 0),
    T(650, "cidr", BASE, INET, 'I', ',', 0, 0),
    T(651, "_cidr", ARRAY, ARRAY, 'A', ',', 650, 0),
    T(700, "float4", BASE, FLOAT4, 'N', ',', 0, 0),
    T(701, "float8", BASE, FLOAT8, 'N', ',', 0, 0),
    T(718, "circle", BASE, CIRCLE, 'G', ',', 0, 0),
    T(719, "_circle", ARRAY, ARRAY, 'A', ',', 718, 0),
    T(774, "macaddr8", BASE, MACADDR, 'U', ',', 0, 0),
    T(775, "_macaddr8", ARRAY, ARRAY, 'A', ',', 774, 0),
    T(790, "money", BASE, MONEY, 'N', ',', 0, 0),
    T(791, "_money", ARRAY, ARRAY, 'A', ',', 790, 0),
    T(829, "macaddr", BASE, MACADDR, 'U', ',', 0, 0),
    T(869, "inet", BASE, INET, 'I', ',', 0, 0),
    T(1000, "_bool", ARRAY, ARRAY, 'A', ',', 16, 0),
    T(1001, "_bytea", ARRAY, ARRAY, 'A', ',', 17, 0),
    T(1002, "_char", ARRAY, ARRAY, 'A', ',', 18, 0),
    T(1003, "_name", ARRAY, ARRAY, 'A', ',', 19, 0),
    T(1005, "_int2", ARRAY, ARRAY, 'A', ',', 21, 0),
    T(1006, "_int2vector", ARRAY, ARRAY, 'A', ',', 22, 0),
    T(1007, "_int4", ARRAY, ARRAY, 'A', ',', 23, 0),
    T(1008, "_regproc", ARRAY, ARRAY, 'A', ',', 24, 0),
    T(1009, "_text", ARRAY, ARRAY, 'A', ',', 25, 0),
    T(1010, "_tid", ARRAY, ARRAY, 'A', ',', 27, 0),
    T(1011, "_xid", ARRAY, ARRAY, 'A', ',', 28, 0),
    T(1012, "_cid", ARRAY, ARRAY, 'A', ',', 29, 0),
    T(1013, "_oidvector", ARRAY, ARRAY, 'A', ',', 30, 0),
    T(1014, "_bpchar", ARRAY, ARRAY, 'A', ',', 1042, 0),
    T(1015, "_varchar", ARRAY, ARRAY, 'A', ',', 1043, 0),
    T(1016, "_int8", ARRAY, ARRAY, 'A', ',', 20, 0),
    T(1017, "_point", ARRAY, ARRAY, 'A', ',', 600, 0),
    T(1018, "_lseg", ARRAY, ARRAY, 'A', ',', 601, 0),
    T(1019, "_path", ARRAY, ARRAY, 'A', ',', 602, 0),
    T(1020, "_box", ARRAY, ARRAY, 'A', ';', 603, 0),
    T(1021, "_float4", ARRAY, ARRAY, 'A', ',', 700, 0),
    T(1022, "_float8", ARRAY, ARRAY, 'A', ',', 701, 0),
    T(1027, "_polygon", ARRAY, ARRAY, 'A', ',', 604, 0),
    T(1028, "_oid", ARRAY, ARRAY, 'A', ',', 26, 0),
    T(1033, "aclitem", BASE, NONE, 'U', ',', 0, 0),
    T(1034, "_aclitem", ARRAY, ARRAY, 'A', ',', 1033, 0),
    T(1040, "_macaddr", ARRAY, ARRAY, 'A', ',', 829, 0),
    T(1041, "_inet", ARRAY, ARRAY, 'A', ',', 869, 0),
    T(1042, "bpchar", BASE, TEXT, 'S', ',', 0, 0),
    T(1043, "varchar", BASE, TEXT, 'S', ',', 0, 0),
    T(1082, "date", BASE, DATE, 'D', ',', 0, 0),
    T(1083, "time", BASE, TIME, 'D', ',', 0, 0),
    T(1114, "timestamp", BASE, TIMESTAMP, 'D', ',', 0, 0),
    T(1115, "_timestamp", ARRAY, ARRAY, 'A', ',', 1114, 0),
    T(1182, "_date", ARRAY, ARRAY, 'A', ',', 1082, 0),
    T(1183, "_time", ARRAY, ARRAY, 'A', ',', 1083, 0),
    T(1184, "timestamptz", BASE, TIMESTAMPTZ, 'D', ',', 0, 0),
    T(1185, "_timestamptz", ARRAY, ARRAY, 'A', ',', 1184, 0),
    T(1186, "interval", BASE, INTERVAL, 'T', ',', 0, 0),
    T(1187, "_interval", ARRAY, ARRAY, 'A', ',', 1186, 0),
    T(1231, "_numeric", ARRAY, ARRAY, 'A', ',', 1700, 0),
    T(1266, "timetz", BASE, TIMETZ, 'D', ',', 0, 0),
    T(1270, "_timetz", ARRAY, ARRAY, 'A', ',', 1266, 0),
    T(1560, "bit", BASE, BIT, 'V', ',', 0, 0),
    T(1561, "_bit", ARRAY, ARRAY, 'A', ',', 1560, 0),
    T(1562, "varbit", BASE, BIT, 'V', ',', 0, 0),
    T(1563, "_varbit", ARRAY, ARRAY, 'A', ',', 1562, 0),
    T(1700, "numeric", BASE, NUMERIC, 'N', ',', 0, 0),
    T(1790, "refcursor", BASE, TEXT, 'U', ',', 0, 0),
    T(2201, "_refcursor", ARRAY, ARRAY, 'A', ',', 1790, 0),
    T(2202, "regprocedure", BASE, REG, 'N', ',', 0, 0),
    T(2203, "regoper", BASE, REG, 'N', ',', 0, 0),
    T(2204, "regoperator", BASE, REG, 'N', ',', 0, 0),
    T(2205, "regclass", BASE, REG, 'N', ',', 0, 0),
    T(2206, "regtype", BASE, REG, 'N', ',', 0, 0),
    T(2207, "_regprocedure", ARRAY, ARRAY, 'A', ',', 2202, 0),
    T(2208, "_regoper", ARRAY, ARRAY, 'A', ',', 2203, 0),
    T(2209, "_regoperator", ARRAY, ARRAY, 'A', ',', 2204, 0),
    T(2210, "_regclass", ARRAY, ARRAY, 'A', ',', 2205, 0),
    T(2211, "_regtype", ARRAY, ARRAY, 'A', ',', 2206, 0),
    T(2249, "record", PSEUDO, RECORD, 'P', ',', 0, 0),
    T(2287, "_record", ARRAY, ARRAY, 'P', ',', 2249, 0),
    T(2949, "_txid_snapshot", ARRAY, ARRAY, 'A', ',', 2970, 0),
    T(2950, "uuid", BASE, UUID, 'U', ',', 0, 0),
    T(2951, "_uuid", ARRAY, ARRAY, 'A', ',', 2950, 0),
    T(2970, "txid_snapshot", BASE, SNAPSHOT, 'U', ',', 0, 0),
    T(3220, "pg_lsn", BASE, LSN, 'U', ',', 0, 0),
    T(3221, "_pg_lsn", ARRAY, ARRAY, 'A', ',', 3220, 0),
    T(3361, "pg_ndistinct", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(3402, "pg_dependencies", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(3614, "tsvector", BASE, TSVECTOR, 'U', ',', 0, 0),
    T(3615, "tsquery", BASE, TSQUERY, 'U', ',', 0, 0),
    T(3642, "gtsvector", BASE, NONE, 'U', ',', 0, 0),
    T(3643, "_tsvector", ARRAY, ARRAY, 'A', ',', 3614, 0),
    T(3644, "_gtsvector", ARRAY, ARRAY, 'A', ',', 3642, 0),
    T(3645, "_tsquery", ARRAY, ARRAY, 'A', ',', 3615, 0),
    T(3734, "regconfig", BASE, REG, 'N', ',', 0, 0),
    T(3735, "_regconfig", ARRAY, ARRAY, 'A', ',', 3734, 0),
    T(3769, "regdictionary", BASE, REG, 'N', ',', 0, 0),
    T(3770, "_regdictionary", ARRAY, ARRAY, 'A', ',', 3769, 0),
    T(3802, "jsonb", BASE, VERSIONED_TEXT, 'U', ',', 0, 0),
    T(3807, "_jsonb", ARRAY, ARRAY, 'A', ',', 3802, 0),
    T(3904, "int4range", RANGE, RANGE, 'R', ',', 0, 23),
    T(3905, "_int4range", ARRAY, ARRAY, 'A', ',', 3904, 0),
    T(3906, "numrange", RANGE, RANGE, 'R', ',', 0, 1700),
    T(3907, "_numrange", ARRAY, ARRAY, 'A', ',', 3906, 0),
    T(3908, "tsrange", RANGE, RANGE, 'R', ',', 0, 1114),
    T(3909, "_tsrange", ARRAY, ARRAY, 'A', ',', 3908, 0),
    T(3910, "tstzrange", RANGE, RANGE, 'R', ',', 0, 1184),
    T(3911, "_tstzrange", ARRAY, ARRAY, 'A', ',', 3910, 0),
    T(3912, "daterange", RANGE, RANGE, 'R', ',', 0, 1082),
    T(3913, "_daterange", ARRAY, ARRAY, 'A', ',', 3912, 0),
    T(3926, "int8range", RANGE, RANGE, 'R', ',', 0, 20),
    T(3927, "_int8range", ARRAY, ARRAY, 'A', ',', 3926, 0),
    T(4072, "jsonpath", BASE, VERSIONED_TEXT, 'U', ',', 0, 0),
    T(4073, "_jsonpath", ARRAY, ARRAY, 'A', ',', 4072, 0),
    T(4089, "regnamespace", BASE, REG, 'N', ',', 0, 0),
    T(4090, "_regnamespace", ARRAY, ARRAY, 'A', ',', 4089, 0),
    T(4096, "regrole", BASE, REG, 'N', ',', 0, 0),
    T(4097, "_regrole", ARRAY, ARRAY, 'A', ',', 4096, 0),
    T(4191, "regcollation", BASE, REG, 'N', ',', 0, 0),
    T(4192, "_regcollation", ARRAY, ARRAY, 'A', ',', 4191, 0),
    T(4451, "int4multirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3904),
    T(4532, "nummultirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3906),
    T(4533, "tsmultirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3908),
    T(4534, "tstzmultirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3910),
    T(4535, "datemultirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3912),
    T(4536, "int8multirange", MULTIRANGE, MULTIRANGE, 'R', ',', 0, 3926),
    T(4600, "pg_brin_bloom_summary", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(4601, "pg_brin_minmax_multi_summary", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(5017, "pg_mcv_list", BASE, UNKNOWN, 'Z', ',', 0, 0),
    T(5038, "pg_snapshot", BASE, SNAPSHOT, 'U', ',', 0, 0),
    T(5039, "_pg_snapshot", ARRAY, ARRAY, 'A', ',', 5038, 0),
    T(5069, "xid8", BASE, UINT8, 'U', ',', 0, 0),
    T(6150, "_int4multirange", ARRAY, ARRAY, 'A', ',', 4451, 0),
    T(6151, "_nummultirange", ARRAY, ARRAY, 'A', ',', 4532, 0),
    T(6152, "_tsmultirange", ARRAY, ARRAY, 'A', ',', 4533, 0),
    T(6153, "_tstzmultirange", ARRAY, ARRAY, 'A', ',', 4534, 0),
    T(6155, "_datemultirange", ARRAY, ARRAY, 'A', ',', 4535, 0),
    T(6157, "_int8multirange", ARRAY, ARRAY, 'A', ',', 4536, 0),
};
/* clang-format on */

const struct pg_type *pg_type_builtin(uint32_t oid)
{
    size_t low = 0, high = ARRAY_LEN(builtin);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (builtin[mid].oid == oid)
            return &builtin[mid];
        if (builtin[mid].oid < oid)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct pg_type *pg_type_builtin_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (strcasecmp(builtin[i].name, name) == 0)
            return &builtin[i];
    }
    return NULL;
}

bool pg_typmod_numeric(int32_t typmod, int *ret_precision, int *ret_scale)
{
    if (typmod < 4)
        return false;
    int32_t packed = typmod - 4;
    *ret_precision = (packed >> 16) & 0xffff;
    *ret_scale = ((packed & 0x7ff) ^ 1024) - 1024; /* 11 bits, signed; up to 14 it was never above 1000 */
    return true;
}

int pg_typmod_time_digits(int32_t typmod)
{
    return typmod < 0 || typmod > 6 ? 6 : typmod;
}

int pg_typmod_interval_digits(int32_t typmod)
{
    int digits = typmod < 0 ? 6 : typmod & 0xffff;
    return digits > 6 ? 6 : digits;
}

int pg_typmod_interval_range(int32_t typmod)
{
    return typmod < 0 ? PG_INTERVAL_FULL_RANGE : (typmod >> 16) & PG_INTERVAL_FULL_RANGE;
}
