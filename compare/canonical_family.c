/* Owns: object ids of types → families. src/include/catalog/pg_type.dat of PostgreSQL. See canonical_family.h. */
#include "canonical_family.h"

#include <string.h>

#include "core/attr.h"

static const struct {
    uint32_t oid;
    enum canonical_family family;
} families[] = {
    {16, CANON_BOOL},
    {17, CANON_BYTES},
    {18, CANON_TEXT},
    {19, CANON_TEXT},
    {20, CANON_INT},
    {21, CANON_INT},
    {23, CANON_INT},
    {25, CANON_TEXT},
    {26, CANON_INT},
    {114, CANON_JSON},
    {142, CANON_XML},
    {650, CANON_INET},
    {700, CANON_FLOAT},
    {701, CANON_FLOAT},
    {774, CANON_MACADDR},
    {790, CANON_MONEY},
    {829, CANON_MACADDR},
    {869, CANON_INET},
    {1000, CANON_ARRAY_NATIVE},
    {1005, CANON_ARRAY_NATIVE},
    {1007, CANON_ARRAY_NATIVE},
    {1016, CANON_ARRAY_NATIVE},
    {1020, CANON_ARRAY_BOX},
    {1021, CANON_ARRAY_NATIVE},
    {1022, CANON_ARRAY_NATIVE},
    {1028, CANON_ARRAY_OID},
    {1042, CANON_BPCHAR},
    {1043, CANON_TEXT},
    {1082, CANON_DATE},
    {1083, CANON_TIME},
    {1114, CANON_TIMESTAMP},
    {1184, CANON_TIMESTAMPTZ},
    {1231, CANON_ARRAY_NATIVE},
    {1560, CANON_BIT},
    {1562, CANON_BIT},
    {1700, CANON_NUMERIC},
    {2950, CANON_UUID},
    {3615, CANON_TSQUERY},
    {3645, CANON_ARRAY_TSQUERY},
    {3802, CANON_JSONB},
};

static bool ends_in_brackets(const char *type)
{
    size_t len = strlen(type);
    return len > 2 && strcmp(type + len - 2, "[]") == 0;
}

enum canonical_family canonical_family(const struct cat_column *c)
{
    for (size_t i = 0; c->plain && i < ARRAY_LEN(families); i++) {
        if (families[i].oid == c->type_oid)
            return families[i].family;
    }
    if (ends_in_brackets(c->type))
        return CANON_ARRAY;
    return c->domain && !c->plain ? CANON_UNKNOWN : CANON_OTHER;
}

bool canonical_is_array(enum canonical_family family)
{
    return family >= CANON_ARRAY;
}
